/* Rollback commands: they always run once the faults are gone, by the engine, or by the guardian where it had to fence. */
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

enum { POLL_MS = 10 };

static void pass_time(struct run *run, bool conducts)
{
    if (conducts)
        run_wait(run, clock_now_ns() + POLL_MS * NS_PER_MS);
    else
        poll(NULL, 0, POLL_MS);
}

/* Its own process group, so that a time limit ends all of it; the run's mark, so that undo finds what it leaves. */
static int run_command(struct run *run, const struct rollback *rollback, bool conducts)
{
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)rollback->timeout;
    posix_spawnattr_t attributes;
    int status = 0, result;
    pid_t pid;

    setenv("PERTURB_RUN", run->id, 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    result = posix_spawnp(&pid, rollback->command.items[0], NULL, &attributes, (char *const *)rollback->command.items, environ);
    posix_spawnattr_destroy(&attributes);
    unsetenv("PERTURB_RUN");
    if (result)
        return -result;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_now_ns() >= deadline_ns) {
            kill(-pid, SIGKILL);
            waitpid(pid, &status, 0);
            return -ETIMEDOUT;
        }
        pass_time(run, conducts);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECANCELED;
}

void run_roll_back(struct run *run, bool conducts)
{
    const struct rollback *rollbacks = run->playbook->rollbacks.items;

    for (size_t i = 0; i < run->playbook->rollbacks.count; i++) {
        int result = run_command(run, &rollbacks[i], conducts);
        const char *outcome = result == 0 ? "undone" : result == -ECANCELED ? "failed" : strerror(-result);
        cJSON *entry = cJSON_CreateObject();

        cJSON_AddStringToObject(entry, "entry", rollbacks[i].command.items[0]);
        cJSON_AddStringToObject(entry, "outcome", outcome);
        cJSON_AddItemToArray(run->undo, entry);
        if (conducts)
            event_log_note(&run->log, EVENT_undo, rollbacks[i].command.items[0], outcome, 0, 0);
        run->unproven |= result != 0;
    }
}
