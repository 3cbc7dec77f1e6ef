/* Sleeping inside somebody else's call. The controller may die, renew or disarm meanwhile: the sleep is cut into slices, each
 * ends at the lease at the latest and is woken by any change of the page's generation. */
#include "shims/preload/shim.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SIGNAL_LAST = 64, SIGNAL_CANCEL = 32, SIGNAL_SETXID = 33 }; /* the last two are the C library's own */

enum { SLACK_MAX_NS = 1000000 };

#define SLICE_NS (20 * NS_PER_MS) /* how late a thread that sleeps notices that it was cancelled */
#define POINTS_CANCELLABLE (POINTS_FILE | POINTS_SOCKET | POINT_BIT(poll))

extern void pthread_testcancel(void) __attribute__((weak));

/* Has the program a handler that does not restart interrupted calls? Then it expects EINTR, and may rely on it to get out of
 * a blocking call (alarm(2) as a timeout). If all its handlers restart, EINTR would be something it never sees. */
static bool expects_eintr(void)
{
    for (int number = 1; number <= SIGNAL_LAST; number++) {
        struct sigaction action;

        if (number == SIGNAL_CANCEL || number == SIGNAL_SETXID || sigaction(number, NULL, &action) < 0)
            continue;
        if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN && !(action.sa_flags & SA_RESTART))
            return true;
    }
    return false;
}

/* A timer may come so much late (prctl(2), PR_GET_TIMERSLACK; 50 us unless the program changed it), which is neither ours to change
 * nor to add to a delay: it is set so much earlier, and should it come early, the rest is waited out awake. */
static uint64_t timer_slack_ns(void)
{
    int slack_ns = prctl(PR_GET_TIMERSLACK);

    return slack_ns > 0 && slack_ns < SLACK_MAX_NS ? (uint64_t)slack_ns : 0;
}

bool shim_sleep(uint64_t ns, uint32_t generation, uint32_t points)
{
    const struct control_rules *rules = &shim_page.rules;
    bool cancellable = (points & POINTS_CANCELLABLE) != 0;
    uint64_t now_ns = shim_now_ns(), slack_ns = timer_slack_ns();
    uint64_t end_ns = now_ns + (ns < SHIM_SLEEP_MAX_NS ? ns : SHIM_SLEEP_MAX_NS);

    while (now_ns < end_ns) {
        uint64_t lease_ns = __atomic_load_n(&rules->lease_ns, __ATOMIC_ACQUIRE);
        uint64_t until_ns = end_ns < lease_ns ? end_ns : lease_ns;
        struct timespec slice;

        if (now_ns >= lease_ns || __atomic_load_n(&rules->generation, __ATOMIC_ACQUIRE) != generation)
            break;
        if (until_ns - now_ns <= slack_ns) {
            now_ns = shim_now_ns();
            continue;
        }
        if (cancellable && until_ns - now_ns > SLICE_NS)
            until_ns = now_ns + SLICE_NS;
        slice = ns_timespec(until_ns - now_ns - slack_ns);
        if (syscall(SYS_futex, &rules->generation, FUTEX_WAIT, generation, &slice, NULL, 0) < 0 && errno == EINTR && cancellable &&
            expects_eintr())
            return true;
        if (cancellable && pthread_testcancel)
            pthread_testcancel();
        now_ns = shim_now_ns();
    }
    return false;
}
