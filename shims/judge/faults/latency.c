/* The call sleeps before it is made. */
#include "shims/judge/call_fault.h"

static void latency_act(const struct call_firing *firing, struct ruling *ruling)
{
    const struct params_CALL_latency *params = &firing->rule->params.CALL_latency;

    call_sleep(firing, &(struct shape){ SHAPE_JITTER(params), SHAPE_WAVE(params) }, params->correlation, ruling);
}

const struct call_ops call_latency = { .act = latency_act };
