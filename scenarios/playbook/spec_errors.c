/* Errnos with weights: "EIO", "EIO:3+EINTR" (three times out of four EIO), "any". */
#include "scenarios/playbook/spec_errors.h"

#include "scenarios/playbook/value.h"
#include "scenarios/vocab/errnos.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { WORD_MAX = 48 };

static int add_error(struct plan_rule *rule, const char *key, char *word, const char *where, struct errs *errs)
{
    char *colon = strchr(word, ':');
    int64_t error, weight = 1;

    if (colon) {
        *colon = '\0';
        if (value_parse(key, UNIT_COUNT, NULL, 1, UINT16_MAX, colon + 1, where, errs, &weight) < 0)
            return -EINVAL;
    }
    if (value_parse(key, UNIT_ERRNO, NULL, 1, RULE_ERRNO_MAX, word, where, errs, &error) < 0)
        return -EINVAL;
    for (uint32_t i = 0; i < rule->error_count; i++)
        if (rule->errors[i].error == error)
            return errs_add(errs, ERR_INPUT, where, "%s: %s stands there twice", key, word);
    if (rule->error_count == RULE_ERRORS_MAX)
        return errs_add(errs, ERR_INPUT, where, "%s: more than %d errnos", key, RULE_ERRORS_MAX);
    rule->errors[rule->error_count++] = (struct rule_error){ (uint16_t)error, (uint16_t)weight };
    return 0;
}

int spec_errors_parse(struct plan_rule *rule, const struct param_desc *param, const char *text, const char *where, struct errs *errs)
{
    int64_t *slot = &rule->params.slot[param->slot];

    rule->error_count = 0;
    rule->error_any = !strcmp(text, "any");
    if (rule->error_any)
        return 0;
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, "+");
        char word[WORD_MAX];

        if (length >= sizeof(word))
            return errs_add(errs, ERR_INPUT, where, "%s: '%s' is no errno name such as ENOSPC", param->name, text);
        memcpy(word, at, length);
        word[length] = '\0';
        if (add_error(rule, param->name, word, where, errs) < 0)
            return -EINVAL;
        at += length;
        if (!*at)
            break;
    }
    *slot = rule->errors[0].error;
    if (rule->error_count == 1) { /* a weight of its own says nothing */
        rule->error_count = 0;
        memset(rule->errors, 0, sizeof(rule->errors));
    }
    return 0;
}

void spec_errors_print(struct buf *out, const struct plan_rule *rule)
{
    if (rule->error_any)
        buf_puts(out, "any");
    for (uint32_t i = 0; i < rule->error_count; i++) {
        char name[32];

        buf_printf(out, "%s%s", i ? "+" : "", value_print(UNIT_ERRNO, NULL, rule->errors[i].error, name, sizeof(name)));
        if (rule->errors[i].weight != 1)
            buf_printf(out, ":%u", rule->errors[i].weight);
    }
}

static void warn_of(const struct plan_rule *rule, int64_t error, const char *where, struct errs *errs)
{
    char names[128] = "", name[32];
    size_t length = 0;

    if (errno_fits(rule->points, (int)error))
        return;
    for (size_t i = 0; i < POINT_COUNT; i++)
        if ((rule->points & BIT(i)) && length < sizeof(names) - 24)
            length += (size_t)snprintf(names + length, sizeof(names) - length, "%s@%s", length ? ", " : "", point_descs[i].name);
    errs_warn(errs, where, "%s is not an errno that calls at %s return, by their manual pages", value_print(UNIT_ERRNO, NULL, error, name, sizeof(name)), names);
}

void spec_errors_warn(const struct plan_rule *rule, const char *where, struct errs *errs)
{
    const struct fault_desc *fault = &fault_descs[rule->fault];

    for (size_t i = 0; i < fault->param_count && !rule->error_any && fault->layer == LAYER_CALL; i++) {
        if (fault->params[i].unit != UNIT_ERRNO)
            continue;
        if (!rule->error_count)
            warn_of(rule, rule->params.slot[fault->params[i].slot], where, errs);
        for (uint32_t k = 0; k < rule->error_count; k++)
            warn_of(rule, rule->errors[k].error, where, errs);
    }
}

/* Nothing chosen but where: it acts on every call of its points. */
static bool takes_all(const struct plan_rule *rule)
{
    struct plan_rule bare;

    plan_rule_init(&bare, &fault_descs[rule->fault], NULL);
    return !memcmp(&bare.selector, &rule->selector, sizeof(bare.selector));
}

static bool ends_calls(const struct plan_rule *rule)
{
    return rule->fault == FAULT_CALL_fail || rule->fault == FAULT_CALL_alloc_fail || rule->fault == FAULT_CALL_fake_success;
}

void spec_rules_warn(const struct plan_rule *const *rules, size_t count, size_t last, const char *where, struct errs *errs)
{
    const struct plan_rule *later = rules[last];

    for (size_t i = 0; i < last && i < count; i++) {
        const struct plan_rule *sooner = rules[i];

        if ((ends_calls(later) || later->fault == FAULT_CALL_drop_connection) && ends_calls(sooner) && takes_all(sooner) &&
            !(later->points & ~sooner->points) && !strcmp(sooner->scope, later->scope)) {
            errs_warn(errs, where, "never acts: '%s' before it ends every call at the same points", sooner->name);
            return;
        }
    }
}
