/* A thread sleeps while it holds a lock: so do those that want it. */
#include "shims/judge/call_fault.h"

/* A rule of all points holds after the acquisition; before the release only where that was asked for. */
static bool lock_hold_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    (void)facts;
    return !(occasion->points & POINT_BIT(unlock)) || rule->points == POINT_BIT(unlock);
}

static void lock_hold_act(const struct call_firing *firing, struct ruling *ruling)
{
    const struct params_CALL_lock_hold *params = &firing->rule->params.CALL_lock_hold;
    const struct shape shape = { SHAPE_JITTER(params), SHAPE_WAVE(params) };

    if (firing->occasion->points & POINT_BIT(unlock))
        call_sleep(firing, &shape, params->correlation, ruling);
    else
        call_hold(firing, &shape, params->correlation, ruling);
}

const struct call_ops call_lock_hold = { .applies = lock_hold_applies, .act = lock_hold_act };
