/* Rows of schedules: checked, stored, loaded, shown. */
#include "controller/serve/timetable/timetable_priv.h"

#include "controller/base/json.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { JITTER_MAX_S = 86400, DEADLINE_MAX_S = 30 * 86400 };

static const char *const keys[] = { "name", "playbook", "suite", "cron", "zone", "jitter", "deadline", "catch_up", "overlap", "enabled", "vars", "windows" };
static const char *const overlap_words[] = { "forbid", "queue", "replace" };

#define COLUMNS                                                                                                                  \
    "id, name, playbook, suite, cron, zone, jitter_s, deadline_s, catch_up, overlap, enabled, vars, windows, source, considered_s, skip_s, skip_by, revision"

/* ---- loading ------------------------------------------------------------------------------------------------------------------ */

static void row_done(struct schedule_row *row)
{
    char *texts[] = { row->name, row->playbook, row->suite, row->cron_text, row->zone_text, row->vars, row->windows, row->source, row->skip_by };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
}

static int overlap_of(const char *word)
{
    for (int i = 0; i < 3; i++)
        if (!strcmp(overlap_words[i], word))
            return i;
    return -1;
}

/* Every part of a row was checked when it was written; only the zone may have gone since. */
static int read_row(struct service *service, sqlite3_stmt *statement, struct schedule_row *ret_row, struct errs *errs)
{
    struct schedule_row row = { .id = sqlite3_column_int64(statement, 0),
                                .name = db_take_text(statement, 1), .playbook = db_take_text(statement, 2), .suite = db_take_text(statement, 3),
                                .cron_text = db_take_text(statement, 4), .zone_text = db_take_text(statement, 5),
                                .jitter_s = sqlite3_column_int64(statement, 6), .deadline_s = sqlite3_column_int64(statement, 7),
                                .catch_up = sqlite3_column_int64(statement, 8), .enabled = sqlite3_column_int(statement, 10),
                                .vars = db_take_text(statement, 11), .windows = db_take_text(statement, 12), .source = db_take_text(statement, 13),
                                .considered_s = sqlite3_column_int64(statement, 14), .skip_s = sqlite3_column_int64(statement, 15),
                                .skip_by = db_take_text(statement, 16), .revision = sqlite3_column_int64(statement, 17) };
    int overlap = overlap_of(db_text(statement, 9)), result = 0;

    row.overlap = overlap < 0 ? PLAN_FORBID : (enum plan_overlap)overlap;
    if (!row.name || !row.cron_text || !row.zone_text || !row.windows || !row.source)
        result = errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    if (!result)
        result = cron_parse(row.cron_text, row.name, errs, &row.cron);
    if (!result && !(row.zone = service_zone(service, row.zone_text, row.name, errs)))
        result = -ENOENT;
    if (result < 0) {
        row_done(&row);
        return result;
    }
    *ret_row = row;
    return 0;
}

static int load(struct service *service, int64_t id, struct schedule_rows *ret_rows, struct errs *errs)
{
    struct schedule_rows rows = { calloc(TIMETABLE_ROWS_MAX, sizeof(*rows.items)), 0 };
    static struct errs problems;
    sqlite3_stmt *statement = NULL;
    int result = rows.items ? db_query(&service->db, errs, &statement, "SELECT " COLUMNS " FROM schedule WHERE ?1 = 0 OR id = ?1 ORDER BY name", "i", id)
                            : errs_add(errs, ERR_INTERNAL, NULL, "out of memory");

    problems.count = 0;
    while (result >= 0 && rows.count < TIMETABLE_ROWS_MAX && (result = db_step(&service->db, statement, errs)) > 0)
        rows.count += read_row(service, statement, &rows.items[rows.count], &problems) == 0;
    sqlite3_finalize(statement);
    service_problem(service, &problems);
    if (result < 0) {
        schedules_done(&rows);
        return result;
    }
    *ret_rows = rows;
    return 0;
}

int schedules_load(struct service *service, struct schedule_rows *ret_rows, struct errs *errs)
{
    return load(service, 0, ret_rows, errs);
}

void schedules_done(struct schedule_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        row_done(&rows->items[i]);
    free(rows->items);
    *rows = (struct schedule_rows){ NULL, 0 };
}

/* ---- showing ------------------------------------------------------------------------------------------------------------------ */

static void put_length(cJSON *object, const char *key, int64_t length_s)
{
    char text[32];

    cJSON_AddStringToObject(object, key, unit_print(UNIT_DURATION, length_s * (int64_t)NS_PER_S, text, sizeof(text)));
}

static void put_parsed(cJSON *object, const char *key, const char *text, cJSON *absent_taken)
{
    cJSON *parsed = text ? cJSON_Parse(text) : NULL;

    cJSON_AddItemToObject(object, key, parsed ? parsed : absent_taken);
    if (parsed)
        cJSON_Delete(absent_taken);
}

static void put_catch_up(cJSON *object, int64_t catch_up)
{
    if (catch_up < 2)
        cJSON_AddStringToObject(object, "catch_up", catch_up ? "one" : "skip");
    else
        cJSON_AddNumberToObject(cJSON_AddObjectToObject(object, "catch_up"), "all", (double)catch_up);
}

static void put_next(cJSON *object, const struct schedule_row *row)
{
    const struct plan_schedule plan = { .id = row->id, .cron = &row->cron, .zone = row->zone, .jitter_s = row->jitter_s, .considered_s = row->considered_s };
    int64_t start_s = 0, due_s = schedule_next(&plan, service_now_s(), &start_s);
    char text[24];
    cJSON *next;

    if (!due_s || !row->enabled) {
        cJSON_AddNullToObject(object, "next");
    } else {
        next = cJSON_AddObjectToObject(object, "next");
        cJSON_AddStringToObject(next, "due", service_instant(due_s, text, sizeof(text)));
        cJSON_AddStringToObject(next, "start", service_instant(start_s, text, sizeof(text)));
    }
    json_put_text(object, "skip", row->skip_s ? service_instant(row->skip_s, text, sizeof(text)) : NULL);
    json_put_text(object, "note", cron_is_either(&row->cron) ? "due on either of its two kinds of day, as cron has it, not only where both meet" : NULL);
}

static cJSON *show(const struct schedule_row *row)
{
    cJSON *object = cJSON_CreateObject();
    char number[24];

    snprintf(number, sizeof(number), "%" PRId64, row->id);
    cJSON_AddStringToObject(object, "id", number);
    cJSON_AddStringToObject(object, "name", row->name);
    json_put_text(object, "playbook", row->playbook);
    json_put_text(object, "suite", row->suite);
    cJSON_AddStringToObject(object, "cron", row->cron_text);
    cJSON_AddStringToObject(object, "zone", row->zone_text);
    put_length(object, "jitter", row->jitter_s);
    put_length(object, "deadline", row->deadline_s);
    put_catch_up(object, row->catch_up);
    cJSON_AddStringToObject(object, "overlap", overlap_words[row->overlap]);
    cJSON_AddBoolToObject(object, "enabled", row->enabled);
    put_parsed(object, "vars", row->vars, cJSON_CreateObject());
    put_parsed(object, "windows", row->windows, cJSON_CreateArray());
    cJSON_AddStringToObject(object, "source", row->source);
    snprintf(number, sizeof(number), "%" PRId64, row->revision);
    cJSON_AddStringToObject(object, "revision", number);
    put_next(object, row);
    return object;
}

static cJSON *show_one(struct service *service, int64_t id, struct errs *errs)
{
    struct schedule_rows rows;
    cJSON *object = NULL;

    if (id <= 0 || load(service, id, &rows, errs) < 0)
        return NULL;
    if (rows.count)
        object = show(&rows.items[0]);
    schedules_done(&rows);
    return object;
}

cJSON *timetable_schedule(struct service *service, int64_t id, struct errs *errs)
{
    cJSON *object;

    service_lock(service);
    object = show_one(service, id, errs);
    service_unlock(service);
    return object;
}

cJSON *timetable_schedules(struct service *service, struct errs *errs)
{
    struct schedule_rows rows;
    cJSON *list = NULL;

    service_lock(service);
    if (schedules_load(service, &rows, errs) == 0) {
        list = cJSON_CreateArray();
        for (size_t i = 0; i < rows.count; i++)
            cJSON_AddItemToArray(list, show(&rows.items[i]));
        schedules_done(&rows);
    }
    service_unlock(service);
    return list;
}

/* ---- checking ------------------------------------------------------------------------------------------------------------------ */

static int read_catch_up(const struct body_reader *reader, int64_t *ret_catch_up)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(reader->body, "catch_up"), *all = cJSON_GetObjectItemCaseSensitive(item, "all");
    const char *word = cJSON_GetStringValue(item);

    if (!item || (word && !strcmp(word, "skip")))
        *ret_catch_up = 0;
    else if (word && !strcmp(word, "one"))
        *ret_catch_up = 1;
    else if (cJSON_IsNumber(all) && all->valuedouble >= 1 && all->valuedouble <= PLAN_CATCH_UP_MAX)
        *ret_catch_up = (int64_t)all->valuedouble;
    else
        return body_refuse(reader, "catch_up", "\"skip\", \"one\" or {\"all\": 1 to 100}");
    return 0;
}

static int check_windows(struct service *service, const struct body_reader *reader)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(reader->body, "windows"), *item;
    sqlite3_stmt *statement;
    int result = 0;

    if (!list)
        return 0;
    if (!cJSON_IsArray(list))
        return body_refuse(reader, "windows", "a list of names of allow windows");
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item))
            return body_refuse(reader, "windows", "a list of names of allow windows");
        result = db_query(&service->db, reader->errs, &statement, "SELECT 1 FROM time_window WHERE name = ?1 AND kind = 'allow'", "t", item->valuestring);
        if (result < 0)
            return result;
        result = db_step(&service->db, statement, reader->errs);
        sqlite3_finalize(statement);
        if (result < 0)
            return result;
        if (!result)
            return errs_add(reader->errs, ERR_INPUT, "windows", "there is no allow window '%s'", item->valuestring);
    }
    return 0;
}

struct checked {
    const char *name, *playbook, *suite, *cron_text, *zone, *overlap;
    struct cron cron;
    int64_t jitter_s, deadline_s, catch_up;
    bool enabled;
};

static int check_what(struct service *service, const struct body_reader *reader, const struct checked *checked)
{
    char path[SERVICE_PATH_MAX * 2];
    sqlite3_stmt *row;
    int result;

    if (!checked->playbook == !checked->suite)
        return errs_add(reader->errs, ERR_INPUT, reader->where[0] ? reader->where : "playbook", "name either a playbook or a suite");
    if (checked->playbook)
        return service_playbook_file(service, checked->playbook, path, sizeof(path), reader->errs);
    result = db_query(&service->db, reader->errs, &row, "SELECT 1 FROM suite WHERE name = ?1", "t", checked->suite);
    if (result < 0)
        return result;
    result = db_step(&service->db, row, reader->errs);
    sqlite3_finalize(row);
    if (result == 0)
        return errs_add(reader->errs, ERR_INPUT, reader->where[0] ? reader->where : "suite", "there is no suite '%s'", checked->suite);
    return result < 0 ? result : 0;
}

static int check_texts(struct service *service, const struct body_reader *reader, struct checked *checked)
{
    size_t before = reader->errs->count;
    char where[ERR_WHERE_MAX];
    int result = 0;

    checked->name = body_text(reader, "name", "");
    checked->playbook = body_text(reader, "playbook", NULL);
    checked->suite = body_text(reader, "suite", NULL);
    checked->cron_text = body_text(reader, "cron", "");
    checked->zone = body_text(reader, "zone", "UTC");
    checked->overlap = body_text(reader, "overlap", "forbid");
    if (reader->errs->count > before)
        return -EINVAL;
    if (!name_is_sound(checked->name))
        result = body_refuse(reader, "name", "a name of 1 to 80 characters without '/'");
    snprintf(where, sizeof(where), "%s%scron", reader->where, reader->where[0] ? "/" : "");
    if (cron_parse(checked->cron_text, where, reader->errs, &checked->cron) < 0)
        result = -EINVAL;
    else if (checked->cron.every_s && checked->cron.every_s < PLAN_EVERY_MIN_S)
        result = body_refuse(reader, "cron", "@every with 1m or more");
    if (!service_zone(service, checked->zone, where, reader->errs))
        result = -EINVAL;
    if (overlap_of(checked->overlap) < 0)
        result = body_refuse(reader, "overlap", "\"forbid\", \"queue\" or \"replace\"");
    return result;
}

static int check(struct service *service, const struct body_reader *reader, struct checked *ret_checked)
{
    const cJSON *enabled = cJSON_GetObjectItemCaseSensitive(reader->body, "enabled"), *vars = cJSON_GetObjectItemCaseSensitive(reader->body, "vars");
    struct checked checked = { .enabled = !cJSON_IsFalse(enabled) };
    int result = body_check_keys(reader, keys, sizeof(keys) / sizeof(keys[0]));

    if (result == 0)
        result = check_texts(service, reader, &checked);
    if (result == 0)
        result = check_what(service, reader, &checked);
    if (result == 0)
        result = body_length_s(reader, "jitter", JITTER_MAX_S, &checked.jitter_s);
    if (result == 0)
        result = body_length_s(reader, "deadline", DEADLINE_MAX_S, &checked.deadline_s);
    if (result == 0)
        result = read_catch_up(reader, &checked.catch_up);
    if (result == 0)
        result = check_windows(service, reader);
    if (result == 0 && enabled && !cJSON_IsBool(enabled))
        result = body_refuse(reader, "enabled", "true or false");
    if (result == 0 && vars && !cJSON_IsObject(vars))
        result = body_refuse(reader, "vars", "a map of variables");
    if (result == 0)
        *ret_checked = checked;
    return result;
}

/* ---- writing -------------------------------------------------------------------------------------------------------------------- */

/* What stands in the row, with the members of `change` in their place. New; NULL when there is no such schedule. */
static cJSON *merged(struct service *service, int64_t id, const cJSON *change, struct errs *errs)
{
    static const char *const shown_only[] = { "id", "source", "revision", "next", "skip", "note" };
    cJSON *body = show_one(service, id, errs);
    const cJSON *item;

    for (size_t i = 0; body && i < sizeof(shown_only) / sizeof(shown_only[0]); i++)
        cJSON_DeleteItemFromObjectCaseSensitive(body, shown_only[i]);
    cJSON_ArrayForEach(item, change)
    {
        if (!body)
            break;
        cJSON_DeleteItemFromObjectCaseSensitive(body, item->string);
        cJSON_AddItemToObject(body, item->string, cJSON_Duplicate(item, true));
    }
    return body;
}

/* One whose times change is due from now on: what lies before was of the old times. */
static int write_row(struct service *service, int64_t id, const cJSON *body, const struct checked *checked, const char *source, struct errs *errs)
{
    const cJSON *vars = cJSON_GetObjectItemCaseSensitive(body, "vars"), *windows = cJSON_GetObjectItemCaseSensitive(body, "windows");
    char *vars_text = cJSON_GetArraySize(vars) ? json_text(vars) : NULL, *windows_text = json_text(windows);
    int result;

    if (id)
        result = db_run(&service->db, errs,
                        "UPDATE schedule SET considered_s = CASE WHEN cron = ?5 AND zone = ?6 THEN considered_s ELSE ?15 END, skip_s = CASE WHEN cron = ?5"
                        " AND zone = ?6 THEN skip_s ELSE 0 END, name = ?2, playbook = ?3, suite = ?4, cron = ?5, zone = ?6, jitter_s = ?7, deadline_s = ?8,"
                        " catch_up = ?9, overlap = ?10, enabled = ?11, vars = ?12, windows = ?13, source = ?14, revision = revision + 1 WHERE id = ?1",
                        "itttttiiitittti", id, checked->name, checked->playbook, checked->suite, checked->cron_text, checked->zone, checked->jitter_s,
                        checked->deadline_s, checked->catch_up, checked->overlap, (int64_t)checked->enabled, vars_text, windows_text ? windows_text : "[]",
                        source, service_now_s());
    else
        result = db_run(&service->db, errs,
                        "INSERT INTO schedule (name, playbook, suite, cron, zone, jitter_s, deadline_s, catch_up, overlap, enabled, vars, windows, source,"
                        " considered_s, skip_s, revision) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,0,1)",
                        "tttttiiitittti", checked->name, checked->playbook, checked->suite, checked->cron_text, checked->zone, checked->jitter_s,
                        checked->deadline_s, checked->catch_up, checked->overlap, (int64_t)checked->enabled, vars_text, windows_text ? windows_text : "[]",
                        source, service_now_s());
    cJSON_free(vars_text);
    cJSON_free(windows_text);
    return result;
}

int schedule_put(struct service *service, int64_t id, const cJSON *body, const char *source, const char *where, int64_t *ret_id, struct errs *errs)
{
    const struct body_reader reader = { body, where, errs };
    struct checked checked = { .name = NULL };
    sqlite3_stmt *count;
    int result = check(service, &reader, &checked);

    if (result == 0 && !id) {
        result = db_query(&service->db, errs, &count, "SELECT count(*) FROM schedule", "");
        if (result == 0) {
            result = db_step(&service->db, count, errs);
            if (result > 0 && sqlite3_column_int(count, 0) >= TIMETABLE_ROWS_MAX)
                result = errs_add(errs, ERR_INPUT, where, "there are %d schedules already: no more are kept", TIMETABLE_ROWS_MAX);
            sqlite3_finalize(count);
        }
    }
    if (result >= 0)
        result = write_row(service, id, body, &checked, source, errs);
    if (result == -EEXIST)
        errs_add(errs, ERR_INPUT, where, "there is a schedule '%s' already", checked.name);
    if (result < 0)
        return result;
    *ret_id = id ? id : (int64_t)sqlite3_last_insert_rowid(service->db.db);
    service_tell(service, "schedule", show_one(service, *ret_id, errs));
    service_wake(service);
    return 0;
}

/* One of serve.yaml is changed there: else the next start would take the change back. */
static int refuse_of_file(struct service *service, int64_t id, struct errs *errs)
{
    sqlite3_stmt *row;
    int result = db_query(&service->db, errs, &row, "SELECT source, name FROM schedule WHERE id = ?1", "i", id);

    if (result < 0)
        return result;
    result = db_step(&service->db, row, errs);
    if (result > 0 && !strcmp(db_text(row, 0), "file")) {
        errs_add(errs, ERR_USAGE, db_text(row, 1), "this schedule comes from serve.yaml: change it there");
        result = -EACCES;
    } else if (result == 0) {
        errs_add(errs, ERR_USAGE, NULL, "there is no such schedule");
        result = -ENOENT;
    }
    sqlite3_finalize(row);
    return result < 0 ? result : 0;
}

int timetable_put_schedule(struct service *service, int64_t id, const cJSON *body, cJSON **ret_schedule, struct errs *errs)
{
    cJSON *whole = NULL;
    int result = 0;

    service_lock(service);
    if (id)
        result = refuse_of_file(service, id, errs);
    if (result == 0 && id && !(whole = merged(service, id, body, errs)))
        result = errs->count ? -EIO : -ENOENT;
    if (result == 0)
        result = schedule_put(service, id, whole ? whole : body, "api", "", &id, errs);
    if (result == 0)
        *ret_schedule = show_one(service, id, errs);
    service_unlock(service);
    cJSON_Delete(whole);
    return result;
}

int timetable_delete_schedule(struct service *service, int64_t id, struct errs *errs)
{
    int result;

    service_lock(service);
    result = refuse_of_file(service, id, errs);
    if (result == 0)
        result = db_run(&service->db, errs, "DELETE FROM schedule WHERE id = ?1", "i", id);
    if (result == 0)
        service_tell(service, "schedule", cJSON_CreateNull());
    service_unlock(service);
    return result;
}

static int change(struct service *service, int64_t id, const char *sql, int64_t number, const char *text, cJSON **ret_schedule, struct errs *errs)
{
    int result = db_run(&service->db, errs, sql, "iit", id, number, text);
    cJSON *now = result == 0 ? show_one(service, id, errs) : NULL;

    if (result == 0 && !now)
        result = errs->count ? -EIO : -ENOENT;
    if (result == -ENOENT)
        errs_add(errs, ERR_USAGE, NULL, "there is no such schedule");
    if (result == 0)
        service_tell(service, "schedule", cJSON_Duplicate(now, true));
    if (ret_schedule)
        *ret_schedule = now;
    else
        cJSON_Delete(now);
    service_wake(service);
    return result;
}

int timetable_enable_schedule(struct service *service, int64_t id, bool enabled, struct errs *errs)
{
    int result;

    service_lock(service);
    result = change(service, id, "UPDATE schedule SET enabled = ?2, revision = revision + 1 WHERE id = ?1 AND (?3 IS NULL OR 1)", enabled, NULL, NULL, errs);
    service_unlock(service);
    return result;
}

int timetable_skip_next(struct service *service, int64_t id, const char *by, cJSON **ret_schedule, struct errs *errs)
{
    struct schedule_rows rows = { NULL, 0 };
    int64_t due_s = 0, start_s;
    int result;

    service_lock(service);
    result = load(service, id, &rows, errs);
    if (result == 0 && rows.count) {
        const struct schedule_row *row = &rows.items[0];
        const struct plan_schedule plan = { .id = row->id, .cron = &row->cron, .zone = row->zone, .jitter_s = row->jitter_s, .considered_s = row->considered_s };

        due_s = schedule_next(&plan, service_now_s(), &start_s);
    }
    schedules_done(&rows);
    if (result == 0)
        result = change(service, id, "UPDATE schedule SET skip_s = ?2, skip_by = ?3, revision = revision + 1 WHERE id = ?1", due_s, by, ret_schedule, errs);
    service_unlock(service);
    return result;
}
