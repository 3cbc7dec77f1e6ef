/* The scheduler acts on the plan (schedule_plan.h): each decision is one transaction of occurrence, cursor and, where it starts, the
 * queued run or the suite's run. So whenever the service is killed, an occurrence is decided once and started once. */
#include "controller/serve/timetable/timetable_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DECISIONS_MAX = 64, ROUNDS_MAX = 16, LIVE_MAX = 384, DONE_MAX = 512, WAIT_S = 3600, FAILED_AGAIN_S = 10, NEXT_SHOWN = 10 };

struct live_row {
    char id[RUN_ID_MAX];
    struct claims claims;
};

/* Everything that the plan looks at, and what owns it. */
struct scene {
    struct schedule_rows schedules;
    struct window_rows windows;
    struct plan_window *plan_windows; /* one more than there are: a window that never opens, for names that are gone */
    struct plan_schedule *plan_schedules;
    struct claims *claims;      /* of schedules that are due */
    char (*broken)[PLAN_REASON_MAX];
    size_t (*allowed)[TIMETABLE_STEPS_MAX]; /* indexes of windows, by schedule */
    int64_t *done;
    size_t done_count;
    struct live_row *live_rows;
    struct plan_live *live;
    size_t live_count;
};

static void scene_done(struct scene *scene)
{
    for (size_t i = 0; scene->claims && i < scene->schedules.count; i++)
        claims_done(&scene->claims[i]);
    for (size_t i = 0; i < scene->live_count; i++)
        claims_done(&scene->live_rows[i].claims);
    schedules_done(&scene->schedules);
    windows_done(&scene->windows);
    free(scene->plan_windows);
    free(scene->plan_schedules);
    free(scene->claims);
    free(scene->broken);
    free(scene->allowed);
    free(scene->done);
    free(scene->live_rows);
    free(scene->live);
}

static size_t window_index(const struct scene *scene, const char *name)
{
    size_t at = 0;

    while (at < scene->windows.count && strcmp(scene->windows.items[at].name, name) != 0)
        at++;
    return at;
}

static void find_allowed(struct scene *scene, size_t index)
{
    cJSON *names = cJSON_Parse(scene->schedules.items[index].windows), *name;
    size_t count = 0;

    cJSON_ArrayForEach(name, names)
        if (count < TIMETABLE_STEPS_MAX)
            scene->allowed[index][count++] = window_index(scene, name->valuestring);
    cJSON_Delete(names);
    scene->plan_schedules[index].windows = scene->allowed[index];
    scene->plan_schedules[index].window_count = count;
}

/* After a clock was set back: what has run lies ahead. */
static int find_done(struct service *service, struct scene *scene, size_t index, int64_t now_s, struct errs *errs)
{
    struct plan_schedule *plan = &scene->plan_schedules[index];
    int64_t after_s = plan->considered_s < now_s ? plan->considered_s : now_s;
    sqlite3_stmt *row;
    int result = db_query(&service->db, errs, &row, "SELECT due_s FROM occurrence WHERE schedule = ?1 AND due_s > ?2 AND run IS NOT NULL", "ii", plan->id, after_s);

    if (result < 0)
        return result;
    plan->done_s = scene->done + scene->done_count;
    while (scene->done_count < DONE_MAX && (result = db_step(&service->db, row, errs)) > 0) {
        scene->done[scene->done_count++] = sqlite3_column_int64(row, 0);
        plan->done_count++;
    }
    sqlite3_finalize(row);
    return result < 0 ? result : 0;
}

/* The clock was set back: what was decided in a future that is none any more comes again. */
static int rewind_cursors(struct service *service, int64_t now_s, struct errs *errs)
{
    sqlite3_stmt *row;
    int result = db_query(&service->db, errs, &row, "SELECT 1 FROM schedule WHERE considered_s > ?1 LIMIT 1", "i", now_s);

    if (result < 0)
        return result;
    result = db_step(&service->db, row, errs);
    sqlite3_finalize(row);
    return result > 0 ? db_run(&service->db, errs, "UPDATE schedule SET considered_s = ?1 WHERE considered_s > ?1", "i", now_s) : result;
}

static int set_scene(struct service *service, struct scene *scene, int64_t now_s, struct errs *errs)
{
    int result = schedules_load(service, &scene->schedules, errs);

    if (result == 0)
        result = windows_load(service, &scene->windows, errs);
    if (result < 0)
        return result;
    scene->plan_windows = calloc(scene->windows.count + 1, sizeof(*scene->plan_windows));
    scene->plan_schedules = calloc(scene->schedules.count + 1, sizeof(*scene->plan_schedules));
    scene->claims = calloc(scene->schedules.count + 1, sizeof(*scene->claims));
    scene->broken = calloc(scene->schedules.count + 1, sizeof(*scene->broken));
    scene->allowed = calloc(scene->schedules.count + 1, sizeof(*scene->allowed));
    scene->done = calloc(DONE_MAX, sizeof(*scene->done));
    if (!scene->plan_windows || !scene->plan_schedules || !scene->claims || !scene->broken || !scene->allowed || !scene->done)
        return errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    for (size_t i = 0; i < scene->windows.count; i++)
        scene->plan_windows[i] = scene->windows.items[i].window;
    scene->plan_windows[scene->windows.count] = (struct plan_window){ .name = "(gone)" };
    for (size_t i = 0; result == 0 && i < scene->schedules.count; i++) {
        const struct schedule_row *row = &scene->schedules.items[i];

        scene->plan_schedules[i] = (struct plan_schedule){ .id = row->id, .cron = &row->cron, .zone = row->zone, .jitter_s = row->jitter_s,
                                                           .deadline_s = row->deadline_s, .catch_up = row->catch_up, .overlap = row->overlap,
                                                           .enabled = row->enabled, .considered_s = row->considered_s, .skip_s = row->skip_s,
                                                           .skip_by = row->skip_by, .claims = &scene->claims[i] };
        find_allowed(scene, i);
        result = find_done(service, scene, i, now_s, errs);
    }
    return result;
}

/* ---- what is needed only when something is due ------------------------------------------------------------------------------------ */

static void examine(struct service *service, struct scene *scene, size_t index)
{
    const struct schedule_row *row = &scene->schedules.items[index];
    cJSON *vars = row->vars ? cJSON_Parse(row->vars) : NULL;
    const struct run_order order = { .playbook = row->playbook, .vars = vars };
    static struct errs errs;
    int result;

    errs.count = 0;
    result = row->suite ? suite_claims(service, row->suite, &scene->claims[index], &errs) : queue_examine(service, &order, &scene->claims[index], &errs);
    cJSON_Delete(vars);
    if (result == 0)
        return;
    snprintf(scene->broken[index], PLAN_REASON_MAX, "%.160s%s%.140s", errs.count ? errs.list[0].where : "", errs.count ? ": " : "",
             errs.count ? errs.list[0].text : "the suite is gone");
    scene->plan_schedules[index].broken = scene->broken[index];
}

static int add_live(struct service *service, struct scene *scene, const char *sql, struct errs *errs)
{
    sqlite3_stmt *row;
    int result = db_query(&service->db, errs, &row, sql, "");

    if (result < 0)
        return result;
    while (scene->live_count < LIVE_MAX && (result = db_step(&service->db, row, errs)) > 0) {
        struct live_row *live = &scene->live_rows[scene->live_count];
        static struct errs ignored;
        int known;

        ignored.count = 0;
        snprintf(live->id, sizeof(live->id), "%s", db_text(row, 0));
        known = sqlite3_column_int(row, 4) ? suite_claims(service, db_text(row, 1), &live->claims, &ignored) : claims_parse(db_text(row, 1), &live->claims);
        if (known < 0)
            continue;
        scene->live[scene->live_count++] = (struct plan_live){ .id = live->id, .claims = &live->claims, .waits = sqlite3_column_int(row, 2),
                                                               .replaceable = sqlite3_column_type(row, 3) != SQLITE_NULL,
                                                               .schedule = sqlite3_column_int64(row, 3) };
    }
    sqlite3_finalize(row);
    return result < 0 ? result : 0;
}

/* Runs, and suites between two of their runs. */
static int look_at_live(struct service *service, struct scene *scene, struct errs *errs)
{
    int result;

    scene->live_rows = calloc(LIVE_MAX, sizeof(*scene->live_rows));
    scene->live = calloc(LIVE_MAX, sizeof(*scene->live));
    if (!scene->live_rows || !scene->live)
        return errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    result = add_live(service, scene, "SELECT id, claims, state = 'queued', schedule, 0 FROM run_order WHERE state <> 'ended'", errs);
    return result < 0 ? result
                      : add_live(service, scene,
                                 "SELECT id, suite, 1, schedule, 1 FROM suite_run WHERE state = 'running' AND"
                                 " (run IS NULL OR run NOT IN (SELECT id FROM run_order WHERE state <> 'ended'))",
                                 errs);
}

/* ---- acting ------------------------------------------------------------------------------------------------------------------------------ */

static int record(struct service *service, int64_t schedule, const struct plan_decision *decision, const char *state, const char *reason, const char *run,
                  int64_t now_s, struct errs *errs)
{
    int result = db_run(&service->db, errs,
                        "INSERT INTO occurrence (schedule, due_s, state, reason, run, decided_s) VALUES (?1,?2,?3,nullif(?4,''),?5,?6)"
                        " ON CONFLICT (schedule, due_s) DO UPDATE SET state = ?3, reason = nullif(?4,''), run = ?5, decided_s = ?6 WHERE run IS NULL",
                        "iittti", schedule, decision->due_s, state, reason, run, now_s);

    if (result < 0)
        return result;
    return db_run(&service->db, errs, "UPDATE schedule SET considered_s = ?2, skip_s = CASE WHEN skip_s <= ?2 THEN 0 ELSE skip_s END WHERE id = ?1", "ii",
                  schedule, decision->due_s);
}

static int queue_it(struct service *service, const struct schedule_row *row, const struct plan_decision *decision, int64_t now_s, char *id, struct errs *errs)
{
    cJSON *vars = row->vars ? cJSON_Parse(row->vars) : NULL;
    const struct run_order order = { .playbook = row->playbook, .vars = vars, .by_kind = "schedule", .by_name = row->name, .schedule = row->id,
                                     .due_s = decision->due_s, .deadline_s = now_s + (row->deadline_s ? row->deadline_s : WAIT_S) };
    int result = row->suite ? suite_begin(service, row->suite, "schedule", row->name, row->id, decision->due_s, id, errs)
                            : queue_add(service, &order, id, errs);

    cJSON_Delete(vars);
    return result;
}

/* The runs in whose place this one comes. They release and undo; it waits for their end. */
static void make_room(struct service *service, const char *ids, const char *by)
{
    static struct errs ignored; /* one that has ended meanwhile is no failure */
    char words[SERVICE_REASON_MAX], id[RUN_ID_MAX];

    snprintf(words, sizeof(words), "its place is taken by the schedule '%.80s'", by);
    while (*ids) {
        size_t length = strcspn(ids, " ");

        snprintf(id, sizeof(id), "%.*s", (int)length, ids);
        ignored.count = 0;
        (void)suite_end(service, id, "replaced", &ignored);
        (void)queue_abort(service, id, words, false, &ignored);
        ids += length + (ids[length] == ' ');
    }
}

static int act(struct service *service, const struct scene *scene, const struct plan_decision *decision, int64_t now_s, struct errs *errs)
{
    const struct schedule_row *row = &scene->schedules.items[decision->schedule];
    const char *reason = decision->action == PLAN_REPLACES ? "waits for the end of what it replaces" : decision->reason;
    char id[RUN_ID_MAX] = "";
    int result = db_begin(&service->db, errs);

    if (result < 0)
        return result;
    if (decision->action != PLAN_SKIP)
        result = queue_it(service, row, decision, now_s, id, errs);
    if (result == 0)
        result = record(service, row->id, decision, decision->action == PLAN_SKIP ? "skipped" : row->suite ? "started" : "due", reason, id[0] ? id : NULL, now_s,
                        errs);
    result = db_end(&service->db, result, errs);
    if (result == 0 && decision->action == PLAN_REPLACES)
        make_room(service, decision->reason, row->name);
    return result;
}

/* True when there may be more at once. */
static bool round_of(struct service *service, int64_t now_s, int64_t *ret_next_s, struct errs *errs)
{
    struct plan_decision *decisions = calloc(DECISIONS_MAX, sizeof(*decisions));
    struct scene scene = { .live = NULL };
    struct plan_state state = { .now_s = now_s, .lever_engaged = service->lever_engaged, .paused = service->scheduler_paused,
                                .limits = { service->settings.max_faults, service->settings.max_runs } };
    int result = decisions ? rewind_cursors(service, now_s, errs) : errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    size_t count = 0, acted = 0;

    if (result == 0)
        result = set_scene(service, &scene, now_s, errs);
    *ret_next_s = now_s + FAILED_AGAIN_S;
    state.schedules = scene.plan_schedules;
    state.schedule_count = result == 0 ? scene.schedules.count : 0;
    state.windows = scene.plan_windows;
    state.window_count = scene.windows.count;
    if (result == 0)
        (void)schedule_plan(&state, decisions, 0, ret_next_s);
    if (result == 0 && *ret_next_s && *ret_next_s <= now_s) {
        for (size_t i = 0; i < scene.schedules.count; i++) {
            int64_t start_s = 0;

            if (schedule_next(&scene.plan_schedules[i], now_s, &start_s) && start_s <= now_s)
                examine(service, &scene, i);
        }
        result = look_at_live(service, &scene, errs);
        state.live = scene.live;
        state.live_count = scene.live_count;
        count = result == 0 ? schedule_plan(&state, decisions, DECISIONS_MAX, ret_next_s) : 0;
    }
    for (; result == 0 && acted < count; acted += result == 0)
        result = act(service, &scene, &decisions[acted], now_s, errs);
    if (count)
        service_tell(service, "schedule", cJSON_CreateNull());
    if (result < 0)
        *ret_next_s = now_s + FAILED_AGAIN_S;
    scene_done(&scene);
    free(decisions);
    return result == 0 && *ret_next_s && *ret_next_s <= now_s;
}

int64_t scheduler_tick(struct service *service, int64_t now_s)
{
    static struct errs errs;
    int64_t next_s = 0;

    errs.count = 0;
    for (int i = 0; i < ROUNDS_MAX; i++)
        if (!round_of(service, now_s, &next_s, &errs))
            break;
    service_problem(service, &errs);
    return next_s;
}

bool scheduler_is_frozen(struct service *service, char *name, size_t size)
{
    struct window_rows rows;
    static struct errs errs;
    bool frozen = false;

    errs.count = 0;
    snprintf(name, size, "(the windows cannot be read)");
    if (windows_load(service, &rows, &errs) < 0) {
        service_problem(service, &errs);
        return true;
    }
    for (size_t i = 0; i < rows.count && !frozen; i++) {
        frozen = plan_freeze(&rows.items[i].window, 1, service_now_s()) != NULL;
        if (frozen)
            snprintf(name, size, "%s", rows.items[i].name);
    }
    windows_done(&rows);
    return frozen;
}

/* ---- the whole of it ---------------------------------------------------------------------------------------------------------------------- */

int scheduler_pause_restore(struct service *service, struct errs *errs)
{
    sqlite3_stmt *row;
    int result = db_query(&service->db, errs, &row, "SELECT value FROM setting WHERE name = 'scheduler'", "");

    if (result < 0)
        return result;
    result = db_step(&service->db, row, errs);
    service->scheduler_paused = result > 0 && !strcmp(db_text(row, 0), "paused");
    sqlite3_finalize(row);
    return result < 0 ? result : 0;
}

int timetable_pause(struct service *service, bool paused, struct errs *errs)
{
    int result;

    service_lock(service);
    result = db_run(&service->db, errs, "INSERT INTO setting VALUES ('scheduler', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1", "t",
                    paused ? "paused" : "running");
    if (result == 0) {
        service->scheduler_paused = paused;
        service_tell(service, "schedule", cJSON_CreateNull());
    }
    service_wake(service);
    service_unlock(service);
    return result;
}

struct shown {
    int64_t due_s, start_s;
    size_t schedule;
};

static int by_start(const void *a, const void *b)
{
    const struct shown *first = a, *second = b;

    return (first->start_s > second->start_s) - (first->start_s < second->start_s);
}

void scheduler_describe(struct service *service, cJSON *status)
{
    struct scene scene = { .live = NULL };
    struct shown *shown = NULL;
    static struct errs errs;
    cJSON *next;
    size_t count = 0;
    int64_t now_s = service_now_s();

    errs.count = 0;
    cJSON_AddStringToObject(status, "scheduler", service->scheduler_paused ? "paused" : "running");
    next = cJSON_AddArrayToObject(status, "next");
    if (set_scene(service, &scene, now_s, &errs) == 0)
        shown = calloc(scene.schedules.count + 1, sizeof(*shown));
    for (size_t i = 0; shown && i < scene.schedules.count; i++) {
        shown[count].schedule = i;
        shown[count].due_s = scene.schedules.items[i].enabled ? schedule_next(&scene.plan_schedules[i], now_s, &shown[count].start_s) : 0;
        count += shown[count].due_s != 0;
    }
    if (count)
        qsort(shown, count, sizeof(*shown), by_start);
    for (size_t i = 0; i < count && i < NEXT_SHOWN; i++) {
        cJSON *item = cJSON_CreateObject();
        char text[24];

        cJSON_AddStringToObject(item, "schedule", scene.schedules.items[shown[i].schedule].name);
        snprintf(text, sizeof(text), "%" PRId64, scene.schedules.items[shown[i].schedule].id);
        cJSON_AddStringToObject(item, "id", text);
        cJSON_AddStringToObject(item, "due", service_instant(shown[i].due_s, text, sizeof(text)));
        cJSON_AddStringToObject(item, "start", service_instant(shown[i].start_s, text, sizeof(text)));
        cJSON_AddItemToArray(next, item);
    }
    free(shown);
    scene_done(&scene);
    service_problem(service, &errs);
}
