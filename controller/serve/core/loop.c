/* The loop: one thread that waits for signals, the clock, the lever, the ends of runs, and for being woken. */
#include "controller/serve/timetable/timetable_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/param.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

enum { SLEEP_MAX_S = 60, FIXED_FDS = 4, STOP_STEP_MS = 200 };

int service_block_signals(struct service *service, struct errs *errs)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    sigdelset(&signals, SIGCHLD); /* pidfds tell */
    service->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return service->signal_fd < 0 ? errs_add(errs, ERR_INTERNAL, NULL, "signalfd: %s", strerror(errno)) : 0;
}

/* Absolute and cancelled by a step of the clock, so that nothing sleeps past what is due. */
static void set_timer(struct service *service, int64_t next_s)
{
    const int64_t due_s[] = { next_s, service->retry_s, service->recovery_again_s, service->ward ? service->ward->due_s : 0 };
    int64_t now_s = service_now_s(), until_s = now_s + SLEEP_MAX_S;
    struct itimerspec when = { .it_value = { 0 } };

    for (size_t i = 0; i < ARRAY_SIZE(due_s); i++)
        if (due_s[i] && due_s[i] < until_s)
            until_s = MAX(due_s[i], now_s + 1);
    when.it_value.tv_sec = (time_t)until_s;
    timerfd_settime(service->timer_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL);
}

static void drain(int fd)
{
    char room[4096];

    while (read(fd, room, sizeof(room)) > 0)
        ;
}

static size_t list_descriptors(const struct service *service, struct pollfd *fds)
{
    const int fixed[FIXED_FDS] = { service->signal_fd, service->timer_fd, service->wake_fd, service->watch_fd };
    size_t count = 0;

    for (size_t i = 0; i < FIXED_FDS; i++)
        fds[count++] = (struct pollfd){ .fd = fixed[i], .events = POLLIN };
    if (service->ward)
        fds[count++] = (struct pollfd){ .fd = service->ward->fd, .events = POLLIN };
    for (size_t i = 0; i < service->child_count; i++)
        if (!service->children[i].gone)
            fds[count++] = (struct pollfd){ .fd = service->children[i].pid_fd, .events = POLLIN };
    return count;
}

/* 0, or the signal that was sent. Only the first counts in one round. */
static int read_signal(const struct service *service)
{
    struct signalfd_siginfo info;

    return read(service->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

static int wait_timeout_ms(const struct service *service, uint64_t stop_ns)
{
    uint64_t now_ns = clock_now_ns(), next_ns = stop_ns ? MIN(stop_ns, now_ns + STOP_STEP_MS * NS_PER_MS) : UINT64_MAX;

    if (service->watchdog_ns)
        next_ns = MIN(next_ns, service->watchdog_due_ns);
    if (next_ns == UINT64_MAX)
        return -1;
    return next_ns <= now_ns ? 0 : (int)((next_ns - now_ns) / NS_PER_MS) + 1;
}

/* Half of what systemd allows, and only while the loop goes round. */
static void feed_watchdog(struct service *service)
{
    uint64_t now_ns = clock_now_ns();

    if (!service->watchdog_ns || now_ns < service->watchdog_due_ns)
        return;
    notify_systemd("WATCHDOG=1");
    service->watchdog_due_ns = now_ns + service->watchdog_ns / 2;
}

/* Told once more, it does not wait. */
static void begin_stop(struct service *service, uint64_t *stop_ns, bool fenced)
{
    if (service->stopping) {
        *stop_ns = fenced ? *stop_ns : clock_now_ns();
        return;
    }
    notify_systemd("STOPPING=1\nSTATUS=aborting every run, with undo");
    service->stopping = true;
    supervisor_end_all(service, false);
    *stop_ns = clock_now_ns() + SERVICE_STOP_MS * NS_PER_MS;
}

/* True when nothing is left to wait for. A run that does not come to its end in time is fenced. */
static bool go_on_stopping(struct service *service, uint64_t *stop_ns, bool *fenced)
{
    if (!supervisor_live(service) && !service->recovery_runs && !service->recovery_wanted)
        return true;
    if (clock_now_ns() < *stop_ns)
        return false;
    if (*fenced)
        return true;
    *fenced = true;
    supervisor_end_all(service, true);
    *stop_ns = clock_now_ns() + SERVICE_FENCE_MS * NS_PER_MS;
    return false;
}

static int64_t work(struct service *service)
{
    int64_t now_s = service_now_s(), schedules_s = 0, suites_s = 0;

    if (service->retry_s && now_s >= service->retry_s)
        service->retry_s = 0;
    supervisor_reap(service);
    lever_look(service);
    if (!service->stopping) {
        schedules_s = scheduler_tick(service, now_s);
        suites_s = suites_tick(service, now_s);
    }
    supervisor_dequeue(service);
    return !schedules_s || (suites_s && suites_s < schedules_s) ? suites_s : schedules_s;
}

enum service_end service_loop(struct service *service)
{
    uint64_t stop_ns = 0;
    bool fenced = false;
    char text[96];

    service->watchdog_ns = notify_watchdog_ns();
    notify_systemd("READY=1\nSTATUS=supervising");
    for (;;) {
        struct pollfd fds[FIXED_FDS + 1 + SERVICE_CHILDREN_MAX];
        size_t count;
        int told;

        if (service->ward)
            service->ward->attend(service->ward, service);
        service_lock(service);
        set_timer(service, work(service));
        if (service->stopping && go_on_stopping(service, &stop_ns, &fenced)) {
            service_unlock(service);
            return SERVICE_STOPPED;
        }
        count = list_descriptors(service, fds);
        service_unlock(service);
        feed_watchdog(service);
        (void)poll(fds, (nfds_t)count, wait_timeout_ms(service, stop_ns));
        for (size_t i = 1; i < FIXED_FDS; i++)
            drain(fds[i].fd); /* the timer's ECANCELED is a step of the clock: looked at like any other waking */
        told = read_signal(service);
        if (told == SIGHUP && !service->stopping) {
            snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_now_ns() / NS_PER_US);
            notify_systemd(text);
            return SERVICE_RESTARTS;
        }
        if (told == SIGTERM || told == SIGINT) {
            service_lock(service);
            begin_stop(service, &stop_ns, fenced);
            service_unlock(service);
        }
    }
}
