/* What a program prints: its first number, or a number of the JSON it prints. */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { OUTPUT_MAX = 1 << 20, POLL_MS = 10 };

/* In a process group of its own, so that a time limit ends all of it. 0 or -errno. */
static int start(const struct command_probe *command, int output, pid_t *ret_pid)
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
    result = posix_spawnp(ret_pid, command->run.items[0], &actions, &attributes, (char *const *)command->run.items, environ);
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
        buf_append(output, block, (size_t)got);
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

static int first_number(const char *text, double *ret_value)
{
    for (const char *place = text; *place; place++) {
        char *end;

        if (!isdigit((unsigned char)*place))
            continue;
        if (place > text && place[-1] == '.')
            place--;
        if (place > text && place[-1] == '-')
            place--;
        *ret_value = strtod(place, &end);
        return 0;
    }
    return -ENOENT;
}

static int command_read(struct reading *reading)
{
    const struct command_probe *command = &reading->probe->command;
    AUTO_CLOSE int from = -1;
    AUTO_CLOSE int to = -1;
    int ends[2], status = 0, result;
    struct buf output;
    double value;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return reading_fail(reading, "no pipe: %s", strerror(errno));
    from = ends[0];
    to = ends[1];
    (void)fcntl(to, F_SETFL, 0); /* the program may well not expect EAGAIN */
    result = start(command, to, &pid);
    if (result < 0)
        return reading_fail(reading, "'%s' does not start: %s", command->run.items[0], strerror(-result));
    close(TAKE_FD(to));
    buf_init(&output, OUTPUT_MAX);
    result = collect(reading, pid, from, &output, &status);
    if (result < 0)
        result = reading_fail(reading, "'%s' took longer than its timeout", command->run.items[0]);
    else if (!WIFEXITED(status) || WEXITSTATUS(status))
        result = reading_fail(reading, "'%s' ended with %s %d", command->run.items[0], WIFEXITED(status) ? "status" : "signal",
                              WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    else if (command->path ? json_number_at(output.data, command->path, &value) < 0
                           : first_number(output.data, &value) < 0)
        result = reading_fail(reading, "'%s' printed no number%s%s", command->run.items[0], command->path ? " at " : "",
                              command->path ? command->path : "");
    else
        reading_put(reading, reading->now_ns, value);
    buf_done(&output);
    return result;
}

const struct probe_reader probe_command = { .read = command_read };
