/* Sleeps and waits for descriptors by a clock that the program is shown otherwise. Their end is a point of the shown monotonic
 * clock (or of the one they name); the real call is made again and again, each time until that point as the function of now has it,
 * and never for longer than SLICE_NS, so that a rule that comes, changes or ends is noticed. */
#include "shims/preload/time.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/param.h>

#define SLICE_NS (20 * NS_PER_MS)

uint32_t waits_ms(int limit_ms)
{
    return limit_ms > 0 ? WAITS_MONOTONIC : 0;
}

uint32_t waits_limit(const void *limit)
{
    return limit ? WAITS_MONOTONIC : 0;
}

uint32_t waits_clock(clockid_t clock)
{
    return clock == CLOCK_REALTIME ? WAITS_REALTIME : clock == CLOCK_MONOTONIC ? WAITS_MONOTONIC : 0;
}

/* A time to sleep counts by the monotonic clock, whatever clock it is said of (clock_nanosleep(2)). */
uint32_t waits_sleep(clockid_t clock, int flags)
{
    return flags & TIMER_ABSTIME ? waits_clock(clock) : WAITS_MONOTONIC;
}

uint32_t waits_timer(bool absolute, const struct itimerspec *setting)
{
    return absolute && setting ? waits_until(&setting->it_value) : 0;
}

uint32_t waits_until(const struct timespec *until)
{
    return until ? waits_clock(shim_clock_nearest(timespec_ns(*until))) : 0;
}

static bool is_sound(const struct timespec *time)
{
    return time && time->tv_sec >= 0 && time->tv_nsec >= 0 && time->tv_nsec < (long)NS_PER_S;
}

/* `limit_ns` from now by the shown monotonic clock. */
static uint64_t end_of(uint64_t limit_ns)
{
    uint64_t end_ns;

    return __builtin_add_overflow(shim_clock_shown_ns(CLOCK_MONOTONIC), limit_ns, &end_ns) ? UINT64_MAX : end_ns;
}

static uint64_t limit_of(const struct timespec *limit)
{
    return (uint64_t)limit->tv_sec > UINT64_MAX / NS_PER_S / 2 ? UINT64_MAX / 2 : timespec_ns(*limit);
}

static uint64_t slice_of(clockid_t clock, uint64_t end_ns)
{
    return MIN(shim_clock_left_ns(clock, end_ns), SLICE_NS);
}

static int slice_ms(uint64_t end_ns)
{
    return (int)((slice_of(CLOCK_MONOTONIC, end_ns) + NS_PER_MS - 1) / NS_PER_MS);
}

/* What is left of a wait as the program sees it. */
static uint64_t rest_of(uint64_t end_ns)
{
    uint64_t now_ns = shim_clock_shown_ns(CLOCK_MONOTONIC);

    return end_ns > now_ns ? end_ns - now_ns : 0;
}

/* ---- sleeps ---------------------------------------------------------------------------------------------------------- */

static int sleep_until(shim_sleep_function *real, clockid_t clock, uint64_t end_ns)
{
    for (;;) {
        uint64_t slice_ns = slice_of(clock, end_ns);
        struct timespec slice = ns_timespec(slice_ns);
        int result;

        if (!slice_ns)
            return 0;
        result = real(CLOCK_MONOTONIC, 0, &slice, NULL);
        if (result)
            return result;
    }
}

int shim_clock_nanosleep(shim_sleep_function *real, clockid_t clock, int flags, const struct timespec *time, struct timespec *rest)
{
    uint64_t end_ns;
    int result;

    if ((clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) || !is_sound(time))
        return real(clock, flags, time, rest);
    if (flags & TIMER_ABSTIME)
        return sleep_until(real, clock, timespec_ns(*time));
    end_ns = end_of(limit_of(time));
    result = sleep_until(real, CLOCK_MONOTONIC, end_ns);
    if (result == EINTR && rest)
        *rest = ns_timespec(rest_of(end_ns));
    return result;
}

int shim_nanosleep(shim_sleep_function *real, const struct timespec *time, struct timespec *rest)
{
    int result = shim_clock_nanosleep(real, CLOCK_REALTIME, 0, time, rest);

    if (!result)
        return 0;
    errno = result;
    return -1;
}

int shim_usleep(shim_sleep_function *real, useconds_t time_us)
{
    struct timespec time = ns_timespec(time_us * NS_PER_US);

    return shim_nanosleep(real, &time, NULL);
}

unsigned shim_sleep_s(shim_sleep_function *real, unsigned time_s)
{
    uint64_t end_ns = end_of(time_s * NS_PER_S);

    return sleep_until(real, CLOCK_MONOTONIC, end_ns) ? (unsigned)((rest_of(end_ns) + NS_PER_S / 2) / NS_PER_S) : 0;
}

/* ---- descriptors ----------------------------------------------------------------------------------------------------- */

int shim_poll(shim_poll_function *real, struct pollfd *list, nfds_t count, int limit_ms)
{
    uint64_t end_ns = limit_ms > 0 ? end_of((uint64_t)limit_ms * NS_PER_MS) : 0;
    int result, slice;

    if (limit_ms <= 0)
        return real(list, count, limit_ms);
    do {
        slice = slice_ms(end_ns);
        result = real(list, count, slice);
    } while (!result && slice);
    return result;
}

int shim_ppoll(shim_ppoll_function *real, struct pollfd *list, nfds_t count, const struct timespec *limit, const sigset_t *mask)
{
    struct timespec slice;
    uint64_t end_ns;
    int result;

    if (!is_sound(limit))
        return real(list, count, limit, mask);
    end_ns = end_of(limit_of(limit));
    do {
        slice = ns_timespec(slice_of(CLOCK_MONOTONIC, end_ns));
        result = real(list, count, &slice, mask);
    } while (!result && (slice.tv_sec || slice.tv_nsec));
    return result;
}

/* The sets are answers too: a slice that ended with nothing has emptied them. More descriptors than a set holds are waited for in
 * one go, by the function of now. */
struct sets {
    fd_set *place[3], asked[3];
};

static void sets_keep(struct sets *sets, fd_set *in, fd_set *out, fd_set *bad)
{
    *sets = (struct sets){ .place = { in, out, bad } };
    for (int i = 0; i < 3; i++)
        if (sets->place[i])
            sets->asked[i] = *sets->place[i];
}

static void sets_ask_again(const struct sets *sets)
{
    for (int i = 0; i < 3; i++)
        if (sets->place[i])
            *sets->place[i] = sets->asked[i];
}

int shim_select(shim_select_function *real, int count, fd_set *in, fd_set *out, fd_set *bad, struct timeval *limit)
{
    uint64_t end_ns, slice_ns;
    struct sets sets;
    int result;

    if (!limit || limit->tv_sec < 0 || limit->tv_usec < 0 || count > FD_SETSIZE)
        return real(count, in, out, bad, limit);
    end_ns = end_of((uint64_t)MIN(limit->tv_sec, INT_MAX) * NS_PER_S + (uint64_t)limit->tv_usec * NS_PER_US);
    sets_keep(&sets, in, out, bad);
    do {
        struct timeval slice;

        slice_ns = slice_of(CLOCK_MONOTONIC, end_ns);
        slice = (struct timeval){ .tv_usec = (suseconds_t)((slice_ns + NS_PER_US - 1) / NS_PER_US) };
        sets_ask_again(&sets);
        result = real(count, in, out, bad, &slice);
    } while (!result && slice_ns);
    slice_ns = rest_of(end_ns); /* Linux says what is left */
    *limit = (struct timeval){ .tv_sec = (time_t)(slice_ns / NS_PER_S), .tv_usec = (suseconds_t)(slice_ns % NS_PER_S / NS_PER_US) };
    return result;
}

int shim_pselect(shim_pselect_function *real, int count, fd_set *in, fd_set *out, fd_set *bad, const struct timespec *limit,
                 const sigset_t *mask)
{
    struct timespec slice;
    struct sets sets;
    uint64_t end_ns;
    int result;

    if (!is_sound(limit) || count > FD_SETSIZE)
        return real(count, in, out, bad, limit, mask);
    end_ns = end_of(limit_of(limit));
    sets_keep(&sets, in, out, bad);
    do {
        slice = ns_timespec(slice_of(CLOCK_MONOTONIC, end_ns));
        sets_ask_again(&sets);
        result = real(count, in, out, bad, &slice, mask);
    } while (!result && (slice.tv_sec || slice.tv_nsec));
    return result;
}

int shim_epoll_wait(shim_epoll_function *real, int fd, struct epoll_event *list, int count, int limit_ms)
{
    uint64_t end_ns = limit_ms > 0 ? end_of((uint64_t)limit_ms * NS_PER_MS) : 0;
    int result, slice;

    if (limit_ms <= 0)
        return real(fd, list, count, limit_ms);
    do {
        slice = slice_ms(end_ns);
        result = real(fd, list, count, slice);
    } while (!result && slice);
    return result;
}

int shim_epoll_pwait(shim_epoll_p_function *real, int fd, struct epoll_event *list, int count, int limit_ms, const sigset_t *mask)
{
    uint64_t end_ns = limit_ms > 0 ? end_of((uint64_t)limit_ms * NS_PER_MS) : 0;
    int result, slice;

    if (limit_ms <= 0)
        return real(fd, list, count, limit_ms, mask);
    do {
        slice = slice_ms(end_ns);
        result = real(fd, list, count, slice, mask);
    } while (!result && slice);
    return result;
}

int shim_epoll_pwait2(shim_epoll_p2_function *real, int fd, struct epoll_event *list, int count, const struct timespec *limit,
                      const sigset_t *mask)
{
    struct timespec slice;
    uint64_t end_ns;
    int result;

    if (!is_sound(limit))
        return real(fd, list, count, limit, mask);
    end_ns = end_of(limit_of(limit));
    do {
        slice = ns_timespec(slice_of(CLOCK_MONOTONIC, end_ns));
        result = real(fd, list, count, &slice, mask);
    } while (!result && (slice.tv_sec || slice.tv_nsec));
    return result;
}
