/* Windows: when schedules may run, and when nothing that is scheduled may. */
#include "controller/serve/timetable/timetable_priv.h"

#include "scenarios/base/clock.h"
#include "scenarios/base/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DURATION_MAX_S = 31 * 86400, WINDOWS_MAX = 128, ZONE_YEARS = 12, ZONE_YEARS_LEFT = 9 };

#define YEAR_S (INT64_C(366) * 86400)

/* ---- zones ---------------------------------------------------------------------------------------------------------------------- */

/* TZ is set at the start, so that loading one only swaps its value: no thread that reads the environment is disturbed (setenv(3) moves
 * the list only for a new name). */
const struct zone *service_zone(struct service *service, const char *name, const char *where, struct errs *errs)
{
    struct zone **zones = service->zones;
    int64_t now_s = service_now_s();
    size_t at = 0;

    while (at < service->zone_count && strcmp(zones[at]->name, name) != 0)
        at++;
    if (at < service->zone_count && now_s + ZONE_YEARS_LEFT * YEAR_S < zones[at]->until_s && now_s > zones[at]->transition[0].from_s)
        return zones[at];
    if (at == SERVICE_ZONES_MAX) {
        errs_add(errs, ERR_INPUT, where, "more than %d time zones are in use", SERVICE_ZONES_MAX);
        return NULL;
    }
    if (at == service->zone_count && !(zones[at] = calloc(1, sizeof(*zones[at])))) {
        errs_add(errs, ERR_INTERNAL, where, "out of memory");
        return NULL;
    }
    if (zone_load(name, now_s, ZONE_YEARS, zones[at]) < 0) {
        errs_add(errs, ERR_INPUT, where, "found the time zone '%s', expected a name that this system knows, such as Europe/Berlin or UTC", name);
        if (at == service->zone_count) {
            free(zones[at]);
            zones[at] = NULL;
        }
        return NULL;
    }
    service->zone_count += at == service->zone_count;
    return zones[at];
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------------ */

static int read_row(struct service *service, sqlite3_stmt *row, struct window_row *ret_row, struct errs *errs)
{
    struct window_row window = { .name = db_take_text(row, 0), .has_cron = sqlite3_column_type(row, 2) != SQLITE_NULL };
    const char *zone = db_text(row, 6);
    int result = window.name ? 0 : errs_add(errs, ERR_INTERNAL, NULL, "out of memory");

    window.window = (struct plan_window){ .name = window.name, .freezes = !strcmp(db_text(row, 1), "freeze"), .duration_s = sqlite3_column_int64(row, 3),
                                          .from_s = sqlite3_column_int64(row, 4), .until_s = sqlite3_column_int64(row, 5) };
    if (result == 0 && window.has_cron)
        result = cron_parse(db_text(row, 2), window.name, errs, &window.cron);
    if (result == 0 && !(window.window.zone = service_zone(service, zone, window.name, errs)))
        result = -ENOENT;
    if (result < 0) {
        free(window.name);
        return result;
    }
    *ret_row = window;
    return 0;
}

int windows_load(struct service *service, struct window_rows *ret_rows, struct errs *errs)
{
    struct window_rows rows = { calloc(WINDOWS_MAX, sizeof(*rows.items)), 0 };
    sqlite3_stmt *row = NULL;
    int result = rows.items ? db_query(&service->db, errs, &row, "SELECT name, kind, cron, duration_s, from_s, until_s, zone FROM time_window ORDER BY name", "")
                            : errs_add(errs, ERR_INTERNAL, NULL, "out of memory");

    while (result >= 0 && rows.count < WINDOWS_MAX && (result = db_step(&service->db, row, errs)) > 0) {
        result = read_row(service, row, &rows.items[rows.count], errs); /* a window that cannot be understood stops the scheduler: it may be a freeze */
        rows.count += result == 0;
    }
    sqlite3_finalize(row);
    for (size_t i = 0; i < rows.count; i++)
        rows.items[i].window.cron = rows.items[i].has_cron ? &rows.items[i].cron : NULL;
    if (result < 0) {
        windows_done(&rows);
        return result;
    }
    *ret_rows = rows;
    return 0;
}

void windows_done(struct window_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        free(rows->items[i].name);
    free(rows->items);
    *rows = (struct window_rows){ NULL, 0 };
}

/* ---- from bodies, to JSON ------------------------------------------------------------------------------------------------------------ */

static int check_span(const struct body_reader *reader, const char *cron_text, int64_t *duration_s, int64_t *from_s, int64_t *until_s)
{
    char where[ERR_WHERE_MAX];
    struct cron cron;

    if (cron_text[0]) {
        snprintf(where, sizeof(where), "%s%scron", reader->where, reader->where[0] ? "/" : "");
        if (cron_parse(cron_text, where, reader->errs, &cron) < 0 || body_length_s(reader, "duration", DURATION_MAX_S, duration_s) < 0)
            return -EINVAL;
        return *duration_s > 0 ? 0 : body_refuse(reader, "duration", "how long it stays open");
    }
    if (body_instant(reader, "from", from_s) < 0 || body_instant(reader, "until", until_s) < 0)
        return -EINVAL;
    return *from_s && *until_s > *from_s ? 0 : body_refuse(reader, "until", "either cron and duration, or from and a later until");
}

int window_put(struct service *service, const cJSON *body, const char *source, const char *where, struct errs *errs)
{
    static const char *const keys[] = { "name", "kind", "cron", "duration", "from", "until", "zone" };
    const struct body_reader reader = { body, where, errs };
    int64_t duration_s = 0, from_s = 0, until_s = 0;
    const char *name, *kind, *cron, *zone;
    int result = body_check_keys(&reader, keys, sizeof(keys) / sizeof(keys[0]));

    if (result < 0)
        return result;
    name = body_text(&reader, "name", "");
    kind = body_text(&reader, "kind", "");
    cron = body_text(&reader, "cron", "");
    zone = body_text(&reader, "zone", "UTC");
    if (!name || !kind || !cron || !zone)
        return -EINVAL;
    if (!name_is_sound(name))
        return body_refuse(&reader, "name", "a name of 1 to 80 characters without '/'");
    if (strcmp(kind, "allow") != 0 && strcmp(kind, "freeze") != 0)
        return body_refuse(&reader, "kind", "\"allow\" or \"freeze\"");
    if (!service_zone(service, zone, where, errs) || check_span(&reader, cron, &duration_s, &from_s, &until_s) < 0)
        return -EINVAL;
    result = db_run(&service->db, errs, "INSERT INTO time_window (name, kind, cron, duration_s, from_s, until_s, zone, source) VALUES (?1,?2,nullif(?3,''),?4,?5,?6,?7,?8)",
                    "tttiiitt", name, kind, cron, duration_s, from_s, until_s, zone, source);
    if (result == -EEXIST)
        errs_add(errs, ERR_INPUT, where, "there is a window '%s' already", name);
    if (result == 0)
        service_tell(service, "window", cJSON_Duplicate(body, true));
    service_wake(service);
    return result;
}

static cJSON *show(sqlite3_stmt *row, int64_t now_s, const struct window_rows *rows)
{
    cJSON *object = cJSON_CreateObject();
    char text[32];

    cJSON_AddStringToObject(object, "name", db_text(row, 0));
    cJSON_AddStringToObject(object, "kind", db_text(row, 1));
    if (sqlite3_column_type(row, 2) != SQLITE_NULL) {
        cJSON_AddStringToObject(object, "cron", db_text(row, 2));
        cJSON_AddStringToObject(object, "duration", unit_print(UNIT_DURATION, sqlite3_column_int64(row, 3) * (int64_t)NS_PER_S, text, sizeof(text)));
    } else {
        cJSON_AddStringToObject(object, "from", service_instant(sqlite3_column_int64(row, 4), text, sizeof(text)));
        cJSON_AddStringToObject(object, "until", service_instant(sqlite3_column_int64(row, 5), text, sizeof(text)));
    }
    cJSON_AddStringToObject(object, "zone", db_text(row, 6));
    cJSON_AddStringToObject(object, "source", db_text(row, 7));
    for (size_t i = 0; i < rows->count; i++)
        if (!strcmp(rows->items[i].name, db_text(row, 0)))
            cJSON_AddBoolToObject(object, "open", plan_window_is_open(&rows->items[i].window, now_s));
    return object;
}

static cJSON *list(struct service *service, struct errs *errs)
{
    struct window_rows rows;
    cJSON *items;
    sqlite3_stmt *row = NULL;
    int result = windows_load(service, &rows, errs);

    if (result < 0)
        return NULL;
    items = cJSON_CreateArray();
    result = db_query(&service->db, errs, &row, "SELECT name, kind, cron, duration_s, from_s, until_s, zone, source FROM time_window ORDER BY name", "");
    while (result >= 0 && (result = db_step(&service->db, row, errs)) > 0)
        cJSON_AddItemToArray(items, show(row, service_now_s(), &rows));
    sqlite3_finalize(row);
    windows_done(&rows);
    if (result == 0)
        return items;
    cJSON_Delete(items);
    return NULL;
}

cJSON *timetable_windows(struct service *service, struct errs *errs)
{
    cJSON *items;

    service_lock(service);
    items = list(service, errs);
    service_unlock(service);
    return items;
}

int timetable_add_window(struct service *service, const cJSON *body, cJSON **ret_window, struct errs *errs)
{
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(body, "name"));
    cJSON *items, *item;
    int result;

    service_lock(service);
    result = window_put(service, body, "api", "", errs);
    *ret_window = NULL;
    items = result == 0 ? list(service, errs) : NULL;
    cJSON_ArrayForEach(item, items)
        if (!strcmp(cJSON_GetObjectItemCaseSensitive(item, "name")->valuestring, name))
            *ret_window = cJSON_Duplicate(item, true);
    cJSON_Delete(items);
    service_unlock(service);
    return result;
}

int timetable_delete_window(struct service *service, const char *name, struct errs *errs)
{
    int result;

    service_lock(service);
    result = db_run(&service->db, errs, "DELETE FROM time_window WHERE name = ?1 AND source = 'api'", "t", name);
    if (result == 0 && !sqlite3_changes(service->db.db)) {
        errs_add(errs, ERR_USAGE, name, "there is no such window, or it comes from serve.yaml");
        result = -ENOENT;
    }
    if (result == 0)
        service_tell(service, "window", cJSON_CreateNull());
    service_wake(service);
    service_unlock(service);
    return result;
}
