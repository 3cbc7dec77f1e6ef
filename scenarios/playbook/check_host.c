/* Host faults: whom each may name, and what its parameters say together. */
#include "scenarios/playbook/check.h"

#include "scenarios/vocab/decide.h"

enum { LIMIT_MIN = 1 << 20, SYSTEM_LEAVE_MIN = 64 << 20 };

void check_host_target(const struct checker *checker, const struct step *step, const struct target *target)
{
    const struct fault_desc *fault = &fault_descs[step->spec.rule.fault];
    const struct node *place = check_member(step->node, "target");

    if (target->address)
        check_refuse(checker, place, "host.%s needs processes; '%s' is reached by network only", fault->name, step->target);
    else if (fault_places[fault->id] == ACTS_ON_MACHINE)
        check_refuse(checker, place, "host.%s acts on the machine and takes no target%s", fault->name, "");
    else if (!target->command.count && !(fault_places[fault->id] & ACTS_ON_RUNNING))
        check_refuse(checker, place, "host.%s acts on targets that the run spawned; '%s' already runs", fault->name, step->target);
}

/* Exactly one of two parameters, of which 0 is "not given". */
static void check_either(const struct checker *checker, const struct step *step, const char *names, int64_t one, int64_t other)
{
    if (!one == !other)
        check_refuse(checker, step->node, "host.%s needs one of %s", fault_descs[step->spec.rule.fault].name, names);
}

static void check_partition(const struct checker *checker, const struct step *step)
{
    const struct plan_rule *rule = &step->spec.rule;
    const struct target *other = playbook_target(checker->playbook, rule->to);
    struct address_match match;

    if (!rule->to[0])
        return;
    if (other && other->address)
        check_refuse(checker, check_member(step->node, "to"), "to: '%s' is reached by network only; give its address%s", rule->to, "");
    else if (other == playbook_target(checker->playbook, rule->scope) && other)
        check_refuse(checker, check_member(step->node, "to"), "to: '%s' is the target itself%s", rule->to, "");
    else if (!other && address_match_parse(rule->to, &match) < 0)
        check_refuse(checker, check_member(step->node, "to"), "to: '%s' is no target and no address; expected a target's name, a CIDR, "
                     "ADDRESS:PORT or :PORT%s", rule->to, "");
}

static void check_disk_fill(const struct checker *checker, const struct step *step)
{
    const struct plan_rule *rule = &step->spec.rule;

    if (rule->selector.path[0] != '/' || rule->selector.path_negate)
        check_refuse(checker, check_member(step->node, "path"), "host.disk_fill needs path: an absolute directory%s%s", "", "");
    if (rule->params.HOST_disk_fill.system && rule->params.HOST_disk_fill.leave < SYSTEM_LEAVE_MIN)
        check_refuse(checker, check_member(step->node, "leave"), "leave: with system, at least 64MiB stay free%s%s", "", "");
}

void check_host_step(const struct checker *checker, const struct step *step)
{
    const union fault_params *params = &step->spec.rule.params;

    switch (step->spec.rule.fault) {
    case FAULT_HOST_memory_limit:
        check_either(checker, step, "limit and share", params->HOST_memory_limit.limit, params->HOST_memory_limit.share);
        if (params->HOST_memory_limit.limit && params->HOST_memory_limit.limit < LIMIT_MIN)
            check_refuse(checker, check_member(step->node, "limit"), "limit: below 1MiB no program starts%s%s", "", "");
        break;
    case FAULT_HOST_memory_pressure:
        check_either(checker, step, "size and share", params->HOST_memory_pressure.size, params->HOST_memory_pressure.share);
        break;
    case FAULT_HOST_disk_fill:
        check_disk_fill(checker, step);
        break;
    case FAULT_HOST_partition:
        check_partition(checker, step);
        break;
    default:
        break;
    }
}
