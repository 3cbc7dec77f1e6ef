/* The look-up of a host name fails, is late, or gives another address. The errno is a stand-in: each entry point says it in its
 * own codes (shims/preload/names.c). */
#include "shims/judge/call_fault.h"

#include "scenarios/base/clock.h"

#include <errno.h>

/* In the order of the table's words. */
enum { ANSWER_NXDOMAIN, ANSWER_SERVFAIL, ANSWER_TIMEOUT, ANSWER_WRONG, ANSWER_STALE, ANSWER_REAL };

/* resolv.conf(5): 5 s for each of 2 attempts. */
#define TIMEOUT_NS ((int64_t)(10 * NS_PER_S))

static bool dns_fail_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    int64_t answer = rule->params.CALL_dns_fail.answer;

    (void)facts;
    return occasion->resolves && (occasion->answers || (answer != ANSWER_WRONG && answer != ANSWER_STALE));
}

static void dns_fail_act(const struct call_firing *firing, struct ruling *ruling)
{
    const struct params_CALL_dns_fail *params = &firing->rule->params.CALL_dns_fail;
    int64_t delay_ns = params->answer == ANSWER_TIMEOUT && !params->delay ? TIMEOUT_NS : params->delay;

    if (delay_ns)
        call_sleep(firing, &(struct shape){ .mean_ns = delay_ns }, 0, ruling);
    switch (params->answer) {
    case ANSWER_NXDOMAIN:
        ruling->error = ENOENT;
        break;
    case ANSWER_SERVFAIL:
    case ANSWER_TIMEOUT:
        ruling->error = EAGAIN;
        break;
    case ANSWER_WRONG:
        ruling->answer = RULING_WRONG;
        ruling->address = (uint32_t)params->address;
        break;
    case ANSWER_STALE:
        ruling->answer = RULING_STALE;
        break;
    default:
        break;
    }
}

const struct call_ops call_dns_fail = { .ends_call = true, .applies = dns_fail_applies, .act = dns_fail_act };
