/* memory_limit and memory_pressure: what is done to a target's memory control group, and what the kernel did about it. */
#include "controller/run/guardian_priv.h"
#include "controller/run/undo.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/param.h>

#define PPM 1000000
#define TICK_NS (20 * NS_PER_MS)

enum { LIMIT_MIN = 1 << 20 };

static uint64_t share_of(uint64_t bytes, int64_t share)
{
    return (uint64_t)((double)bytes * (double)share / PPM);
}

static void remember(struct host_action *action)
{
    action->hits_before = action->kills_before = 0;
    (void)memory_read(&action->memory, MEMORY_LIMIT_HITS, &action->hits_before);
    (void)memory_read(&action->memory, MEMORY_OOM_KILLS, &action->kills_before);
}

static void measure_group(struct guardian *guardian, struct host_action *action)
{
    uint64_t hits, kills, peak;

    if (memory_read(&action->memory, MEMORY_LIMIT_HITS, &hits) == 0 && hits > action->hits_before) /* Linux 6.18 leaves version 1's at 0 */
        host_tell(guardian, action, "limit_hits", hits - action->hits_before);
    if (memory_read(&action->memory, MEMORY_OOM_KILLS, &kills) == 0)
        host_tell(guardian, action, "oom_kills", kills - action->kills_before);
    if (memory_read(&action->memory, MEMORY_PEAK, &peak) == 0)
        host_tell(guardian, action, "peak_bytes", peak);
}

/* ---- memory_limit -------------------------------------------------------------------------------------------------------------- */

static int limit_check(struct guardian *guardian, const struct plan_rule *rule, struct guarded_target *target, struct buf *why)
{
    struct memory_group group;
    bool moves;

    (void)rule;
    return host_memory_place(target, guardian->spec->run_id, &group, &moves, why);
}

/* Into a group of our own and, at the end, back where each was. */
static int move_in(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    struct process_id list[ACTION_ENTRIES_MAX - 8];
    size_t count = guarded_processes(target, list, ARRAY_SIZE(list));
    char record[JOURNAL_ARGUMENT_MAX], identity[PROCESS_TEXT_MAX];
    struct memory_group before;
    int result = memory_group_of(target->id.pid, &before);

    if (result == 0 && count == ARRAY_SIZE(list))
        result = -E2BIG; /* too many to be sure that all of them come back */
    if (result == 0 && snprintf(record, sizeof(record), "%s %s", action->memory.path, before.path) >= (int)sizeof(record))
        result = -ENAMETOOLONG;
    if (result == 0)
        result = host_journal(guardian, action, UNDO_MEMORY_GROUP, record);
    if (result == 0)
        result = memory_group_make(&action->memory);
    for (size_t i = 0; i < count && result == 0; i++) {
        if (memory_group_of(list[i].pid, &before) < 0)
            continue;
        snprintf(record, sizeof(record), "%s %.319s", process_print(&list[i], identity, sizeof(identity)), before.path);
        result = host_journal(guardian, action, UNDO_MOVE, record);
        if (result == 0)
            result = group_enter(action->memory.path, list[i].pid);
        if (result == -ESRCH)
            result = 0;
    }
    return result;
}

static int journal_limits(struct guardian *guardian, struct host_action *action)
{
    int result = 0;

    for (enum memory_value value = MEMORY_LIMIT; value <= MEMORY_SWAP_LIMIT && result == 0; value++) {
        char record[MEMORY_RECORD_MAX];

        result = memory_record(&action->memory, value, record);
        if (result == 0)
            result = host_journal(guardian, action, UNDO_MEMORY, record);
        else if (result == -ENOENT && value == MEMORY_SWAP_LIMIT)
            result = 0; /* a kernel that does not count swap */
    }
    return result;
}

static int limit_begin(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    const struct params_HOST_memory_limit *params = &action->rule.params.HOST_memory_limit;
    uint64_t used = 0, now_ns;
    bool moves = false;
    struct buf why;
    int result;

    buf_init(&why, 1024);
    result = host_memory_place(target, guardian->spec->run_id, &action->memory, &moves, &why);
    buf_done(&why);
    if (result == 0 && moves)
        result = move_in(guardian, action, target);
    if (result == 0)
        result = journal_limits(guardian, action);
    if (result == 0)
        result = memory_read(&action->memory, MEMORY_USED, &used);
    if (result < 0)
        return result;
    remember(action);
    action->wanted = params->limit ? (uint64_t)params->limit : MAX(share_of(used, params->share), (uint64_t)LIMIT_MIN);
    now_ns = clock_now_ns();
    result = memory_set_limit(&action->memory, action->wanted, (uint64_t)params->swap, &action->in_force);
    if (result < 0)
        return result;
    host_acted(guardian, action, now_ns);
    action->tick_ns = now_ns + TICK_NS;
    return 0;
}

/* Version 1 takes no limit below the use: it is pulled down behind the use as that falls. */
static void limit_tick(struct guardian *guardian, struct host_action *action, struct guarded_target *target, uint64_t now_ns)
{
    const struct params_HOST_memory_limit *params = &action->rule.params.HOST_memory_limit;

    (void)guardian;
    action->tick_ns = now_ns + TICK_NS;
    if (action->in_force > action->wanted + 4096)
        (void)memory_set_limit(&action->memory, action->wanted, (uint64_t)params->swap, &action->in_force);
    if (params->restart && target && !target->adopted && !target->id.pid && !action->respawn_ns)
        action->respawn_ns = now_ns + (uint64_t)params->restart;
}

static void limit_measure(struct guardian *guardian, struct host_action *action)
{
    if (!action->in_force)
        return;
    host_tell(guardian, action, "limit_bytes", action->in_force);
    measure_group(guardian, action);
}

const struct host_fault host_memory_limit = { .check = limit_check, .begin = limit_begin, .tick = limit_tick, .measure = limit_measure };

/* ---- memory_pressure ----------------------------------------------------------------------------------------------------------- */

/* Where the holder goes, version MEMORY_NONE being no place of its own. Its presence alone limits nobody, so any group will do. */
static int find_place(const struct guarded_target *target, struct memory_group *ret_group)
{
    struct memory_group group = { .version = MEMORY_NONE };
    int result = 0;

    if (target && target->memory.version != MEMORY_NONE)
        group = target->memory;
    else if (target && !(target->place[0] && memory_group_at(target->place, &group) == 0))
        result = memory_group_of(target->id.pid, &group);
    *ret_group = group;
    return result;
}

static int pressure_check(struct guardian *guardian, const struct plan_rule *rule, struct guarded_target *target, struct buf *why)
{
    struct memory_group group = { .version = MEMORY_NONE };
    char procs[GROUP_PATH_MAX + 32];
    int result = find_place(target, &group);

    (void)guardian;
    (void)rule;
    snprintf(procs, sizeof(procs), "%s/cgroup.procs", group.path);
    if (result == 0 && group.version != MEMORY_NONE && access(procs, W_OK) < 0)
        result = -errno;
    if (result < 0)
        buf_printf(why, "no memory can be taken inside '%s': %s; run as root, or delegate its memory control group", target->name, strerror(-result));
    return result;
}

/* Bytes until the wanted share of the group's limit, or of the machine, is in use. */
static int missing_bytes(const struct memory_group *group, int64_t share, uint64_t *ret_bytes)
{
    uint64_t total, available, used, limit;
    int result = memory_of_machine(&total, &available);

    if (result < 0)
        return result;
    used = total - available;
    if (group->version != MEMORY_NONE && memory_read(group, MEMORY_LIMIT, &limit) == 0 && limit < total) {
        total = limit;
        result = memory_read(group, MEMORY_USED, &used);
    }
    *ret_bytes = share_of(total, share) > used ? share_of(total, share) - used : 0;
    return result;
}

static int pressure_begin(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    const struct params_HOST_memory_pressure *params = &action->rule.params.HOST_memory_pressure;
    struct helper_spec spec = { .job = HELPER_HOLD, .core = -1, .floor = (uint64_t)params->floor, .rate = (uint64_t)params->rate,
                                .bytes = (uint64_t)params->size };
    size_t groups = 0;
    int result = find_place(target, &action->memory);

    if (result == 0 && params->share)
        result = missing_bytes(&action->memory, params->share, &spec.bytes);
    if (result < 0)
        return result;
    remember(action);
    action->wanted = spec.bytes;
    if (action->memory.version != MEMORY_V2 && host_helpers_group(guardian))
        spec.groups[groups++] = host_helpers_group(guardian);
    if (action->memory.version != MEMORY_NONE)
        spec.groups[groups] = action->memory.path;
    return host_helpers_start(guardian, action, &spec, 1);
}

static void pressure_measure(struct guardian *guardian, struct host_action *action)
{
    if (!action->helper_count)
        return;
    host_tell(guardian, action, "taken_bytes", atomic_load(&action->helpers[0].state->peak));
    host_tell(guardian, action, "holder_ended", !process_is_alive(&action->helpers[0].id));
    if (action->memory.version != MEMORY_NONE)
        measure_group(guardian, action);
}

const struct host_fault host_memory_pressure = { .check = pressure_check, .begin = pressure_begin, .tick = host_helpers_tick,
                                                 .renew = host_helpers_renew, .measure = pressure_measure };
