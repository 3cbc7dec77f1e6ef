/* From the asking for a run to its start: what may start now, what waits, what is refused. */
#include "controller/serve/core/service_priv.h"

#include "controller/base/json.h"
#include "controller/run/guardian.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { VARS_MAX = 64, NAME_CHARS_MAX = 200 };

/* ---- the playbook -------------------------------------------------------------------------------------------------------------- */

int service_playbook_file(const struct service *service, const char *name, char *path, size_t size, struct errs *errs)
{
    AUTO_FREE char *real = NULL, *base = realpath(service->playbooks, NULL);
    char joined[SERVICE_PATH_MAX * 2];
    size_t length = base ? strlen(base) : 0;

    if (!name[0] || name[0] == '/' || strlen(name) > NAME_CHARS_MAX || strstr(name, "..") || strstr(name, "/."))
        return errs_add(errs, ERR_INPUT, name, "is no name of a playbook: expected a path below %s", service->playbooks);
    snprintf(joined, sizeof(joined), "%s/%s", service->playbooks, name);
    real = realpath(joined, NULL);
    if (!real || !base) {
        int error = errno;

        errs_add(errs, ERR_INPUT, name, "no such playbook below %s: %s", service->playbooks, strerror(error));
        return error == ENOENT || error == ENOTDIR ? -ENOENT : -error;
    }
    if (strncmp(real, base, length) != 0 || real[length] != '/')
        return errs_add(errs, ERR_INPUT, name, "leads out of %s", service->playbooks);
    if (snprintf(path, size, "%s", real) >= (int)size)
        return errs_add(errs, ERR_INPUT, name, "its path is too long");
    return 0;
}

struct overrides {
    struct variable_override list[VARS_MAX];
    size_t count;
    char *values[VARS_MAX]; /* owned */
};

static int read_overrides(const cJSON *vars, struct overrides *ret_overrides, struct errs *errs)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, vars)
    {
        char *value;

        if (ret_overrides->count == VARS_MAX)
            return errs_add(errs, ERR_INPUT, "vars", "more than %d of them", VARS_MAX);
        if (!cJSON_IsString(item) && !cJSON_IsNumber(item) && !cJSON_IsBool(item))
            return errs_add(errs, ERR_INPUT, item->string, "found no text, number or boolean");
        if (!item->string[0] || strchr(item->string, '='))
            return errs_add(errs, ERR_INPUT, "vars", "'%s' is no name of a variable", item->string);
        value = cJSON_IsString(item) ? strdup(item->valuestring) : json_text(item);
        if (!value)
            return errs_add(errs, ERR_INTERNAL, "vars", "out of memory");
        ret_overrides->values[ret_overrides->count] = value;
        ret_overrides->list[ret_overrides->count++] = (struct variable_override){ item->string, value };
    }
    return 0;
}

static void overrides_done(struct overrides *overrides)
{
    for (size_t i = 0; i < overrides->count; i++)
        free(overrides->values[i]);
}

/* It is only read here: any number does that no playbook is likely to name. */
static uint16_t stand_in_port(void *context, const char *name)
{
    uint16_t *next = context;

    (void)name;
    return (*next)--;
}

/* Reads and checks it as the run will; what it claims. */
int queue_examine(struct service *service, const struct run_order *order, struct claims *ret_claims, struct errs *errs)
{
    struct playbook *playbook = calloc(1, sizeof(*playbook));
    struct overrides overrides = { .count = 0 };
    uint16_t port = UINT16_MAX;
    struct playbook_options options = { overrides.list, 0, stand_in_port, &port };
    const struct protect protect = { &service->settings, service->listen, service->data, service->registry.path };
    char file[SERVICE_PATH_MAX * 2];
    int result = service_playbook_file(service, order->playbook, file, sizeof(file), errs);

    if (!playbook)
        return errs_add(errs, ERR_INTERNAL, order->playbook, "out of memory");
    if (result == 0)
        result = read_overrides(order->vars, &overrides, errs);
    options.override_count = overrides.count;
    if (result == 0)
        result = playbook_read(playbook, file, &options, errs);
    if (result == 0)
        result = protect_judge(&protect, order->playbook, playbook, errs);
    if (result == 0 && claims_of(playbook, ret_claims) < 0)
        result = errs_add(errs, ERR_INTERNAL, order->playbook, "out of memory");
    if (result == 0 && ret_claims->faults > service->settings.max_faults) {
        errs_add(errs, ERR_INPUT, order->playbook, "it has %lld faults at a time, serve.yaml (max_faults) allows %lld", (long long)ret_claims->faults,
                 (long long)service->settings.max_faults);
        claims_done(ret_claims);
        result = -EPERM;
    }
    playbook_done(playbook);
    free(playbook);
    overrides_done(&overrides);
    return result;
}

/* ---- may it start? ---------------------------------------------------------------------------------------------------------------- */

static int check_lever(struct service *service, struct errs *errs)
{
    bool engaged = false;
    int result = lever_read(&service->registry, &engaged);

    if (result < 0) {
        errs_add(errs, ERR_WORLD, "lever", "the safety lever cannot be read: %s", strerror(-result));
        return result;
    }
    if (service->stopping) {
        errs_add(errs, ERR_WORLD, NULL, "the service was told to end");
        return -EPERM;
    }
    if (!engaged)
        return 0;
    errs_add(errs, ERR_WORLD, "lever", "the safety lever is engaged: no run starts until `perturb resume`");
    return -EPERM;
}

/* Does anything that runs stand in the way? */
static int check_room(struct service *service, const struct claims *claims, struct errs *errs)
{
    const char *what = NULL;
    const struct service_child *other = supervisor_overlap(service, claims, &what);
    int64_t faults = 0;

    if (other) {
        errs_add(errs, ERR_WORLD, other->id, "this run is live and has %s as well", what);
        return -EBUSY;
    }
    if ((int64_t)supervisor_live(service) >= service->settings.max_runs) {
        errs_add(errs, ERR_WORLD, NULL, "%zu runs are live: serve.yaml (max_runs) allows no more at a time", supervisor_live(service));
        return -EBUSY;
    }
    for (size_t i = 0; i < service->child_count; i++)
        faults += service->children[i].gone ? 0 : service->children[i].claims.faults;
    if (faults + claims->faults > service->settings.max_faults) {
        errs_add(errs, ERR_WORLD, NULL, "%lld faults may act and it has %lld: serve.yaml (max_faults) allows %lld at a time", (long long)faults,
                 (long long)claims->faults, (long long)service->settings.max_faults);
        return -EBUSY;
    }
    return 0;
}

/* One that was queued earlier and would meet it goes first. */
static bool is_behind_another(struct service *service, const struct claims *claims, struct errs *errs)
{
    sqlite3_stmt *row;
    bool behind = false;

    if (db_query(&service->db, errs, &row, "SELECT claims FROM run_order WHERE state = 'queued'", "") < 0)
        return false;
    while (!behind && db_step(&service->db, row, errs) > 0) {
        struct claims other = { 0 };

        behind = claims_parse(db_text(row, 0), &other) == 0 && claims_overlap(claims, &other);
        claims_done(&other);
    }
    sqlite3_finalize(row);
    return behind;
}

static int insert_with_new_id(struct service *service, const struct run_order *order, const struct claims *claims, char id[RUN_ID_MAX], struct errs *errs)
{
    int result = -EEXIST;

    for (int tries = 0; result == -EEXIST && tries < 16; tries++) {
        order_new_id(service, id);
        result = order_insert(service, order, id, claims, errs);
    }
    return result == -EEXIST ? errs_add(errs, ERR_INTERNAL, id, "no free name for a run") : result;
}

int queue_add(struct service *service, const struct run_order *order, char ret_id[RUN_ID_MAX], struct errs *errs)
{
    struct claims claims = { 0 };
    int result = queue_examine(service, order, &claims, errs);

    if (result == 0)
        result = insert_with_new_id(service, order, &claims, ret_id, errs);
    claims_done(&claims);
    return result;
}

/* It came to its turn and could not become a run: the last of the errors says why. */
static void refuse(struct service *service, const char *id, struct errs *errs)
{
    char reason[ERR_TEXT_MAX];
    int status = errs_status(errs);

    snprintf(reason, sizeof(reason), "%s", errs->list[errs->count - 1].text);
    (void)db_run(&service->db, errs, "UPDATE occurrence SET state = 'skipped', reason = ?2 WHERE run = ?1", "tt", id, reason);
    if (order_mark_ended(service, id, status, "refused", reason, errs) == 0)
        service_tell(service, "run", order_describe(service, id, errs));
}

static int start_locked(struct service *service, const struct run_order *order, char ret_id[RUN_ID_MAX], enum run_state *ret_state, struct errs *errs)
{
    struct claims claims = { 0 };
    struct errs room = { 0 };
    bool waits;
    int result = check_lever(service, errs);

    if (result == 0)
        result = queue_examine(service, order, &claims, errs);
    if (result < 0)
        return result;
    waits = is_behind_another(service, &claims, errs) || check_room(service, &claims, &room) < 0;
    if (waits && !order->waits) {
        errs_add(errs, ERR_WORLD, room.count ? room.list[0].where : NULL, "%s", room.count ? room.list[0].text : "a run that waits already would meet it");
        result = -EBUSY;
    }
    if (result == 0)
        result = insert_with_new_id(service, order, &claims, ret_id, errs);
    claims_done(&claims);
    if (result < 0)
        return result;
    *ret_state = waits ? RUN_QUEUED : RUN_RUNNING;
    if (waits) {
        service_tell(service, "run", order_describe(service, ret_id, errs));
        return 0;
    }
    result = supervisor_launch(service, ret_id, errs);
    if (result < 0 && errs->count)
        refuse(service, ret_id, errs);
    service_wake(service); /* the loop is to watch a new process */
    return result;
}

int service_start_run(struct service *service, const struct run_order *order, char ret_id[RUN_ID_MAX], enum run_state *ret_state, struct errs *errs)
{
    int result;

    service_lock(service);
    result = start_locked(service, order, ret_id, ret_state, errs);
    service_unlock(service);
    return result;
}

/* All of them or none; then what may start does. */
static int start_several(struct service *service, const struct run_order *order, int64_t count, char ret_id[RUN_ID_MAX], struct errs *errs)
{
    struct run_order further = *order;
    char id[RUN_ID_MAX];
    int result = check_lever(service, errs);

    if (result == 0)
        result = db_begin(&service->db, errs);
    if (result < 0)
        return result;
    result = queue_add(service, order, ret_id, errs);
    further.batch = order->batch ? order->batch : ret_id;
    for (int64_t i = 1; result == 0 && i < count; i++)
        result = queue_add(service, &further, id, errs);
    result = db_end(&service->db, result, errs);
    if (result == 0)
        supervisor_dequeue(service);
    service_wake(service);
    return result;
}

int service_start_runs(struct service *service, const struct run_order *order, int64_t repeat, char ret_id[RUN_ID_MAX], enum run_state *ret_state,
                       struct errs *errs)
{
    int result;

    if (repeat < 2)
        return service_start_run(service, order, ret_id, ret_state, errs);
    service_lock(service);
    result = start_several(service, order, repeat, ret_id, errs);
    if (result == 0)
        *ret_state = supervisor_find(service, ret_id) ? RUN_RUNNING : RUN_QUEUED;
    service_unlock(service);
    return result;
}

/* ---- waiting ---------------------------------------------------------------------------------------------------------------------- */

enum { QUEUE_MAX = 256 };

struct waiting {
    char id[RUN_ID_MAX];
    struct claims claims;
    int64_t deadline_s;
    bool scheduled;
};

static size_t read_queue(struct service *service, struct waiting *queue, size_t max, struct errs *errs)
{
    sqlite3_stmt *row;
    size_t count = 0;

    if (db_query(&service->db, errs, &row, "SELECT id, claims, coalesce(deadline_s, 0), schedule IS NOT NULL FROM run_order WHERE state = 'queued' ORDER BY queued_s, rowid", "") < 0)
        return 0;
    while (count < max && db_step(&service->db, row, errs) > 0) {
        snprintf(queue[count].id, sizeof(queue[count].id), "%s", db_text(row, 0));
        queue[count].deadline_s = sqlite3_column_int64(row, 2);
        queue[count].scheduled = sqlite3_column_int(row, 3);
        count += claims_parse(db_text(row, 1), &queue[count].claims) == 0;
    }
    sqlite3_finalize(row);
    return count;
}

static bool meets_earlier(const struct waiting *queue, const bool *waits, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (waits[i] && claims_overlap(&queue[i].claims, &queue[index].claims))
            return true;
    return false;
}

/* What was due and never ran was skipped. */
static void cancel(struct service *service, const char *id, const char *reason, struct errs *errs)
{
    (void)db_run(&service->db, errs, "UPDATE occurrence SET state = 'skipped', reason = ?2 WHERE run = ?1", "tt", id, reason);
    if (order_mark_ended(service, id, -1, "cancelled", reason, errs) == 0)
        service_tell(service, "run", order_describe(service, id, errs));
}

/* True when it goes on waiting. */
static bool try_start(struct service *service, const struct waiting *item, struct errs *errs)
{
    char freeze[ERR_WHERE_MAX], reason[SERVICE_REASON_MAX];
    struct errs room = { 0 };
    int result;

    if (item->scheduled && scheduler_is_frozen(service, freeze, sizeof(freeze))) {
        snprintf(reason, sizeof(reason), "the freeze '%.80s' began while it waited", freeze);
        cancel(service, item->id, reason, errs);
        return false;
    }
    if (item->deadline_s && service_now_s() > item->deadline_s) {
        cancel(service, item->id, "it waited in the queue past its deadline", errs);
        return false;
    }
    if (check_room(service, &item->claims, &room) < 0)
        return true;
    result = supervisor_launch(service, item->id, errs);
    if (result < 0 && errs->count)
        refuse(service, item->id, errs);
    return false;
}

void supervisor_dequeue(struct service *service)
{
    struct waiting *queue = calloc(QUEUE_MAX, sizeof(*queue));
    bool waits[QUEUE_MAX] = { false };
    struct errs errs = { 0 };
    size_t count = queue ? read_queue(service, queue, QUEUE_MAX, &errs) : 0;

    for (size_t i = 0; i < count; i++) {
        if (service->stopping)
            cancel(service, queue[i].id, "the service was told to end", &errs);
        else if (check_lever(service, &errs) < 0)
            cancel(service, queue[i].id, "the safety lever is engaged", &errs);
        else
            waits[i] = meets_earlier(queue, waits, i) || try_start(service, &queue[i], &errs);
        errs.count = 0; /* each is in the row of its run */
    }
    for (size_t i = 0; i < count; i++)
        claims_done(&queue[i].claims);
    free(queue);
}

int queue_abort(struct service *service, const char *id, const char *words, bool forces, struct errs *errs)
{
    struct service_child *child = supervisor_find(service, id);
    cJSON *row = order_describe(service, id, errs);
    int result = 0;

    if (!row) {
        result = errs->count ? -EIO : -ENOENT;
    } else if (!strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, "state")), "queued")) {
        cancel(service, id, words, errs);
        result = errs->count ? -EIO : 0;
    } else if (!child || child->gone) {
        result = -EALREADY;
    } else {
        bool again = child->aborted;

        child->aborted = true;
        result = (forces ? guardian_force_end : guardian_ask_end)(&child->process); /* first: it must not wait for a disk */
        if (!again)
            (void)order_set_reason(service, id, words, errs);
        result = result == -ESRCH ? -EALREADY : result;
    }
    cJSON_Delete(row);
    return result;
}

int service_abort_run(struct service *service, const char *id, const char *by, const char *reason, bool forces, struct errs *errs)
{
    char words[SERVICE_REASON_MAX];
    int result;

    snprintf(words, sizeof(words), "aborted by %s%s%s", by, reason && reason[0] ? ": " : "", reason ? reason : "");
    service_lock(service);
    result = queue_abort(service, id, words, forces, errs);
    service_unlock(service);
    if (result == -ENOENT)
        errs_add(errs, ERR_USAGE, id, "this service started no such run");
    if (result == -EALREADY)
        errs_add(errs, ERR_USAGE, id, "the run has ended");
    return result;
}
