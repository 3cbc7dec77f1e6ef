/* The keeper: it holds the listener too, does nothing while the supervisor lives, and lets everything through when it does not.
 *
 * A kernel that loses the last holder of a listener fails every intercepted call with ENOSYS, and a call that was received by a
 * process that died is never answered by itself. The keeper prevents the one and answers the other: the numbers of received calls
 * lie in memory that it shares with the supervisor. */
#include "shims/seccomp/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Away from the starter's terminal, signals and descriptors. Only the listener stays, as descriptor 3. Not a session of its own:
 * the kernel would schedule it apart from its target (autogroups), and an intercepted call is two switches between them. */
static int detach(int listener)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t none;

    (void)setpgid(0, 0);
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    (void)prctl(PR_SET_NAME, "perturb-keeper");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN); /* it goes when its last process goes */
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (listener == STDERR_FILENO + 1)
        fcntl(listener, F_SETFD, FD_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && nothing >= 0; fd++)
        (void)dup2(nothing, fd);
    if (listener != STDERR_FILENO + 1)
        listener = dup3(listener, STDERR_FILENO + 1, O_CLOEXEC);
    syscall(SYS_close_range, STDERR_FILENO + 2, ~0U, 0);
    return listener;
}

static bool has_hung_up(int listener)
{
    struct pollfd place = { .fd = listener };

    return poll(&place, 1, 0) == 1 && (place.revents & (POLLHUP | POLLERR));
}

/* What the dead supervisor had received goes on; what comes is let through. A call that it had answered is not there any more. */
static _Noreturn void let_everything_through(struct shared *shared, int listener)
{
    union notification notification;

    (void)notify_continue(listener, shared->notification.call.id);
    for (size_t i = 0; i < HELD_MAX; i++)
        if (shared->held[i])
            (void)notify_continue(listener, shared->held[i]);
    for (;;) {
        struct pollfd place = { .fd = listener, .events = POLLIN };

        if (poll(&place, 1, -1) == 1 && (place.revents & (POLLHUP | POLLERR)))
            _exit(0);
        if (place.revents & POLLIN && !notify_receive(listener, &notification))
            (void)notify_continue(listener, notification.call.id);
    }
}

/* It watches the supervisor alone, which leaves when the filter has no user any more: whoever waits on the listener beside the
 * receiver is asked at every notification. */
_Noreturn void keeper_stand_by(struct shared *shared, int listener, int supervisor_pidfd)
{
    for (;;) {
        struct pollfd place = { .fd = supervisor_pidfd, .events = POLLIN };

        if (poll(&place, 1, -1) <= 0)
            continue;
        (void)waitpid(-1, NULL, WNOHANG);
        if (has_hung_up(listener))
            _exit(0);
        let_everything_through(shared, listener);
    }
}

_Noreturn void keeper_main(struct shared *shared, int listener, const char *page_path, pid_t target)
{
    int pidfd;
    pid_t pid;

    listener = detach(listener);
    pid = fork();
    if (pid == 0)
        (void)prctl(PR_SET_NAME, "perturb-superv");
    if (pid == 0)
        supervisor_main(shared, listener, page_path, target);
    pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0 || has_hung_up(listener))
        let_everything_through(shared, listener);
    keeper_stand_by(shared, listener, pidfd);
}
