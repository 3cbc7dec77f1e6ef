/* Starting and ending helpers. */
#include "shims/host/helper_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURN_NS (20 * NS_PER_MS)

static const char *const job_names[] = { "perturb-burn", "perturb-hold", "perturb-fill" };

bool helper_lives(const struct helper_state *state)
{
    return clock_now_ns() < atomic_load_explicit(&state->lease_end_ns, memory_order_relaxed);
}

void helper_took(struct helper_state *state, uint64_t amount)
{
    if (amount && !atomic_load_explicit(&state->first_ns, memory_order_relaxed))
        atomic_store(&state->first_ns, clock_now_ns());
    atomic_store_explicit(&state->amount, amount, memory_order_relaxed);
    if (amount > atomic_load_explicit(&state->peak, memory_order_relaxed))
        atomic_store_explicit(&state->peak, amount, memory_order_relaxed);
}

void helper_pause(uint64_t ns)
{
    struct timespec time = ns_timespec(MIN(ns, TURN_NS));

    nanosleep(&time, NULL);
}

unsigned helper_cores(pid_t pid)
{
    cpu_set_t cores;

    return sched_getaffinity(pid, sizeof(cores), &cores) == 0 ? (unsigned)CPU_COUNT(&cores) : 1;
}

static int choose_cores(const struct helper_spec *spec)
{
    cpu_set_t cores;

    if (spec->job != HELPER_BURN)
        return 0;
    CPU_ZERO(&cores);
    if (spec->core >= 0)
        CPU_SET((size_t)spec->core, &cores);
    else if (!spec->cores_of)
        for (size_t core = 0; core < CPU_SETSIZE; core++)
            CPU_SET(core, &cores);
    else if (sched_getaffinity(spec->cores_of, sizeof(cores), &cores) < 0)
        return -errno;
    return sched_setaffinity(0, sizeof(cores), &cores) < 0 ? -errno : 0;
}

/* Whoever is told to undo a fault must not find this helper killed in its place, nor the other way round. */
static void offer_to_oom_killer(void)
{
    AUTO_CLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0)
        (void)!write(fd, "1000", 4);
}

static void become_plain(const struct helper_spec *spec, int go_fd)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_NAME, job_names[spec->job]);
    setsid();
    if (go_fd > 3)
        syscall(SYS_close_range, 3U, (unsigned)go_fd - 1, 0U);
    syscall(SYS_close_range, (unsigned)go_fd + 1, ~0U, 0U);
    offer_to_oom_killer();
}

/* It answers its readiness as an errno over the socket it then waits on. */
static _Noreturn void child(const struct helper_spec *spec, struct helper_state *state, pid_t parent, int go_fd)
{
    int32_t result = 0;
    char go;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    become_plain(spec, go_fd);
    for (size_t i = 0; i < HELPER_GROUPS_MAX && spec->groups[i] && result == 0; i++)
        result = group_enter(spec->groups[i], 0);
    if (result == 0)
        result = choose_cores(spec);
    if (write(go_fd, &result, sizeof(result)) != (ssize_t)sizeof(result) || result < 0 || read(go_fd, &go, 1) != 1)
        _exit(1);
    close(go_fd);
    result = spec->job == HELPER_BURN ? helper_burn(spec, state) : spec->job == HELPER_HOLD ? helper_hold(spec, state) : helper_fill(spec, state);
    atomic_store(&state->error, result);
    _exit(result < 0);
}

static int await_ready(int fd)
{
    int32_t result;
    ssize_t got;

    do
        got = read(fd, &result, sizeof(result));
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof(result) ? result : -ECHILD;
}

int helper_start(const struct helper_spec *spec, struct helper *ret_helper, const char **ret_step)
{
    struct helper helper = { .go_fd = -1 };
    pid_t parent = getpid(), pid;
    int fds[2], result;

    *ret_step = "starting a helper";
    helper.state = mmap(NULL, sizeof(*helper.state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (helper.state == MAP_FAILED)
        return -errno;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        munmap(helper.state, sizeof(*helper.state));
        return -errno;
    }
    pid = fork();
    if (pid == 0)
        child(spec, helper.state, parent, fds[1]);
    close(fds[1]);
    result = pid < 0 ? -EAGAIN : await_ready(fds[0]);
    if (result == 0)
        result = process_identify(pid, &helper.id);
    if (result < 0) {
        *ret_step = "entering the control group, or its cores";
        close(fds[0]);
        if (pid > 0)
            waitpid(pid, NULL, 0); /* it ends by itself: nobody says go */
        munmap(helper.state, sizeof(*helper.state));
        return result;
    }
    helper.go_fd = fds[0];
    *ret_helper = helper;
    return 0;
}

void helper_go(struct helper *helper, uint64_t lease_end_ns)
{
    helper_renew(helper, lease_end_ns);
    (void)!send(helper->go_fd, "g", 1, MSG_NOSIGNAL);
}

void helper_renew(struct helper *helper, uint64_t lease_end_ns)
{
    if (helper->state)
        atomic_store(&helper->state->lease_end_ns, lease_end_ns);
}

void helper_end(struct helper *helper)
{
    if (!helper->state)
        return;
    helper_renew(helper, 0);
    process_signal(&helper->id, SIGKILL);
    close(helper->go_fd);
    munmap(helper->state, sizeof(*helper->state));
    *helper = (struct helper){ .go_fd = -1 };
}
