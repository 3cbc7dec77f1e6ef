/* Starting targets. Between fork and exec only async-signal-safe calls are made. */
#include "shims/host/spawn.h"

#include "scenarios/base/cleanup.h"
#include "shims/host/group.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum spawn_step { STEP_GROUP, STEP_DIRECTORY, STEP_LOG, STEP_HOOK, STEP_EXEC };

static const char *const step_names[] = { "entering its control group", "changing to its directory", "opening its log", "attending",
                                          "starting" };

struct spawn_failure {
    int error;
    enum spawn_step step;
};

static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int redirect_output(const char *log)
{
    int input = open("/dev/null", O_RDONLY);
    int output = open(log ? log : "/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);

    if (input < 0 || output < 0)
        return -errno;
    if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
        return -errno;
    return 0;
}

static _Noreturn void fail(int pipe_fd, int error, enum spawn_step step)
{
    struct spawn_failure failure = { error, step };

    (void)!write(pipe_fd, &failure, sizeof(failure));
    _exit(127);
}

static _Noreturn void child(const struct spawn_spec *spec, pid_t parent, int pipe_fd)
{
    int result;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    setsid();
    result = spec->group && spec->group[0] ? group_enter(spec->group, 0) : 0;
    if (result == 0 && spec->memory_group)
        result = group_enter(spec->memory_group, 0);
    if (result < 0)
        fail(pipe_fd, -result, STEP_GROUP);
    if (spec->directory && chdir(spec->directory) < 0)
        fail(pipe_fd, errno, STEP_DIRECTORY);
    result = redirect_output(spec->log);
    if (result < 0)
        fail(pipe_fd, -result, STEP_LOG);
    reset_signals();
    result = spec->in_child ? spec->in_child(spec->context) : 0;
    if (result < 0)
        fail(pipe_fd, -result, STEP_HOOK);
    execvpe(spec->argv[0], spec->argv, spec->environment);
    fail(pipe_fd, errno, STEP_EXEC);
}

int spawn_start(const struct spawn_spec *spec, pid_t *ret_pid, const char **ret_step)
{
    struct spawn_failure failure;
    pid_t parent = getpid(), pid;
    int pipe_fds[2], hooked;
    ssize_t got;

    *ret_step = "starting";
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid == 0)
        child(spec, parent, pipe_fds[1]);
    close(pipe_fds[1]);
    if (pid < 0) {
        close(pipe_fds[0]);
        return -EAGAIN;
    }
    hooked = spec->in_parent ? spec->in_parent(spec->context, pid) : 0;
    if (hooked < 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        close(pipe_fds[0]);
        *ret_step = step_names[STEP_HOOK];
        return hooked;
    }
    do
        got = read(pipe_fds[0], &failure, sizeof(failure));
    while (got < 0 && errno == EINTR);
    close(pipe_fds[0]);
    if (got == (ssize_t)sizeof(failure)) {
        waitpid(pid, NULL, 0);
        *ret_step = step_names[failure.step];
        return -failure.error;
    }
    *ret_pid = pid;
    return 0;
}
