/* The host layer as an executor: kill, pause, restart of spawned targets. What does not end by itself is journalled first. */
#include "controller/run/guardian_priv.h"
#include "controller/run/undo.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* In the order of the `signal` choices in faults.def. */
static const int signal_choices[] = { SIGKILL, SIGTERM, SIGABRT, SIGSEGV };

int host_check(struct guardian *guardian, const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->rule_count; i++) {
        const struct plan_rule *rule = &plan->rules[i];

        if (fault_descs[rule->fault].layer != LAYER_HOST)
            return -EINVAL;
        if (!guarded_find(guardian, rule->scope))
            return -ENOENT;
    }
    return 0;
}

static void acted(struct guardian *guardian, struct host_action *action, uint64_t ns)
{
    struct event event;

    action->counts = (struct rule_counts){ .matched = 1, .eligible = 1, .fired = 1, .first_ns = ns, .last_ns = ns };
    event_init(&event, EVENT_fault_acted, SOURCE_HOST, ns, action->rule.name, NULL);
    event.epoch = guardian->epoch;
    guardian_emit(guardian, &event);
}

static int journal_action(struct guardian *guardian, struct host_action *action, const char *verb, const char *argument)
{
    uint64_t seq;
    int result = action->entry_count < ACTION_ENTRIES_MAX ? journal_plan(&guardian->journal, verb, argument, &seq) : -ENOSPC;

    if (result == 0)
        action->entries[action->entry_count++] = seq;
    return result;
}

static int end_target(struct guardian *guardian, struct host_action *action, struct guarded_target *target, int number)
{
    uint64_t now_ns;
    int result = journal_action(guardian, action, UNDO_KILLED, target->name);

    if (result < 0)
        return result;
    action->victim = target->id.pid;
    now_ns = clock_now_ns();
    result = number == SIGKILL && target->group[0] ? group_kill(target->group) : process_signal(&target->id, number);
    if (result == 0)
        acted(guardian, action, now_ns);
    return result;
}

static int pause_group(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    uint64_t now_ns;
    int result = journal_action(guardian, action, UNDO_FREEZE, target->group);

    if (result < 0)
        return result;
    now_ns = clock_now_ns();
    result = group_freeze(target->group, true);
    if (result == 0)
        acted(guardian, action, now_ns);
    return result;
}

static int pause_tree(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    struct process_id list[ACTION_ENTRIES_MAX];
    size_t count = process_tree(target->id.pid, list, ARRAY_SIZE(list));
    char identity[PROCESS_TEXT_MAX];
    int result = count ? 0 : -ESRCH;
    uint64_t now_ns;

    for (size_t i = 0; i < count && result == 0; i++)
        result = journal_action(guardian, action, UNDO_STOP, process_print(&list[i], identity, sizeof(identity)));
    now_ns = clock_now_ns();
    for (size_t i = 0; i < count && result == 0; i++)
        process_signal(&list[i], SIGSTOP);
    if (result == 0)
        acted(guardian, action, now_ns);
    return result;
}

static int act(struct guardian *guardian, struct host_action *action)
{
    const union fault_params *params = &action->rule.params;
    struct guarded_target *target = guarded_find(guardian, action->rule.scope);
    int result;

    if (!target || !target->id.pid)
        return -ESRCH;
    switch (action->rule.fault) {
    case FAULT_HOST_kill:
        return end_target(guardian, action, target, signal_choices[params->HOST_kill.signal % 4]);
    case FAULT_HOST_pause:
        return target->group[0] ? pause_group(guardian, action, target) : pause_tree(guardian, action, target);
    case FAULT_HOST_restart:
        result = end_target(guardian, action, target, signal_choices[params->HOST_restart.signal % 4]);
        if (result == 0)
            action->respawn_ns = clock_now_ns() + (uint64_t)params->HOST_restart.down;
        return result;
    default:
        return -EINVAL;
    }
}

/* The release of one action: what it did is undone. */
static void end_action(struct guardian *guardian, struct host_action *action)
{
    struct guarded_target *target = guarded_find(guardian, action->rule.scope);

    for (size_t i = action->entry_count; i-- > 0;)
        undo_one(&guardian->journal, action->entries[i]);
    action->entry_count = 0;
    action->active = false;
    if (target && action->rule.fault != FAULT_HOST_pause)
        action->respawn_ns = clock_now_ns();
}

void host_forget(struct guardian *guardian)
{
    for (size_t i = 0; i < GUARDIAN_ACTIONS_MAX; i++) {
        struct host_action *action = &guardian->actions[i];

        for (size_t j = action->entry_count; j-- > 0;)
            undo_one(&guardian->journal, action->entries[j]);
        *action = (struct host_action){ .active = false };
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
    int result = plan ? host_check(guardian, plan) : 0;

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
        if (result < 0)
            return result;
    }
    return 0;
}

size_t host_status(const struct guardian *guardian, struct rule_status *list, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < GUARDIAN_ACTIONS_MAX && count < max; i++) {
        const struct host_action *action = &guardian->actions[i];

        if (!action->rule.name[0])
            continue;
        list[count] = (struct rule_status){ .counts = action->counts, .in_flight = action->active };
        memcpy(list[count++].name, action->rule.name, RULE_NAME_MAX);
    }
    return count;
}

/* A respawn waits for its time and for the old process to have gone. */
void host_timers(struct guardian *guardian)
{
    uint64_t now_ns = clock_now_ns();

    for (size_t i = 0; i < GUARDIAN_ACTIONS_MAX; i++) {
        struct host_action *action = &guardian->actions[i];
        struct guarded_target *target = action->respawn_ns ? guarded_find(guardian, action->rule.scope) : NULL;

        if (!target || now_ns < action->respawn_ns || (target->id.pid && target->id.pid == action->victim))
            continue;
        action->respawn_ns = 0;
        guarded_respawn(guardian, target);
    }
}

uint64_t host_next_timer_ns(const struct guardian *guardian)
{
    uint64_t next_ns = UINT64_MAX;

    for (size_t i = 0; i < GUARDIAN_ACTIONS_MAX; i++)
        if (guardian->actions[i].respawn_ns && guardian->actions[i].respawn_ns < next_ns)
            next_ns = guardian->actions[i].respawn_ns;
    return next_ns;
}
