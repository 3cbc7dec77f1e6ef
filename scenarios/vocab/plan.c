/* Defaults and the check of a foreign image. Shim-safe. */
#include "scenarios/vocab/plan.h"

#include "scenarios/base/rng.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static void copy_name(char *target, size_t size, const char *source)
{
    size_t length = strnlen(source, size - 1);

    memcpy(target, source, length);
    memset(target + length, 0, size - length);
}

void plan_rule_init(struct plan_rule *rule, const struct fault_desc *fault, const char *name)
{
    memset(rule, 0, sizeof(*rule));
    copy_name(rule->name, sizeof(rule->name), name ? name : fault->name);
    rule->name_hash = rng_hash(rule->name);
    rule->fault = fault->id;
    rule->points = fault_points_unnamed(fault->id);
    for (size_t i = 0; i < fault->param_count; i++)
        rule->params.slot[fault->params[i].slot] = param_initial(&fault->params[i], rule->params.slot);
    rule->selector = (struct selector){
        .probability_ppm = PPM,
        .first = 1,
        .nth = 1,
        .size_max = UINT64_MAX,
        .fd = -1,
        .direction = DIRECTION_BOTH,
    };
}

static bool terminated(const char *text, size_t size)
{
    return strnlen(text, size) < size;
}

static bool address_is_sound(const struct address_match *match)
{
    switch (match->family) {
    case 0:
        return true;
    case AF_INET:
        return match->prefix_bits <= 32;
    case AF_INET6:
        return match->prefix_bits <= 128;
    default:
        return false;
    }
}

static bool rule_is_sound(const struct plan_rule *rule)
{
    const struct selector *selector = &rule->selector;
    const struct fault_desc *fault;

    if (rule->fault >= FAULT_COUNT)
        return false;
    fault = &fault_descs[rule->fault];
    if (!terminated(rule->name, RULE_NAME_MAX) || !terminated(rule->scope, RULE_SCOPE_MAX) ||
        !terminated(rule->to, RULE_SCOPE_MAX) ||
        !terminated(selector->path, RULE_PATH_MAX) || !terminated(selector->thread, RULE_THREAD_MAX) ||
        !terminated(selector->caller, RULE_CALLER_MAX) || !terminated(selector->host, RULE_HOST_MAX) ||
        !terminated(selector->label, RULE_LABEL_MAX))
        return false;
    if (rule->name_hash != rng_hash(rule->name) || rule->points & ~fault_points[rule->fault] || !selector->nth ||
        !selector->first || selector->probability_ppm > PPM)
        return false;
    for (size_t i = 0; i < fault->param_count; i++) {
        int64_t value = rule->params.slot[fault->params[i].slot];

        if (value < fault->params[i].minimum || value > param_maximum(&fault->params[i]))
            return false;
    }
    if (rule->error_any > 1 || rule->error_count > RULE_ERRORS_MAX)
        return false;
    for (uint32_t i = 0; i < rule->error_count; i++)
        if (!rule->errors[i].error || rule->errors[i].error > RULE_ERRNO_MAX || !rule->errors[i].weight)
            return false;
    return address_is_sound(&selector->peer) && address_is_sound(&selector->client);
}

int plan_check(const struct plan *plan, size_t size)
{
    if (size < sizeof(*plan) || plan->magic != PLAN_MAGIC || plan->version != PLAN_VERSION ||
        plan->rule_size != sizeof(struct plan_rule))
        return -EPROTO;
    if (plan->rule_count > PLAN_RULES_MAX || size < PLAN_SIZE(plan->rule_count))
        return -EINVAL;
    for (uint32_t i = 0; i < plan->rule_count; i++)
        if (!rule_is_sound(&plan->rules[i]))
            return -EINVAL;
    return 0;
}
