/* The safety lever as the service knows it. The registry is the truth; service.db keeps a copy, because the registry may lie on a file
 * system that is empty after a boot: a lever that was engaged before it is engaged again. */
#include "controller/serve/core/service_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t this_boot(void)
{
    struct process_id self = { 0 };

    return process_identify(getpid(), &self) == 0 ? self.boot : 0;
}

static int keep(struct service *service, struct errs *errs)
{
    char text[96];

    snprintf(text, sizeof(text), "%s %" PRId64 " %" PRIu64, service->lever_engaged ? "engaged" : "released", service->lever_since_s, this_boot());
    return db_run(&service->db, errs, "INSERT INTO setting VALUES ('lever', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1", "t", text);
}

int lever_restore(struct service *service, struct errs *errs)
{
    sqlite3_stmt *row;
    char word[16] = "released";
    int64_t since_s = 0;
    uint64_t boot = 0;
    bool engaged = false;
    int result = db_query(&service->db, errs, &row, "SELECT value FROM setting WHERE name = 'lever'", "");

    if (result < 0)
        return result;
    result = db_step(&service->db, row, errs);
    if (result > 0)
        (void)sscanf(db_text(row, 0), "%15s %" SCNd64 " %" SCNu64, word, &since_s, &boot);
    sqlite3_finalize(row);
    if (result < 0)
        return result;
    result = lever_read(&service->registry, &engaged);
    if (result == 0 && !engaged && !strcmp(word, "engaged") && boot != this_boot()) {
        result = lever_set(&service->registry, true);
        engaged = true;
    }
    if (result < 0) {
        errs_add(errs, ERR_WORLD, "lever", "the safety lever cannot be read: %s", strerror(-result));
        return result;
    }
    service->lever_engaged = engaged;
    service->lever_since_s = engaged == !strcmp(word, "engaged") && since_s ? since_s : service_now_s();
    return keep(service, errs);
}

void lever_look(struct service *service)
{
    static struct errs errs;
    bool engaged = service->lever_engaged;
    int result = lever_read(&service->registry, &engaged);

    errs.count = 0;
    if (result < 0)
        errs_add(&errs, ERR_WORLD, "lever", "the safety lever cannot be read: %s", strerror(-result));
    if (result == 0 && engaged != service->lever_engaged) {
        service->lever_engaged = engaged;
        service->lever_since_s = service_now_s();
        service_tell(service, "lever", cJSON_CreateString(engaged ? "engaged" : "released"));
        (void)keep(service, &errs);
    }
    service_problem(service, &errs);
}
