/* A thread stops at the first wrapped call that it makes in each period, whichever call that is: what a page fault to a dead disk, a
 * debugger, a garbage collector or a starved core does to it. latency acts on calls, this on threads. */
#include "shims/judge/call_fault.h"

/* Periods count from the begin of the rule's window. */
static uint64_t thread_stall_turn(const struct plan_rule *rule, uint64_t since_arm_ns)
{
    int64_t every_ns = rule->params.CALL_thread_stall.every;

    if (since_arm_ns < rule->selector.from_ns)
        return 0;
    return every_ns > 0 ? (since_arm_ns - rule->selector.from_ns) / (uint64_t)every_ns + 1 : 1;
}

static void thread_stall_act(const struct call_firing *firing, struct ruling *ruling)
{
    const struct params_CALL_thread_stall *params = &firing->rule->params.CALL_thread_stall;

    call_sleep(firing, &(struct shape){ SHAPE_JITTER(params), SHAPE_WAVE(params) }, params->correlation, ruling);
}

const struct call_ops call_thread_stall = { .turn = thread_stall_turn, .act = thread_stall_act };
