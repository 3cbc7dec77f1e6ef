/* Waits for locks, semaphores and conditions until an instant of a clock that is shown otherwise. As in wait.c the real call is made
 * in slices, each until a true instant; but a condition is waited for once: a signal that came between two slices would be lost, so
 * an end that is not the program's is told as a wake-up without a cause, which POSIX allows (pthread_cond_timedwait(3p)). */
#include "shims/preload/time.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <sys/param.h>

#define SLICE_NS (20 * NS_PER_MS)
#define CONDITION_SLICE_NS (100 * NS_PER_MS)

bool shim_until_is_sound(clockid_t clock, const struct timespec *until)
{
    return (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC) && until && until->tv_sec >= 0 && until->tv_nsec >= 0 &&
           until->tv_nsec < (long)NS_PER_S;
}

static bool slice_end(clockid_t clock, const struct timespec *until, uint64_t slice_ns, struct timespec *ret_end)
{
    uint64_t left_ns = shim_clock_left_ns(clock, timespec_ns(*until));

    (void)shim_true_clock(clock, ret_end);
    *ret_end = ns_timespec(timespec_ns(*ret_end) + MIN(left_ns, slice_ns));
    return left_ns > 0;
}

bool shim_slice_end(clockid_t clock, const struct timespec *until, struct timespec *ret_end)
{
    return slice_end(clock, until, SLICE_NS, ret_end);
}

bool shim_condition_slice_end(clockid_t clock, const struct timespec *until, struct timespec *ret_end)
{
    return slice_end(clock, until, CONDITION_SLICE_NS, ret_end);
}

int shim_condition_told(int result, clockid_t clock, const struct timespec *until)
{
    return result == ETIMEDOUT && shim_clock_left_ns(clock, timespec_ns(*until)) ? 0 : result;
}
