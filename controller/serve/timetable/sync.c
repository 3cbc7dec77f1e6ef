/* Schedules, windows and suites of serve.yaml become rows at the start: what is there is added or changed, what has gone from the file is
 * deleted. Rows that the API made are left alone. All in one transaction. */
#include "controller/serve/timetable/timetable_priv.h"

#include "controller/base/json.h"

#include <errno.h>
#include <string.h>

typedef int put_entry(struct service *service, const cJSON *body, const char *where, struct errs *errs);

static int64_t schedule_of_file(struct service *service, const char *name, struct errs *errs)
{
    sqlite3_stmt *row;
    int64_t id = 0;

    if (db_query(&service->db, errs, &row, "SELECT id FROM schedule WHERE name = ?1 AND source = 'file'", "t", name) < 0)
        return 0;
    if (db_step(&service->db, row, errs) > 0)
        id = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return id;
}

static bool is_enabled(struct service *service, int64_t id, struct errs *errs)
{
    sqlite3_stmt *row;
    bool enabled = true;

    if (db_query(&service->db, errs, &row, "SELECT enabled FROM schedule WHERE id = ?1", "i", id) < 0)
        return true;
    if (db_step(&service->db, row, errs) > 0)
        enabled = sqlite3_column_int(row, 0);
    sqlite3_finalize(row);
    return enabled;
}

/* One that was paused by hand stays paused, unless the file says a word about it. */
static int put_schedule(struct service *service, const cJSON *body, const char *where, struct errs *errs)
{
    const char *name = cJSON_GetObjectItemCaseSensitive(body, "name")->valuestring;
    int64_t id = schedule_of_file(service, name, errs), written;
    cJSON *copy = cJSON_Duplicate(body, true);
    int result;

    if (id && !cJSON_GetObjectItemCaseSensitive(copy, "enabled"))
        cJSON_AddBoolToObject(copy, "enabled", is_enabled(service, id, errs));
    result = errs->count ? -EINVAL : schedule_put(service, id, copy, "file", where, &written, errs);
    cJSON_Delete(copy);
    return result;
}

static int put_window(struct service *service, const cJSON *body, const char *where, struct errs *errs)
{
    return window_put(service, body, "file", where, errs);
}

static int put_suite(struct service *service, const cJSON *body, const char *where, struct errs *errs)
{
    return suite_put(service, body, "file", where, errs);
}

static int each(struct service *service, const char *part, put_entry *put, struct errs *errs)
{
    const struct document *document = &service->settings.document;
    const struct node *list = node_member(document->root, part);
    char where[ERR_WHERE_MAX];
    int result = 0;

    if (!list || list->kind == NODE_NULL)
        return 0;
    if (list->kind != NODE_MAP)
        return errs_add(errs, ERR_INPUT, node_where(document, list, where, sizeof(where)), "%s: found %s, expected a map by name", part,
                        node_kind_name(list->kind));
    for (const struct node *node = list->first; node; node = node->next) {
        cJSON *body = json_of_node(node);

        node_key_where(document, node, where, sizeof(where));
        if (!cJSON_IsObject(body)) {
            result = errs_add(errs, ERR_INPUT, where, "found %s, expected a map", node_kind_name(node->kind));
        } else if (cJSON_GetObjectItemCaseSensitive(body, "name")) {
            result = errs_add(errs, ERR_INPUT, where, "the name stands before the colon, not below it");
        } else {
            cJSON_AddStringToObject(body, "name", node->key);
            if (put(service, body, where, errs) < 0)
                result = -EINVAL;
        }
        cJSON_Delete(body);
    }
    return result;
}

static int delete_gone(struct service *service, const char *part, const char *table, struct errs *errs)
{
    const struct node *list = node_member(service->settings.document.root, part);
    cJSON *names = cJSON_CreateArray();
    char sql[160], *text;
    int result;

    for (const struct node *node = list ? list->first : NULL; node; node = node->next)
        if (node->key)
            cJSON_AddItemToArray(names, cJSON_CreateString(node->key));
    text = json_text(names);
    snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE source = 'file' AND name NOT IN (SELECT value FROM json_each(?1))", table);
    result = db_run(&service->db, errs, sql, "t", text ? text : "[]");
    cJSON_free(text);
    cJSON_Delete(names);
    return result;
}

int timetable_sync(struct service *service, struct errs *errs)
{
    int result = db_begin(&service->db, errs);

    if (result < 0)
        return result;
    result = db_run(&service->db, errs, "DELETE FROM time_window WHERE source = 'file'", "");
    if (result == 0)
        result = each(service, "windows", put_window, errs);
    if (result == 0)
        result = each(service, "suites", put_suite, errs);
    if (result == 0)
        result = each(service, "schedules", put_schedule, errs);
    if (result == 0)
        result = delete_gone(service, "schedules", "schedule", errs);
    if (result == 0)
        result = delete_gone(service, "suites", "suite", errs);
    return db_end(&service->db, result, errs);
}
