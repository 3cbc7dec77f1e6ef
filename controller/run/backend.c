/* Which way call faults get into a target: the preload shim, or a supervisor (shims/seccomp). */
#include "controller/run/run_priv.h"

#include "shims/host/inspect.h"

#include <errno.h>
#include <string.h>

static bool is_call_step(const struct run *run, size_t index, const struct target *target)
{
    const struct step *step = run->steps[index].step;

    return step->layer == LAYER_CALL && !strcmp(step->spec.rule.scope, target->name);
}

/* What its filter has to intercept: the points of its steps, and connects, which a capture may redirect. */
static uint64_t points_of(const struct run *run, const struct target *target)
{
    uint64_t points = target->shim == 1 ? POINTS_FILE | POINTS_SOCKET : POINT_BIT(connect);

    for (size_t i = 0; i < run->playbook->method.count; i++)
        if (is_call_step(run, i, target))
            points |= run->steps[i].step->spec.rule.points;
    return points;
}

static int check_steps(struct run *run, const struct target *target, const char *where)
{
    int result = 0;

    for (size_t i = 0; i < run->playbook->method.count; i++) {
        const struct plan_rule *rule = &run->steps[i].step->spec.rule;
        const char *why = NULL;

        if (is_call_step(run, i, target))
            why = selector_asks_caller(&rule->selector) ? "a supervisor does not know who called" :
                                             inspect_beyond_supervisor((enum fault_id)rule->fault, rule->points);
        if (why)
            result = errs_add(run->errs, ERR_WORLD, where, "the fault '%s' cannot act by backend seccomp: %s", rule->name, why);
    }
    return result;
}

static enum backend choose(const struct target *target, struct inspection *inspection, const char **ret_why)
{
    *ret_why = NULL;
    switch (target->backend) {
    case TARGET_BACKEND_PRELOAD:
        return inspect_unreachable(inspection) ? (enum backend)0 : BACKEND_PRELOAD;
    case TARGET_BACKEND_SECCOMP:
        return inspect_unsupervisable(inspection) ? (enum backend)0 : BACKEND_SUPERVISE;
    default:
        return inspect_backend(inspection, ret_why);
    }
}

int run_choose_backend(struct run *run, struct target_run *target)
{
    const struct target *wanted = target->target;
    struct inspection *inspection = NULL;
    char path[4096], where[ERR_WHERE_MAX], note[ERR_TEXT_MAX];
    enum backend backend = wanted->backend == TARGET_BACKEND_SECCOMP ? BACKEND_SUPERVISE : BACKEND_PRELOAD;
    const char *why = NULL;
    int result = 0;

    node_where(&run->playbook->document, wanted->node, where, sizeof(where));
    if (inspect_find_program(wanted->command.items[0], path, sizeof(path)) == 0 && inspect_file(path, &inspection) == 0)
        backend = choose(wanted, inspection, &why);
    if (!backend)
        result = errs_add(run->errs, ERR_WORLD, where, "no call fault can reach '%s': %s", wanted->command.items[0],
                          wanted->backend == TARGET_BACKEND_SECCOMP ? inspect_unsupervisable(inspection) : inspect_unreachable(inspection));
    if (backend == BACKEND_SUPERVISE) {
        target->points = points_of(run, wanted);
        result = check_steps(run, wanted, where);
    }
    if (backend == BACKEND_SUPERVISE && why) {
        snprintf(note, sizeof(note), "target '%s' runs under backend seccomp, because %s; its filter is part of the baseline", wanted->name, why);
        cJSON_AddItemToArray(run->notes, cJSON_CreateString(note));
    }
    inspection_free(inspection);
    return result;
}
