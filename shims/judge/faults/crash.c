/* A signal to the whole process as it makes the call. If it survives the signal, the call is made. */
#include "shims/judge/call_fault.h"

#include <signal.h>

static void crash_act(const struct call_firing *firing, struct ruling *ruling)
{
    static const int signals[] = { SIGKILL, SIGTERM, SIGABRT, SIGSEGV }; /* in the order of the table's words */

    ruling->signal = signals[firing->rule->params.CALL_crash.signal & 3];
}

const struct call_ops call_crash = { .act = crash_act };
