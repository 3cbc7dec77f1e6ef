/* Runs a program to its end, within the reading's deadline. */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_MS = 10 };

/* In a process group of its own, so that a time limit ends all of it. 0 or -errno. */
static int start(const struct text_list *command, char *const *environment, int output, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int result;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    result = posix_spawnp(ret_pid, command->items[0], &actions, &attributes, (char *const *)command->items, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -result;
}

/* Takes in what there is. False at the end of the output. */
static bool take_output(int fd, struct buf *output)
{
    char block[4096];
    ssize_t got = read(fd, block, sizeof(block));

    if (got > 0)
        (void)buf_append(output, block, (size_t)got); /* what is too much is read and dropped: the program is not to hang */
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Its output until it ends; -ETIMEDOUT when the reading is over first, and then it is ended. */
static int collect(struct reading *reading, pid_t pid, int fd, struct buf *output, int *ret_status)
{
    struct pollfd readable = { .fd = fd, .events = POLLIN };

    for (;;) {
        if (poll(&readable, 1, POLL_MS) > 0 && !take_output(fd, output))
            readable.fd = -1;
        if (readable.fd < 0 && waitpid(pid, ret_status, WNOHANG) == pid)
            return 0;
        if (reading_is_over(reading)) {
            kill(-pid, SIGKILL);
            waitpid(pid, ret_status, 0);
            return -ETIMEDOUT;
        }
    }
}

int reading_run(struct reading *reading, const struct text_list *command, char *const *environment, struct buf *output)
{
    AUTO_CLOSE int from = -1;
    AUTO_CLOSE int to = -1;
    int ends[2], status = 0, result;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return reading_fail(reading, "no pipe: %s", strerror(errno));
    from = ends[0];
    to = ends[1];
    (void)fcntl(to, F_SETFL, 0); /* the program may well not expect EAGAIN */
    result = start(command, environment, to, &pid);
    if (result < 0)
        return reading_fail(reading, "'%s' does not start: %s", command->items[0], strerror(-result));
    close(TAKE_FD(to));
    if (collect(reading, pid, from, output, &status) < 0)
        return reading_fail(reading, "'%s' took longer than its timeout", command->items[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return reading_fail(reading, "'%s' ended with %s %d", command->items[0], WIFEXITED(status) ? "status" : "signal",
                            WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return 0;
}
