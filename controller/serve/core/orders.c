/* Rows of run_order: every run that was asked for, from the asking to how it ended. */
#include "controller/serve/core/service_priv.h"

#include "controller/base/json.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *const run_state_names[] = { "queued", "running", "ended" };

#define COLUMNS                                                                                                                  \
    "id, playbook, batch, by_kind, by_name, state, directory, status, outcome, reason, queued_s, started_s, ended_s, schedule, due_s, suite_run, undo"

/* As a run names itself, but in UTC, so that names keep their order when clocks change. */
void order_new_id(struct service *service, char id[RUN_ID_MAX])
{
    uint64_t wall_ns = clock_wall_ns();
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm broken_down;
    char text[24];

    gmtime_r(&seconds, &broken_down);
    strftime(text, sizeof(text), "%Y%m%d-%H%M%S", &broken_down);
    snprintf(id, RUN_ID_MAX, "%s-%04x", text, (unsigned)(rng_mix(wall_ns, (uint64_t)getpid() ^ (++service->ids_given << 32)) & 0xffff));
}

char *service_instant(int64_t at_s, char *text, size_t size)
{
    time_t seconds = (time_t)at_s;
    struct tm broken_down;

    gmtime_r(&seconds, &broken_down);
    strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &broken_down);
    return text;
}

int order_insert(struct service *service, const struct run_order *order, const char *id, const struct claims *claims, struct errs *errs)
{
    char directory[SERVICE_PATH_MAX + 64];
    cJSON *claims_json = claims_print(claims);
    char *claims_text = json_text(claims_json), *vars = order->vars ? json_text(order->vars) : NULL;
    int result;

    snprintf(directory, sizeof(directory), "%s/runs/%s", service->data, id);
    result = db_run(&service->db, errs,
                    "INSERT INTO run_order (id, playbook, vars, seed, batch, by_kind, by_name, state, directory, claims, faults, queued_s, deadline_s,"
                    " schedule, due_s, suite_run) VALUES (?1,?2,?3,?4,?5,?6,?7,'queued',?8,?9,?10,?11,?12,nullif(?13,0),nullif(?14,0),?15)",
                    "tttttttttiiiiit", id, order->playbook, vars, order->seed, order->batch ? order->batch : id, order->by_kind, order->by_name,
                    directory, claims_text ? claims_text : "{}", claims->faults, service_now_s(), order->deadline_s, order->schedule, order->due_s,
                    order->suite_run);
    cJSON_free(vars);
    cJSON_free(claims_text);
    cJSON_Delete(claims_json);
    return result;
}

int order_mark_running(struct service *service, const char *id, const struct process_id *process, struct errs *errs)
{
    char text[PROCESS_TEXT_MAX];
    int result = db_begin(&service->db, errs);

    if (result == 0)
        result = db_run(&service->db, errs, "UPDATE run_order SET state = 'running', process = ?2, started_s = ?3 WHERE id = ?1", "tti", id,
                        process_print(process, text, sizeof(text)), service_now_s());
    if (result == 0)
        result = db_run(&service->db, errs, "UPDATE occurrence SET state = 'started', reason = NULL WHERE run = ?1", "t", id);
    return db_end(&service->db, result, errs);
}

int order_mark_ended(struct service *service, const char *id, int status, const char *outcome, const char *reason, struct errs *errs)
{
    return db_run(&service->db, errs,
                  "UPDATE run_order SET state = 'ended', status = CASE WHEN ?2 < 0 THEN NULL ELSE ?2 END, outcome = ?3,"
                  " reason = coalesce(reason, ?4), ended_s = ?5, process = NULL WHERE id = ?1 AND state <> 'ended'",
                  "titti", id, (int64_t)status, outcome, reason, service_now_s());
}

int order_set_reason(struct service *service, const char *id, const char *reason, struct errs *errs)
{
    return db_run(&service->db, errs, "UPDATE run_order SET reason = ?2 WHERE id = ?1", "tt", id, reason);
}

/* ---- as JSON ----------------------------------------------------------------------------------------------------------------- */

static void put_text(cJSON *object, const char *key, sqlite3_stmt *row, int column)
{
    if (sqlite3_column_type(row, column) != SQLITE_NULL)
        cJSON_AddStringToObject(object, key, db_text(row, column));
}

static void put_instant(cJSON *object, const char *key, sqlite3_stmt *row, int column)
{
    char text[24];

    if (sqlite3_column_type(row, column) != SQLITE_NULL)
        cJSON_AddStringToObject(object, key, service_instant(sqlite3_column_int64(row, column), text, sizeof(text)));
}

static cJSON *describe(const struct service *service, sqlite3_stmt *row)
{
    cJSON *object = cJSON_CreateObject(), *by;
    char output[SERVICE_PATH_MAX + 64], number[24];

    put_text(object, "id", row, 0);
    put_text(object, "playbook", row, 1);
    put_text(object, "batch", row, 2);
    by = cJSON_AddObjectToObject(object, "by");
    put_text(by, "kind", row, 3);
    put_text(by, "name", row, 4);
    put_text(object, "state", row, 5);
    put_text(object, "directory", row, 6);
    snprintf(output, sizeof(output), "%s/output/%s.log", service->data, db_text(row, 0));
    cJSON_AddStringToObject(object, "output", output);
    if (sqlite3_column_type(row, 7) != SQLITE_NULL)
        cJSON_AddNumberToObject(object, "status", sqlite3_column_int(row, 7));
    put_text(object, "outcome", row, 8);
    put_text(object, "reason", row, 9);
    put_instant(object, "queued", row, 10);
    put_instant(object, "started", row, 11);
    put_instant(object, "ended", row, 12);
    if (sqlite3_column_type(row, 13) != SQLITE_NULL) {
        snprintf(number, sizeof(number), "%" PRId64, (int64_t)sqlite3_column_int64(row, 13));
        cJSON_AddStringToObject(object, "schedule", number);
        put_instant(object, "due", row, 14);
    }
    put_text(object, "suite_run", row, 15);
    put_text(object, "undo", row, 16);
    return object;
}

cJSON *order_describe(struct service *service, const char *id, struct errs *errs)
{
    sqlite3_stmt *row;
    cJSON *object = NULL;

    if (db_query(&service->db, errs, &row, "SELECT " COLUMNS " FROM run_order WHERE id = ?1", "t", id) < 0)
        return NULL;
    if (db_step(&service->db, row, errs) > 0)
        object = describe(service, row);
    sqlite3_finalize(row);
    return object;
}

cJSON *service_run(struct service *service, const char *id, struct errs *errs)
{
    cJSON *object;

    service_lock(service);
    object = order_describe(service, id, errs);
    service_unlock(service);
    return object;
}

cJSON *service_runs(struct service *service, const char *state, int64_t before_s, size_t limit, struct errs *errs)
{
    sqlite3_stmt *row = NULL;
    cJSON *items;

    service_lock(service);
    (void)db_query(&service->db, errs, &row,
                   "SELECT " COLUMNS " FROM run_order WHERE (?1 IS NULL OR state = ?1) AND (?2 = 0 OR queued_s <= ?2)"
                   " ORDER BY queued_s DESC, rowid DESC LIMIT ?3",
                   "tii", state, before_s, (int64_t)limit);
    items = service_rows(service, row, describe, errs);
    service_unlock(service);
    return items;
}
