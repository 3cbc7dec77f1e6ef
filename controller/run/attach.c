/* `attach: true`: the shim is brought into a target that already runs. Every process of its group, or it and its descendants, comes
 * under one page; the first has to take it, what cannot be reached of the others is noted. The journal has it before it is done;
 * undoing detaches them all (undo.c). */
#include "controller/run/ready.h"
#include "controller/run/run_priv.h"
#include "controller/run/undo.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/attach_page.h"
#include "shims/host/group.h"
#include "shims/host/process.h"

#include <errno.h>
#include <string.h>
#include <sys/param.h>

enum { PROCESSES_MAX = CONTROL_PROCESSES_MAX, ATTEMPT_MAX_MS = 2000, TRIES_MAX = 4 };

/* The first of them in front. */
static size_t list_processes(const struct target *wanted, pid_t first, pid_t list[PROCESSES_MAX])
{
    struct process_id tree[PROCESSES_MAX];
    char path[GROUP_PATH_MAX];
    size_t count = 0;

    if (wanted->pid != ABSENT) {
        int kin = process_tree(first, tree, PROCESSES_MAX);

        for (int i = 0; i < kin; i++)
            list[count++] = tree[i].pid;
    } else if (wanted->cgroup || ready_unit_group(wanted->unit, path) == 0) {
        count = group_pids(wanted->cgroup ? wanted->cgroup : path, list, PROCESSES_MAX);
    }
    for (size_t i = 0; i < count; i++)
        if (list[i] == first) {
            list[i] = list[0];
            list[0] = first;
            return count;
        }
    list[0] = first;
    return MAX(count, 1u);
}

/* The lease is renewed between attempts, each of which is shorter than a part of it. */
static int add_process(struct run *run, const struct target_run *target, pid_t pid, char why[ATTACH_WHY_MAX])
{
    int attempt_ms = (int)MIN((uint64_t)run->playbook->lease / 2 / NS_PER_MS, (uint64_t)ATTEMPT_MAX_MS);
    struct attach_outcome outcome;
    int result = -ETIMEDOUT;

    for (int attempt = 0; result == -ETIMEDOUT && attempt < TRIES_MAX; attempt++) {
        run_renew(run, clock_now_ns());
        result = attach_page_add(target->page, pid, attempt_ms, &outcome, why);
    }
    if (result == 0)
        event_log_note(&run->log, EVENT_target_attached, target->target->name, NULL, pid, (int64_t)outcome.stopped_ns);
    return result;
}

static void note_missed(struct run *run, const struct target_run *target, pid_t pid, const char *why)
{
    char note[ATTACH_WHY_MAX + 120];

    snprintf(note, sizeof(note), "process %d of target '%s' is not under the shim: %s", (int)pid, target->target->name, why);
    cJSON_AddItemToArray(run->notes, cJSON_CreateString(note));
}

/* A worker that the main process forked since is under the page already. */
static bool is_under(const struct page *page, pid_t pid)
{
    struct page_process list[CONTROL_PROCESSES_MAX];
    size_t count = page_processes(page, list, CONTROL_PROCESSES_MAX);

    for (size_t i = 0; i < count; i++)
        if (list[i].pid == pid)
            return true;
    return false;
}

static int make_page(struct run *run, struct target_run *target)
{
    char name[CONTROL_NAME_MAX], identity[PROCESS_TEXT_MAX], argument[CONTROL_NAME_MAX + PROCESS_TEXT_MAX];
    struct process_id id;
    int result = process_identify(target->pid, &id);

    if (result < 0)
        return result;
    run_page_name(run, target->target, name);
    snprintf(argument, sizeof(argument), "%s %s", name, process_print(&id, identity, sizeof(identity)));
    result = run_journal(run, UNDO_ATTACH, argument);
    return result < 0 ? result : attach_page_make(&run->registry, name, &target->page);
}

int run_attach(struct run *run, struct target_run *target)
{
    char where[ERR_WHERE_MAX], why[ATTACH_WHY_MAX] = "";
    pid_t list[PROCESSES_MAX];
    size_t count = list_processes(target->target, target->pid, list);
    int result = make_page(run, target);

    node_where(&run->playbook->document, target->target->node, where, sizeof(where));
    if (result < 0)
        return errs_add(run->errs, ERR_WORLD, where, "the control page of '%s' cannot be made: %s", target->target->name, strerror(-result));
    result = add_process(run, target, target->pid, why);
    if (result < 0)
        return errs_add(run->errs, ERR_WORLD, where, "target '%s' cannot be attached, process %d: %s", target->target->name, (int)target->pid, why);
    for (size_t i = 1; i < count; i++)
        if (!is_under(target->page, list[i]) && add_process(run, target, list[i], why) < 0)
            note_missed(run, target, list[i], why);
    return run_captures_by_shim(run, target->target) ? run_arm_page(run, target) : 0;
}
