/* An allocation returns NULL with ENOMEM. */
#include "shims/judge/call_fault.h"

#include <errno.h>

static void alloc_fail_act(const struct call_firing *firing, struct ruling *ruling)
{
    (void)firing;
    ruling->error = ENOMEM;
}

const struct call_ops call_alloc_fail = { .ends_call = true, .act = alloc_fail_act };
