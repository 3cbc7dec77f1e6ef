/* What became of what was due, shown. */
#include "controller/serve/timetable/timetable_priv.h"

#include "controller/base/json.h"

#include <inttypes.h>

static cJSON *show(const struct service *service, sqlite3_stmt *row)
{
    cJSON *item = cJSON_CreateObject();
    char text[24];

    (void)service;
    snprintf(text, sizeof(text), "%" PRId64, (int64_t)sqlite3_column_int64(row, 0));
    cJSON_AddStringToObject(item, "schedule", text);
    json_put_text(item, "name", db_text(row, 1));
    cJSON_AddStringToObject(item, "due", service_instant(sqlite3_column_int64(row, 2), text, sizeof(text)));
    json_put_text(item, "state", db_text(row, 3));
    json_put_text(item, "reason", db_text(row, 4));
    json_put_text(item, "run", db_text(row, 5));
    return item;
}

cJSON *timetable_occurrences(struct service *service, int64_t schedule, const char *due, const char *id, size_t limit, struct errs *errs)
{
    sqlite3_stmt *row = NULL;
    cJSON *items;

    service_lock(service);
    (void)db_query(&service->db, errs, &row,
                   "SELECT o.schedule, s.name, o.due_s, o.state, o.reason, o.run FROM occurrence o LEFT JOIN schedule s ON s.id = o.schedule"
                   " WHERE (?1 = 0 OR o.schedule = ?1) AND (?2 IS NULL OR o.due_s < unixepoch(?2) OR (o.due_s = unixepoch(?2) AND"
                   " o.schedule > CAST(?3 AS INTEGER))) ORDER BY o.due_s DESC, o.schedule LIMIT ?4",
                   "itti", schedule, due, id, (int64_t)limit);
    items = service_rows(service, row, show, errs);
    service_unlock(service);
    return items;
}
