/* See dry_run.h. */
#include "controller/serve/core/dry_run.h"

#include "controller/base/json.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VARS_MAX = 64, TEXT_MAX = 256 << 10, TIMEOUT_MS = 10000, STEP_MS = 50 };

extern char **environ;

struct command {
    char *words[2 * VARS_MAX + 8]; /* "NAME=VALUE" are owned */
    char *owned[VARS_MAX];
    size_t count, owned_count;
};

static int add_vars(struct command *command, const cJSON *vars)
{
    static char option[] = "--var";
    const cJSON *one;

    cJSON_ArrayForEach(one, vars)
    {
        char *value = cJSON_IsString(one) ? NULL : json_text(one), *word = NULL;

        if (command->owned_count == VARS_MAX) {
            free(value);
            return -E2BIG;
        }
        if (asprintf(&word, "%s=%s", one->string, value ? value : one->valuestring) < 0)
            word = NULL;
        free(value);
        if (!word)
            return -ENOMEM;
        command->owned[command->owned_count++] = word;
        command->words[command->count++] = option;
        command->words[command->count++] = word;
    }
    return 0;
}

static int start(struct command *command, int output, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int error;

    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    error = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attributes, command->words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

/* Reads until its output ends, then reaps it. */
static int collect(pid_t pid, int fd, struct buf *text, int *ret_status)
{
    uint64_t deadline_ns = clock_now_ns() + TIMEOUT_MS * NS_PER_MS;
    struct pollfd readable = { .fd = fd, .events = POLLIN };
    char block[4096];
    int status = 0;
    ssize_t got = 1;

    while (got > 0 && clock_now_ns() < deadline_ns)
        if (poll(&readable, 1, STEP_MS) > 0 && (got = read(fd, block, sizeof(block))) > 0)
            (void)buf_append(text, block, (size_t)got); /* what is too much is read and dropped */
    if (got > 0)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (got > 0)
        return -ETIMEDOUT;
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}

int dry_run(const char *file, const cJSON *vars, struct buf *ret_text, int *ret_status)
{
    struct command command = { .words = { (char *)(intptr_t) "perturb", (char *)(intptr_t) "run", (char *)(intptr_t) "--dry-run" }, .count = 3 };
    AUTO_CLOSE int from = -1;
    AUTO_CLOSE int to = -1;
    struct buf text;
    int ends[2], result = add_vars(&command, vars);
    pid_t pid;

    command.words[command.count++] = (char *)(intptr_t) "--";
    command.words[command.count++] = (char *)(intptr_t)file;
    command.words[command.count] = NULL;
    buf_init(&text, TEXT_MAX);
    if (result == 0 && pipe2(ends, O_CLOEXEC) < 0)
        result = -errno;
    if (result == 0) {
        from = ends[0];
        to = ends[1];
        result = start(&command, to, &pid);
        close(TAKE_FD(to));
    }
    if (result == 0)
        result = collect(pid, from, &text, ret_status);
    for (size_t i = 0; i < command.owned_count; i++)
        free(command.owned[i]);
    if (result < 0)
        buf_done(&text);
    else
        *ret_text = text;
    return result;
}
