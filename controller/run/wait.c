/* The one place where the engine waits: leases are renewed, events taken in, guards judged, the view drawn. */
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/param.h>

#define TICK_NS (20 * NS_PER_MS)

/* The only mutable globals of a run: what a signal handler can reach. */
static volatile sig_atomic_t stop_signal;

static void on_stop(int number)
{
    stop_signal = number;
}

int run_signals(void)
{
    struct sigaction action = { .sa_handler = on_stop };

    stop_signal = 0;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

void run_abort(struct run *run, const char *format, ...)
{
    va_list args;

    if (run->abort_reason[0])
        return;
    va_start(args, format);
    vsnprintf(run->abort_reason, sizeof(run->abort_reason), format, args);
    va_end(args);
    event_log_note(&run->log, EVENT_aborted, run->abort_reason, NULL, 0, 0);
}

bool run_is_aborted(const struct run *run)
{
    return run->abort_reason[0] != '\0';
}

static void check_lever(struct run *run)
{
    bool halted = false;

    if (lever_read(&run->registry, &halted) == 0 && halted)
        run_abort(run, "halted: the lever was pulled (perturb halt)");
}

void run_tick(struct run *run)
{
    uint64_t now_ns = clock_now_ns();

    if (stop_signal)
        run_abort(run, "stopped by %s", stop_signal == SIGINT ? "Ctrl-C" : strsignal(stop_signal));
    check_lever(run);
    run_renew(run, now_ns);
    if (!run->guardian_gone && executor_pump(&run->guardian) < 0) {
        run->guardian_gone = true;
        run_abort(run, "the guardian is gone");
    }
    if (run->wire.fd >= 0 && executor_pump(&run->wire) < 0) {
        run->wire.fd = -1;
        run_end_shim_captures(run);
        run_abort(run, "the wire executor is gone");
    }
    run_poll_pages(run);
    run_locks_look(run, now_ns);
    run_tell_probes(run, now_ns);
    run_watch_alerts(run);
    run_take_marks(run);
    run_judge_guards(run, now_ns);
    run_watch_peak(run, now_ns);
    run_poll_evidence(run);
    run_sample(run, now_ns);
    live_draw(run, now_ns);
}

/* Sleeps until something came, a tick passed, or the instant. */
static void nap(struct run *run, uint64_t until_ns)
{
    struct pollfd fds[2] = { { .fd = run->guardian_gone ? -1 : run->guardian.fd, .events = POLLIN }, { .fd = run->wire.fd, .events = POLLIN } };
    uint64_t now_ns = clock_now_ns(), wait_ns;

    if (now_ns >= until_ns)
        return;
    wait_ns = MIN(until_ns - now_ns, TICK_NS);
    ppoll(fds, 2, &(struct timespec){ .tv_nsec = (long)wait_ns }, NULL);
}

bool run_wait(struct run *run, uint64_t until_ns)
{
    bool was_aborted = run_is_aborted(run), was_cut_short = run_is_cut_short(run);

    do {
        run_tick(run);
        if ((run_is_aborted(run) && !was_aborted) || (run_is_cut_short(run) && !was_cut_short))
            return false;
        nap(run, until_ns);
    } while (clock_now_ns() < until_ns);
    return true;
}
