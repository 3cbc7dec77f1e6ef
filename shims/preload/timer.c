/* Timers that the kernel keeps. An absolute setting is moved by what lies between the shown clock and the true one as it is set; the
 * rate does not count, nor for relative settings and periods: nobody could take it back from the kernel when the rule ends. */
#include "shims/preload/time.h"

#include "scenarios/base/clock.h"

#include <sys/param.h>

const struct itimerspec *shim_timer(bool absolute, const struct itimerspec *setting, struct itimerspec *room)
{
    struct timespec now;
    uint64_t shown_ns, at_ns;
    clockid_t clock;

    if (!absolute || !setting || setting->it_value.tv_sec < 0 || (!setting->it_value.tv_sec && !setting->it_value.tv_nsec))
        return setting;
    at_ns = timespec_ns(setting->it_value);
    clock = shim_clock_nearest(at_ns); /* a timerfd does not tell its own */
    shown_ns = shim_clock_shown_ns(clock);
    (void)shim_true_clock(clock, &now);
    *room = *setting;
    room->it_value = ns_timespec(timespec_ns(now) + MAX(at_ns, shown_ns) - shown_ns); /* what is due is due now */
    return room;
}
