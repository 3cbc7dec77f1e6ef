/* The call fails with an errno instead of being made. */
#include "shims/judge/call_fault.h"

#include <errno.h>

static bool fail_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    (void)facts;
    (void)rule;
    return !occasion->keeps_result;
}

static void fail_act(const struct call_firing *firing, struct ruling *ruling)
{
    ruling->error = call_error(firing, firing->rule->params.CALL_fail.error, EIO);
}

const struct call_ops call_fail = { .ends_call = true, .applies = fail_applies, .act = fail_act };
