/* What a process whose main business is to be in time asks of the scheduler. Ground: sched(7), sched_setattr(2); Linux 6.12 for
 * sched_attr::sched_runtime of SCHED_OTHER. */
#include "scenarios/base/priority.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NICENESS = -10, SLICE_NS = 100000 };

/* A short slice lets it preempt at once without a larger share; older kernels, and users without the right, get what they can. */
void priority_raise(void)
{
    struct sched_attr attributes = { .size = sizeof(attributes), .sched_policy = SCHED_NORMAL, .sched_runtime = SLICE_NS };
    int niceness;

    if (syscall(SYS_sched_getscheduler, 0) != SCHED_NORMAL)
        return; /* whoever gave it a class of its own knows why */
    errno = 0;
    niceness = getpriority(PRIO_PROCESS, 0);
    if (niceness == -1 && errno)
        niceness = 0;
    attributes.sched_nice = MIN(niceness, (int)NICENESS);
    if (syscall(SYS_sched_setattr, 0, &attributes, 0) == 0)
        return;
    attributes.sched_nice = niceness;
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
    (void)setpriority(PRIO_PROCESS, 0, NICENESS);
}
