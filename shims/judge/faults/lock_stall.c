/* A thread sleeps before it takes a lock. */
#include "shims/judge/call_fault.h"

static void lock_stall_act(const struct call_firing *firing, struct ruling *ruling)
{
    const struct params_CALL_lock_stall *params = &firing->rule->params.CALL_lock_stall;

    call_sleep(firing, &(struct shape){ SHAPE_JITTER(params), SHAPE_WAVE(params) }, params->correlation, ruling);
}

const struct call_ops call_lock_stall = { .act = lock_stall_act };
