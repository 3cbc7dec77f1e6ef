/* The host layer as an executor: its actions and their timers, and kill, pause and restart. What does not end by itself is
 * journalled first. */
#include "controller/run/guardian_priv.h"
#include "controller/run/undo.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* In the order of the `signal` choices in faults.def. */
static const int signal_choices[] = { SIGKILL, SIGTERM, SIGABRT, SIGSEGV };

static const struct host_fault *fault_of(const struct plan_rule *rule);

int host_check(struct guardian *guardian, const struct plan *plan, struct buf *why)
{
    for (uint32_t i = 0; i < plan->rule_count; i++) {
        const struct plan_rule *rule = &plan->rules[i];
        const struct host_fault *fault;
        struct guarded_target *target = rule->scope[0] ? guarded_find(guardian, rule->scope) : NULL;
        int result;

        if (fault_descs[rule->fault].layer != LAYER_HOST)
            return -EINVAL;
        if (!target && (rule->scope[0] || !(fault_places[rule->fault] & ACTS_ON_MACHINE)))
            return -ENOENT;
        fault = fault_of(rule);
        result = fault->check ? fault->check(guardian, rule, target, why) : 0;
        if (result < 0)
            return result;
    }
    return 0;
}

void host_acted(struct guardian *guardian, struct host_action *action, uint64_t ns)
{
    struct event event;

    action->counts = (struct rule_counts){ .matched = 1, .eligible = 1, .fired = 1, .first_ns = ns, .last_ns = ns };
    event_init(&event, EVENT_fault_acted, SOURCE_HOST, ns, action->rule.name, NULL);
    event.epoch = guardian->epoch;
    guardian_emit(guardian, &event);
}

void host_tell(struct guardian *guardian, const struct host_action *action, const char *what, uint64_t value)
{
    struct event event;

    event_init(&event, EVENT_fault_measured, SOURCE_HOST, clock_now_ns(), action->rule.name, what);
    event.epoch = guardian->epoch;
    event.number[0] = value > INT64_MAX ? INT64_MAX : (int64_t)value;
    guardian_emit(guardian, &event);
}

void host_expired(struct guardian *guardian, const struct host_action *action)
{
    struct event event;

    event_init(&event, EVENT_fault_expired, SOURCE_HOST, clock_now_ns(), action->rule.name, NULL);
    event.epoch = guardian->epoch;
    guardian_emit(guardian, &event);
}

int host_journal(struct guardian *guardian, struct host_action *action, const char *verb, const char *argument)
{
    uint64_t seq;
    int result = action->entry_count < ACTION_ENTRIES_MAX ? journal_plan(&guardian->journal, verb, argument, &seq) : -ENOSPC;

    if (result == 0)
        action->entries[action->entry_count++] = seq;
    return result;
}

/* ---- kill, pause, restart -------------------------------------------------------------------------------------------------- */

static int end_target(struct guardian *guardian, struct host_action *action, struct guarded_target *target, int number)
{
    uint64_t now_ns;
    int result = host_journal(guardian, action, UNDO_KILLED, target->name);

    if (result < 0)
        return result;
    action->victim = target->id.pid;
    now_ns = clock_now_ns();
    result = number == SIGKILL && target->group[0] ? group_kill(target->group) : process_signal(&target->id, number);
    if (result == 0)
        host_acted(guardian, action, now_ns);
    return result;
}

static int pause_group(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    uint64_t now_ns;
    int result = host_journal(guardian, action, UNDO_FREEZE, target->group);

    if (result < 0)
        return result;
    now_ns = clock_now_ns();
    result = group_freeze(target->group, true);
    if (result == 0)
        host_acted(guardian, action, now_ns);
    return result;
}

static int pause_tree(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    struct process_id list[ACTION_ENTRIES_MAX];
    size_t count = guarded_processes(target, list, ARRAY_SIZE(list));
    char identity[PROCESS_TEXT_MAX];
    int result = count ? 0 : -ESRCH;
    uint64_t now_ns;

    for (size_t i = 0; i < count && result == 0; i++)
        result = host_journal(guardian, action, UNDO_STOP, process_print(&list[i], identity, sizeof(identity)));
    now_ns = clock_now_ns();
    for (size_t i = 0; i < count && result == 0; i++)
        process_signal(&list[i], SIGSTOP);
    if (result == 0)
        host_acted(guardian, action, now_ns);
    return result;
}

static int kill_begin(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    return end_target(guardian, action, target, signal_choices[action->rule.params.HOST_kill.signal % 4]);
}

static int pause_begin(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    return target->group[0] ? pause_group(guardian, action, target) : pause_tree(guardian, action, target);
}

static int restart_begin(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    int result = end_target(guardian, action, target, signal_choices[action->rule.params.HOST_restart.signal % 4]);

    if (result == 0)
        action->respawn_ns = clock_now_ns() + (uint64_t)action->rule.params.HOST_restart.down;
    return result;
}

static const struct host_fault host_kill = { .begin = kill_begin }, host_pause = { .begin = pause_begin },
                               host_restart = { .begin = restart_begin };

/* ---- actions --------------------------------------------------------------------------------------------------------------- */

static const struct host_fault *fault_of(const struct plan_rule *rule)
{
    static const struct host_fault *const faults[FAULT_COUNT] = {
        [FAULT_HOST_kill] = &host_kill,
        [FAULT_HOST_pause] = &host_pause,
        [FAULT_HOST_restart] = &host_restart,
        [FAULT_HOST_memory_limit] = &host_memory_limit,
        [FAULT_HOST_memory_pressure] = &host_memory_pressure,
        [FAULT_HOST_cpu_burn] = &host_cpu_burn,
        [FAULT_HOST_disk_fill] = &host_disk_fill,
        [FAULT_HOST_partition] = &host_partition,
    };

    return faults[rule->fault];
}

static int act(struct guardian *guardian, struct host_action *action)
{
    struct guarded_target *target = action->rule.scope[0] ? guarded_find(guardian, action->rule.scope) : NULL;

    if (action->rule.scope[0] && (!target || !target->id.pid))
        return -ESRCH;
    return fault_of(&action->rule)->begin(guardian, action, target);
}

/* What it did is measured, then undone, newest first. */
static void undo_action(struct guardian *guardian, struct host_action *action)
{
    const struct host_fault *fault = fault_of(&action->rule);

    if (fault->count)
        fault->count(action);
    if (fault->measure)
        fault->measure(guardian, action);
    for (size_t i = action->entry_count; i-- > 0;)
        undo_one(&guardian->journal, action->entries[i]);
    for (size_t i = 0; i < action->helper_count; i++)
        helper_end(&action->helpers[i]);
    free(action->helpers);
    free(action->cut);
    action->helpers = NULL;
    action->cut = NULL;
    action->helper_count = action->entry_count = 0;
    action->tick_ns = 0;
    action->active = false;
}

/* The release of one action: what it ended is started again. */
static void end_action(struct guardian *guardian, struct host_action *action)
{
    struct guarded_target *target = guarded_find(guardian, action->rule.scope);

    undo_action(guardian, action);
    if (target && !target->adopted && action->rule.fault != FAULT_HOST_pause)
        action->respawn_ns = clock_now_ns();
}

void host_forget(struct guardian *guardian)
{
    for (size_t i = 0; i < GUARDIAN_ACTIONS_MAX; i++) {
        if (guardian->actions[i].active)
            undo_action(guardian, &guardian->actions[i]);
        guardian->actions[i] = (struct host_action){ .active = false };
    }
}

static struct host_action *find_action(struct guardian *guardian, const char *name)
{
    for (size_t i = 0; i < GUARDIAN_ACTIONS_MAX; i++)
        if (guardian->actions[i].active && !strcmp(guardian->actions[i].rule.name, name))
            return &guardian->actions[i];
    return NULL;
}

static const struct plan_rule *plan_find(const struct plan *plan, const char *name)
{
    for (uint32_t i = 0; plan && i < plan->rule_count; i++)
        if (!strcmp(plan->rules[i].name, name))
            return &plan->rules[i];
    return NULL;
}

int host_apply(struct guardian *guardian, const struct plan *plan)
{
    struct buf why;
    int result;

    buf_init(&why, 1024);
    result = plan ? host_check(guardian, plan, &why) : 0;
    buf_done(&why);
    if (result < 0)
        return result;
    for (size_t i = 0; i < GUARDIAN_ACTIONS_MAX; i++)
        if (guardian->actions[i].active && !plan_find(plan, guardian->actions[i].rule.name))
            end_action(guardian, &guardian->actions[i]);
    for (uint32_t i = 0; plan && i < plan->rule_count; i++) {
        struct host_action *slot = find_action(guardian, plan->rules[i].name);

        if (slot)
            continue;
        for (size_t free = 0; free < GUARDIAN_ACTIONS_MAX && !slot; free++)
            if (!guardian->actions[free].active && !guardian->actions[free].respawn_ns)
                slot = &guardian->actions[free];
        if (!slot)
            return -ENOSPC;
        *slot = (struct host_action){ .active = true, .rule = plan->rules[i] };
        result = act(guardian, slot);
        if (result < 0) {
            undo_action(guardian, slot);
            return result;
        }
    }
    return 0;
}

size_t host_status(struct guardian *guardian, struct rule_status *list, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < GUARDIAN_ACTIONS_MAX && count < max; i++) {
        struct host_action *action = &guardian->actions[i];

        if (!action->rule.name[0])
            continue;
        if (action->active && fault_of(&action->rule)->count)
            fault_of(&action->rule)->count(action);
        list[count] = (struct rule_status){ .counts = action->counts, .in_flight = action->active };
        memcpy(list[count++].name, action->rule.name, RULE_NAME_MAX);
    }
    return count;
}

/* A respawn waits for its time and for the old process to have gone. */
static void respawn_when_due(struct guardian *guardian, struct host_action *action, uint64_t now_ns)
{
    struct guarded_target *target = action->respawn_ns ? guarded_find(guardian, action->rule.scope) : NULL;

    if (!target || now_ns < action->respawn_ns || (target->id.pid && target->id.pid == action->victim))
        return;
    action->respawn_ns = 0;
    guarded_respawn(guardian, target);
}

void host_timers(struct guardian *guardian)
{
    uint64_t now_ns = clock_now_ns();

    for (size_t i = 0; i < GUARDIAN_ACTIONS_MAX; i++) {
        struct host_action *action = &guardian->actions[i];

        if (action->active && action->tick_ns && now_ns >= action->tick_ns)
            fault_of(&action->rule)->tick(guardian, action, guarded_find(guardian, action->rule.scope), now_ns);
        respawn_when_due(guardian, action, now_ns);
    }
}

/* Helpers and kernel timers are renewed with the lease; what ended by itself is told once. */
void host_renew(struct guardian *guardian, uint64_t ttl_ns)
{
    for (size_t i = 0; i < GUARDIAN_ACTIONS_MAX; i++) {
        struct host_action *action = &guardian->actions[i];
        const struct host_fault *fault = action->active ? fault_of(&action->rule) : NULL;

        if (fault && fault->renew && fault->renew(action, ttl_ns) < 0)
            host_expired(guardian, action);
    }
}

uint64_t host_next_timer_ns(const struct guardian *guardian)
{
    uint64_t next_ns = UINT64_MAX;

    for (size_t i = 0; i < GUARDIAN_ACTIONS_MAX; i++) {
        const struct host_action *action = &guardian->actions[i];

        if (action->respawn_ns && action->respawn_ns < next_ns)
            next_ns = action->respawn_ns;
        if (action->active && action->tick_ns && action->tick_ns < next_ns)
            next_ns = action->tick_ns;
    }
    return next_ns;
}
