/* Runs of suites, shown and aborted. */
#include "controller/serve/timetable/timetable_priv.h"

#include "controller/base/json.h"

#include <errno.h>
#include <string.h>

static cJSON *show(const struct service *service, sqlite3_stmt *row)
{
    cJSON *object = cJSON_CreateObject(), *steps = cJSON_Parse(db_text(row, 3)), *by;
    char text[24];

    (void)service;
    json_put_text(object, "id", db_text(row, 0));
    json_put_text(object, "suite", db_text(row, 1));
    json_put_text(object, "state", db_text(row, 2));
    cJSON_AddNumberToObject(object, "steps", cJSON_GetArraySize(steps));
    cJSON_AddNumberToObject(object, "step", sqlite3_column_int(row, 4));
    cJSON_AddNumberToObject(object, "repetition", sqlite3_column_int(row, 5));
    json_put_text(object, "run", db_text(row, 6));
    json_put_text(object, "outcome", db_text(row, 7));
    json_put_text(object, "started", service_instant(sqlite3_column_int64(row, 8), text, sizeof(text)));
    json_put_text(object, "ended", sqlite3_column_type(row, 9) == SQLITE_NULL ? NULL : service_instant(sqlite3_column_int64(row, 9), text, sizeof(text)));
    by = cJSON_AddObjectToObject(object, "by");
    json_put_text(by, "kind", db_text(row, 10));
    json_put_text(by, "name", db_text(row, 11));
    cJSON_Delete(steps);
    return object;
}

cJSON *timetable_suite_runs(struct service *service, size_t limit, struct errs *errs)
{
    sqlite3_stmt *row = NULL;
    cJSON *items;

    service_lock(service);
    (void)db_query(&service->db, errs, &row,
                   "SELECT id, suite, state, steps, step, repetition, run, outcome, started_s, ended_s, by_kind, by_name FROM suite_run"
                   " ORDER BY started_s DESC, id DESC LIMIT ?1",
                   "i", (int64_t)limit);
    items = service_rows(service, row, show, errs);
    service_unlock(service);
    return items;
}

/* The suite first, so that no further step begins; then the run that is on. */
int timetable_abort_suite(struct service *service, const char *id, const char *by, struct errs *errs)
{
    char words[SERVICE_REASON_MAX], run[RUN_ID_MAX] = "";
    sqlite3_stmt *row = NULL;
    int result;

    snprintf(words, sizeof(words), "aborted by %s, with its suite", by);
    service_lock(service);
    result = db_query(&service->db, errs, &row, "SELECT coalesce(run, '') FROM suite_run WHERE id = ?1 AND state = 'running'", "t", id);
    if (result == 0) {
        result = db_step(&service->db, row, errs);
        if (result > 0)
            snprintf(run, sizeof(run), "%s", db_text(row, 0));
        sqlite3_finalize(row);
    }
    if (result == 0) {
        errs_add(errs, ERR_USAGE, id, "no such run of a suite is live");
        result = -ENOENT;
    } else if (result > 0) {
        result = suite_end(service, id, "aborted", errs);
        if (run[0] && queue_abort(service, run, words, false, errs) == -EALREADY)
            result = 0;
    }
    service_unlock(service);
    return result;
}
