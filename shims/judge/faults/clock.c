/* Another time. What a clock shows is no matter of one call: the shim makes a function of it (shims/preload/clock.c) and counts
 * the readings itself; here is judged, and counted, only which waits go by a clock that this rule changes. */
#include "shims/judge/call_fault.h"

static bool clock_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    (void)facts;
    return (occasion->waits & (uint32_t)(rule->params.CALL_clock.clock + 1)) != 0;
}

static void clock_act(const struct call_firing *firing, struct ruling *ruling)
{
    (void)firing;
    (void)ruling;
}

const struct call_ops call_clock = { .applies = clock_applies, .act = clock_act };
