/* Suites: playbooks in an order, each perhaps several times, with space between; and their runs.
 *
 *   running --(a step's run ended)--> running, next step or repetition --(the last one)--> ended
 *
 * A step's playbooks are runs like any other, queued where they overlap something. The row says which step is on; a service that was
 * killed goes on where it was. */
#include "controller/serve/timetable/timetable_priv.h"
#include "controller/base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { REPEAT_MAX = 1000, SUITE_RETRY_S = 5, ACTIVE_MAX = 64 };

/* ---- suites ---------------------------------------------------------------------------------------------------------------------- */

static int check_step(struct service *service, const cJSON *step, const char *where, struct errs *errs)
{
    static const char *const keys[] = { "playbook", "vars", "repeat", "spacing" };
    const struct body_reader reader = { step, where, errs };
    const cJSON *repeat = cJSON_GetObjectItemCaseSensitive(step, "repeat"), *vars = cJSON_GetObjectItemCaseSensitive(step, "vars");
    char path[SERVICE_PATH_MAX * 2];
    const char *playbook;
    int64_t spacing_s = 0;
    int result = body_check_keys(&reader, keys, sizeof(keys) / sizeof(keys[0]));

    playbook = result == 0 ? body_text(&reader, "playbook", "") : NULL;
    if (!playbook)
        return -EINVAL;
    result = service_playbook_file(service, playbook, path, sizeof(path), errs);
    if (repeat && (!cJSON_IsNumber(repeat) || repeat->valuedouble < 1 || repeat->valuedouble > REPEAT_MAX))
        result = body_refuse(&reader, "repeat", "1 to 1000");
    if (vars && !cJSON_IsObject(vars))
        result = body_refuse(&reader, "vars", "a map of variables");
    if (body_length_s(&reader, "spacing", SPACING_MAX_S, &spacing_s) < 0)
        result = -EINVAL;
    return result;
}

static int check_steps(struct service *service, const struct body_reader *reader)
{
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(reader->body, "steps"), *step;
    int result = 0, index = 0;

    if (!cJSON_IsArray(steps) || !cJSON_GetArraySize(steps) || cJSON_GetArraySize(steps) > TIMETABLE_STEPS_MAX)
        return body_refuse(reader, "steps", "a list of 1 to 64 steps");
    cJSON_ArrayForEach(step, steps)
    {
        char where[ERR_WHERE_MAX];

        snprintf(where, sizeof(where), "%s%ssteps/%d", reader->where, reader->where[0] ? "/" : "", index++);
        if (check_step(service, step, where, reader->errs) < 0)
            result = -EINVAL;
    }
    return result;
}

int suite_put(struct service *service, const cJSON *body, const char *source, const char *where, struct errs *errs)
{
    static const char *const keys[] = { "name", "steps", "stop_on_failure" };
    const struct body_reader reader = { body, where, errs };
    const cJSON *stop = cJSON_GetObjectItemCaseSensitive(body, "stop_on_failure");
    const char *name;
    char *steps;
    int result = body_check_keys(&reader, keys, sizeof(keys) / sizeof(keys[0]));

    name = result == 0 ? body_text(&reader, "name", "") : NULL;
    if (!name)
        return -EINVAL;
    if (!name_is_sound(name))
        return body_refuse(&reader, "name", "a name of 1 to 80 characters without '/'");
    if (stop && !cJSON_IsBool(stop))
        return body_refuse(&reader, "stop_on_failure", "true or false");
    result = check_steps(service, &reader);
    if (result < 0)
        return result;
    steps = json_text(cJSON_GetObjectItemCaseSensitive(body, "steps"));
    result = db_run(&service->db, errs,
                    "INSERT INTO suite (name, steps, stop_on_failure, source) VALUES (?1,?2,?3,?4) ON CONFLICT (name) DO UPDATE SET steps = ?2,"
                    " stop_on_failure = ?3 WHERE source = ?4",
                    "ttit", name, steps, (int64_t)cJSON_IsTrue(stop), source);
    cJSON_free(steps);
    if (result == 0 && !sqlite3_changes(service->db.db)) {
        errs_add(errs, ERR_USAGE, name, "this suite comes from %s: change it there", !strcmp(source, "api") ? "serve.yaml" : "the API");
        result = -EACCES;
    }
    if (result == 0)
        service_tell(service, "suite", cJSON_Duplicate(body, true));
    return result;
}

static cJSON *show(const struct service *service, sqlite3_stmt *row)
{
    cJSON *object = cJSON_CreateObject(), *steps = cJSON_Parse(db_text(row, 1));

    (void)service;
    cJSON_AddStringToObject(object, "name", db_text(row, 0));
    cJSON_AddItemToObject(object, "steps", steps ? steps : cJSON_CreateArray());
    cJSON_AddBoolToObject(object, "stop_on_failure", sqlite3_column_int(row, 2));
    cJSON_AddStringToObject(object, "source", db_text(row, 3));
    return object;
}

static cJSON *list(struct service *service, const char *name, struct errs *errs)
{
    sqlite3_stmt *row = NULL;

    (void)db_query(&service->db, errs, &row, "SELECT name, steps, stop_on_failure, source FROM suite WHERE ?1 IS NULL OR name = ?1 ORDER BY name", "t", name);
    return service_rows(service, row, show, errs);
}

cJSON *timetable_suites(struct service *service, struct errs *errs)
{
    cJSON *items;

    service_lock(service);
    items = list(service, NULL, errs);
    service_unlock(service);
    return items;
}

int timetable_put_suite(struct service *service, const cJSON *body, cJSON **ret_suite, struct errs *errs)
{
    cJSON *items;
    int result;

    service_lock(service);
    result = suite_put(service, body, "api", "", errs);
    items = result == 0 ? list(service, cJSON_GetObjectItemCaseSensitive(body, "name")->valuestring, errs) : NULL;
    *ret_suite = items ? cJSON_DetachItemFromArray(items, 0) : NULL;
    cJSON_Delete(items);
    service_unlock(service);
    return result;
}

int timetable_delete_suite(struct service *service, const char *name, struct errs *errs)
{
    int result;

    service_lock(service);
    result = db_run(&service->db, errs, "DELETE FROM suite WHERE name = ?1 AND source = 'api' AND NOT EXISTS (SELECT 1 FROM schedule WHERE suite = ?1)", "t", name);
    if (result == 0 && !sqlite3_changes(service->db.db)) {
        errs_add(errs, ERR_USAGE, name, "there is no such suite, or it comes from serve.yaml, or a schedule has it");
        result = -ENOENT;
    }
    if (result == 0)
        service_tell(service, "suite", cJSON_CreateNull());
    service_unlock(service);
    return result;
}

/* What its playbooks claim, all together: the most of faults, since they go one after the other. */
static int unite(struct claims *all, struct claims *one_taken)
{
    char **grown = realloc(all->items, (all->count + one_taken->count + 1) * sizeof(*grown));
    size_t at, kept = 0;

    if (!grown)
        return -ENOMEM;
    all->items = grown;
    memcpy(all->items + all->count, one_taken->items, one_taken->count * sizeof(*grown));
    all->count += one_taken->count;
    one_taken->count = 0;
    all->whole_host |= one_taken->whole_host;
    all->faults = one_taken->faults > all->faults ? one_taken->faults : all->faults;
    claims_sort(all);
    for (at = 0; at < all->count; at++) {
        if (kept && !strcmp(all->items[kept - 1], all->items[at]))
            free(all->items[at]);
        else
            all->items[kept++] = all->items[at];
    }
    all->count = kept;
    return 0;
}

int suite_claims(struct service *service, const char *name, struct claims *ret_claims, struct errs *errs)
{
    struct claims all = { 0 };
    cJSON *items = list(service, name, errs);
    const cJSON *suite = cJSON_GetArrayItem(items, 0), *step;
    int result = !items ? -EIO : suite ? 0 : -ENOENT;

    cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(suite, "steps"))
    {
        const struct run_order order = { .playbook = cJSON_GetObjectItemCaseSensitive(step, "playbook")->valuestring,
                                         .vars = cJSON_GetObjectItemCaseSensitive(step, "vars") };
        struct claims one = { 0 };

        if (result == 0)
            result = queue_examine(service, &order, &one, errs);
        if (result == 0 && unite(&all, &one) < 0)
            result = errs_add(errs, ERR_INTERNAL, name, "out of memory");
        claims_done(&one);
    }
    cJSON_Delete(items);
    if (result < 0) {
        claims_done(&all);
        return result;
    }
    *ret_claims = all;
    return 0;
}

/* ---- runs of them --------------------------------------------------------------------------------------------------------------------- */

int suite_begin(struct service *service, const char *name, const char *by_kind, const char *by_name, int64_t schedule, int64_t due_s, char *ret_id,
                struct errs *errs)
{
    int result = -EEXIST;

    for (int tries = 0; result == -EEXIST && tries < 16; tries++) {
        order_new_id(service, ret_id);
        result = db_run(&service->db, errs,
                        "INSERT INTO suite_run (id, suite, steps, stop_on_failure, by_kind, by_name, state, step, repetition, next_s, started_s, schedule, due_s)"
                        " SELECT ?1, name, steps, stop_on_failure, ?3, ?4, 'running', 0, 0, ?5, ?5, nullif(?6, 0), nullif(?7, 0) FROM suite WHERE name = ?2",
                        "ttttiii", ret_id, name, by_kind, by_name, service_now_s(), schedule, due_s);
    }
    if (result == 0 && !sqlite3_changes(service->db.db)) {
        errs_add(errs, ERR_USAGE, name, "there is no such suite");
        result = -ENOENT;
    }
    return result;
}

int suite_end(struct service *service, const char *id, const char *outcome, struct errs *errs)
{
    int result = db_run(&service->db, errs, "UPDATE suite_run SET state = 'ended', outcome = ?2, ended_s = ?3 WHERE id = ?1 AND state = 'running'", "tti", id,
                        outcome, service_now_s());

    if (result == 0)
        service_tell(service, "suite", cJSON_CreateString(id));
    return result;
}

struct active {
    char id[RUN_ID_MAX], run[RUN_ID_MAX], batch[RUN_ID_MAX], suite[TIMETABLE_NAME_MAX + 1];
    cJSON *steps; /* owned */
    bool stops, failed;
    int step, repetition;
    int64_t next_s;
};

static size_t read_active(struct service *service, struct active *list_out, struct errs *errs)
{
    sqlite3_stmt *row;
    size_t count = 0;

    if (db_query(&service->db, errs, &row,
                 "SELECT id, coalesce(run, ''), coalesce(batch, ''), suite, steps, stop_on_failure, outcome IS NOT NULL, step, repetition, next_s"
                 " FROM suite_run WHERE state = 'running' ORDER BY started_s, id",
                 "") < 0)
        return 0;
    while (count < ACTIVE_MAX && db_step(&service->db, row, errs) > 0) {
        struct active *active = &list_out[count++];

        snprintf(active->id, sizeof(active->id), "%s", db_text(row, 0));
        snprintf(active->run, sizeof(active->run), "%s", db_text(row, 1));
        snprintf(active->batch, sizeof(active->batch), "%s", db_text(row, 2));
        snprintf(active->suite, sizeof(active->suite), "%s", db_text(row, 3));
        active->steps = cJSON_Parse(db_text(row, 4));
        active->stops = sqlite3_column_int(row, 5);
        active->failed = sqlite3_column_int(row, 6);
        active->step = sqlite3_column_int(row, 7);
        active->repetition = sqlite3_column_int(row, 8);
        active->next_s = sqlite3_column_int64(row, 9);
    }
    sqlite3_finalize(row);
    return count;
}

static int64_t spacing_of(const cJSON *step)
{
    static struct errs ignored; /* it was checked when the suite was written */
    const struct body_reader reader = { step, "", &ignored };
    int64_t spacing_s = 0;

    ignored.count = 0;
    (void)body_length_s(&reader, "spacing", SPACING_MAX_S, &spacing_s);
    return spacing_s;
}

/* The run of the step that is on has ended: on to the next. `failed`: it did not pass. */
static int advance(struct service *service, struct active *active, bool failed, int64_t now_s, struct errs *errs)
{
    const cJSON *step = cJSON_GetArrayItem(active->steps, active->step), *repeat = cJSON_GetObjectItemCaseSensitive(step, "repeat");
    bool repeats = active->repetition + 1 < (cJSON_IsNumber(repeat) ? (int)repeat->valuedouble : 1);

    active->failed |= failed;
    if (failed && active->stops)
        return suite_end(service, active->id, "failed", errs);
    active->repetition = repeats ? active->repetition + 1 : 0;
    active->step += !repeats;
    if (active->step >= cJSON_GetArraySize(active->steps))
        return suite_end(service, active->id, active->failed ? "failed" : "passed", errs);
    active->next_s = now_s + spacing_of(step);
    active->run[0] = '\0';
    if (!repeats)
        active->batch[0] = '\0';
    return db_run(&service->db, errs,
                  "UPDATE suite_run SET step = ?2, repetition = ?3, next_s = ?4, run = NULL, batch = nullif(?5, ''), outcome = CASE WHEN ?6 THEN 'failed' END"
                  " WHERE id = ?1",
                  "tiiiti", active->id, (int64_t)active->step, (int64_t)active->repetition, active->next_s, active->batch, (int64_t)active->failed);
}

/* Queues the run of the step that is on, together with the word that it is; one that cannot even be queued has failed. */
static int queue_step(struct service *service, struct active *active, int64_t now_s, struct errs *errs)
{
    const cJSON *step = cJSON_GetArrayItem(active->steps, active->step);
    const char *playbook = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(step, "playbook"));
    struct run_order order = { .playbook = playbook ? playbook : "", .vars = cJSON_GetObjectItemCaseSensitive(step, "vars"), .by_kind = "suite",
                               .by_name = active->suite, .batch = active->batch[0] ? active->batch : NULL, .suite_run = active->id };
    static struct errs refusal;
    struct claims claims = { 0 };
    int result;

    refusal.count = 0;
    result = queue_examine(service, &order, &claims, &refusal); /* outside of the transaction: it may take a moment */
    claims_done(&claims);
    if (result < 0) {
        service_problem(service, &refusal);
        return advance(service, active, true, now_s, errs);
    }
    result = db_begin(&service->db, errs);
    if (result < 0)
        return result;
    result = queue_add(service, &order, active->run, errs);
    if (result == 0)
        result = db_run(&service->db, errs, "UPDATE suite_run SET run = ?2, batch = coalesce(batch, ?2) WHERE id = ?1", "tt", active->id, active->run);
    return db_end(&service->db, result, errs);
}

static bool run_has_ended(struct service *service, const char *id, bool *ret_passed, struct errs *errs)
{
    cJSON *row = order_describe(service, id, errs);
    const char *state = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, "state"));
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(row, "status");
    bool ended = !errs->count && (!state || !strcmp(state, "ended"));

    *ret_passed = cJSON_IsNumber(status) && status->valuedouble == 0;
    cJSON_Delete(row);
    return ended;
}

static int step_one(struct service *service, struct active *active, int64_t now_s, struct errs *errs)
{
    bool passed = false;
    int result = 0;

    if (active->run[0]) {
        if (!run_has_ended(service, active->run, &passed, errs))
            return errs->count ? -EIO : 0;
        result = advance(service, active, !passed, now_s, errs);
    }
    if (result == 0 && !active->run[0] && active->next_s <= now_s && active->step < cJSON_GetArraySize(active->steps))
        result = service->lever_engaged ? suite_end(service, active->id, "stopped by the safety lever", errs) : queue_step(service, active, now_s, errs);
    return result;
}

int64_t suites_tick(struct service *service, int64_t now_s)
{
    struct active *active = calloc(ACTIVE_MAX, sizeof(*active));
    static struct errs errs;
    size_t count;
    int64_t next_s = 0;

    errs.count = 0;
    count = active ? read_active(service, active, &errs) : 0;
    for (size_t i = 0; i < count; i++) {
        if (active[i].steps && step_one(service, &active[i], now_s, &errs) < 0) {
            service_problem(service, &errs);
            service->retry_s = now_s + SUITE_RETRY_S;
            errs.count = 0;
        }
        if (!active[i].run[0] && active[i].next_s > now_s && (!next_s || active[i].next_s < next_s))
            next_s = active[i].next_s;
        cJSON_Delete(active[i].steps);
    }
    free(active);
    return next_s;
}

int timetable_start_suite(struct service *service, const char *name, const char *by_kind, const char *by_name, char *ret_id, struct errs *errs)
{
    bool engaged = false;
    int result;

    service_lock(service);
    result = lever_read(&service->registry, &engaged);
    if (result == 0 && engaged) {
        errs_add(errs, ERR_WORLD, "lever", "the safety lever is engaged: no run starts until `perturb resume`");
        result = -EPERM;
    }
    if (result == 0)
        result = suite_begin(service, name, by_kind, by_name, 0, 0, ret_id, errs);
    service_wake(service);
    service_unlock(service);
    return result;
}
