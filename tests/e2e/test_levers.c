/* Halt, resume, panic, Ctrl-C and guards: how a person, or the run itself, ends it early. Each case has a place of its own, and all
 * go at the same time. What is asserted of faults is what bystanders see: the victim's own log, a connection through the proxy. */
#include "scenarios/base/clock.h"
#include "tests/support/bystander.h"
#include "tests/support/kill_ordeal.h"
#include "tests/support/watched_run.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RELEASE_MS = 1000, QUICK_MS = 200, RUN_MS_MAX = 60000 };

struct trial {
    struct watched_run run;
    struct bystander bystander;
    char id[64];
    FILE *log;
    int found;
};

static void blame(struct trial *trial, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void blame(struct trial *trial, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(trial->log, "# FOUND: ");
    vfprintf(trial->log, format, args);
    fprintf(trial->log, "\n");
    va_end(args);
    trial->found++;
}

/* ---- steps of the cases ------------------------------------------------------------------------------------------------- */

static bool await_event(struct trial *trial, const char *kind, const char *text)
{
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)watched_scale(20000) * NS_PER_MS;
    char line[1024];

    while (clock_now_ns() < deadline_ns) {
        if (watched_event(&trial->run, kind, text, line, sizeof(line)))
            return true;
        if (!watched_alive(trial->run.pid))
            break;
        poll(NULL, 0, 5);
    }
    blame(trial, "the run never told %s %s", kind, text);
    return false;
}

/* A run with every fault acting, its victim and its probe; false when it did not get there. */
static bool disturb(struct trial *trial, const char *lease)
{
    if (!bystander_start(&trial->bystander, &trial->run)) {
        blame(trial, "the victim did not start");
        return false;
    }
    bystander_run(&trial->bystander, &trial->run, 1, lease);
    if (!await_event(trial, "target_ready", "ward"))
        return false;
    if (bystander_probe(&trial->bystander, &trial->run))
        blame(trial, "the probe cannot be opened");
    if (!await_event(trial, "fault_armed", "latency-3"))
        return false;
    if (bystander_echo(&trial->bystander, 1) < 300 * NS_PER_MS)
        blame(trial, "the wire fault does not act");
    watched_id(&trial->run, trial->id, sizeof(trial->id));
    return true;
}

/* The faults have gone, as bystanders see it, within a second of `since_ns`. */
static void judge_release(struct trial *trial, uint64_t since_ns)
{
    uint64_t deadline_ns = since_ns + (uint64_t)watched_scale(RELEASE_MS) * NS_PER_MS, took_ns, last_ns, quick_ns = 0;

    do {
        took_ns = bystander_echo(&trial->bystander, since_ns);
        if (took_ns < QUICK_MS * NS_PER_MS)
            quick_ns = clock_now_ns();
    } while (!quick_ns && took_ns != UINT64_MAX && clock_now_ns() < deadline_ns);
    if (!quick_ns || quick_ns > deadline_ns)
        blame(trial, took_ns == UINT64_MAX ? "the connection through the proxy died" : "the wire fault acts on");
    while (clock_now_ns() < deadline_ns)
        poll(NULL, 0, 50);
    poll(NULL, 0, 200);
    last_ns = bystander_last_slow(&trial->bystander, NULL);
    if (!last_ns)
        blame(trial, "the call fault never acted on the victim");
    if (last_ns > deadline_ns)
        blame(trial, "the call fault acts on");
    fprintf(trial->log, "# released: the wire %.0f ms after, the call %.0f ms after\n", (double)(int64_t)(quick_ns - since_ns) / 1e6,
            (double)(int64_t)(last_ns - since_ns) / 1e6);
}

static void judge_end(struct trial *trial, const char *why)
{
    int status = watched_wait(trial->run.pid, watched_scale(RUN_MS_MAX));
    cJSON *result = watched_result(&trial->run);
    char who[512], said[4096];

    if (status != 3)
        blame(trial, "exit status %d, not 3", status);
    if (strcmp(watched_text(result, "verdict/verdict"), "aborted") != 0 || !strstr(watched_text(result, "verdict/why"), why))
        blame(trial, "the report says '%s', '%s'; expected aborted, '%s'", watched_text(result, "verdict/verdict"),
              watched_text(result, "verdict/why"), why);
    cJSON_Delete(result);
    watched_id(&trial->run, trial->id, sizeof(trial->id));
    if (watched_marked(trial->id, who, sizeof(who)))
        blame(trial, "left running:%s", who);
    if (watched_group_exists(trial->id))
        blame(trial, "its control group is left");
    if (watched_registered(&trial->run))
        blame(trial, "the registry still lists it");
    if (watched_command(&trial->run, said, sizeof(said), (const char *[]){ "ps", NULL }) != 0 || strstr(said, "armed, epoch"))
        blame(trial, "something is armed: %s", said);
}

static void expect_command(struct trial *trial, int status, const char *wanted, const char *const *args)
{
    char said[4096];
    int found = watched_command(&trial->run, said, sizeof(said), args);

    if (found != status || !strstr(said, wanted))
        blame(trial, "perturb %s ends with %d, not %d, or does not say '%s': %s", args[0], found, status, wanted, said);
}

/* Refused with one message while the lever is set; after resume a run gets past it. */
static void judge_lever(struct trial *trial)
{
    char build[WATCHED_PATH_MAX + 8], out[WATCHED_PATH_MAX + 4];
    const char *args[] = { "run", "tests/e2e/playbooks/guard.yaml", "--var", build, "--out", out, NULL };
    const char *refused = "perturb: lever: runs are halted; `perturb resume` allows them again\n";
    char said[4096];
    int status;

    snprintf(build, sizeof(build), "build=%s", watched_build());
    snprintf(out, sizeof(out), "%s/refused", trial->run.base);
    status = watched_command(&trial->run, said, sizeof(said), args);
    if (status != 69 || !strstr(said, refused) || strstr(strstr(said, "perturb: ") + 1, "perturb: "))
        blame(trial, "a run while halted ends with %d and says: %s", status, said);
    if (watched_registered(&trial->run))
        blame(trial, "the refused run is still registered");
    expect_command(trial, 0, "resumed", (const char *[]){ "resume", NULL });
    snprintf(out, sizeof(out), "%s/resumed", trial->run.base);
    snprintf(trial->run.out, sizeof(trial->run.out), "%s/resumed", trial->run.base);
    watched_start(&trial->run, true, args);
    if (await_event(trial, "phase", "baseline"))
        kill(trial->run.pid, SIGTERM);
    if (watched_wait(trial->run.pid, watched_scale(RUN_MS_MAX)) != 3)
        blame(trial, "a run after resume does not run until it is ended");
}

/* Two signals of one kind are one as long as the first is pending. */
static void await_taken(const struct trial *trial, int number)
{
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)watched_scale(5000) * NS_PER_MS;
    char path[64];
    bool pending = true;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)trial->run.pid);
    while (pending && clock_now_ns() < deadline_ns) {
        char *status = watched_read(path), *at = strstr(status, "ShdPnd:");

        pending = at && (strtoull(at + 7, NULL, 16) >> (number - 1) & 1);
        free(status);
        if (pending)
            poll(NULL, 0, 1);
    }
}

/* ---- the cases ------------------------------------------------------------------------------------------------------------ */

/* Three hands on the button: the run keeps its tidy end. */
static void halt(struct trial *trial)
{
    uint64_t since_ns;
    char line[1024];

    if (!disturb(trial, "5s"))
        return;
    since_ns = clock_now_ns();
    watched_start(&trial->run, false, (const char *[]){ "halt", NULL });
    await_event(trial, "aborted", "");
    for (int i = 0; i < 2; i++) {
        watched_start(&trial->run, false, (const char *[]){ "halt", NULL });
        await_taken(trial, SIGTERM);
    }
    judge_release(trial, since_ns);
    judge_end(trial, "");
    if (!watched_event(&trial->run, "phase", "observe", line, sizeof(line)))
        blame(trial, "it did not observe after the release");
    judge_lever(trial);
}

/* The engine is wedged, its lease is long: panic alone ends the faults. The guardian, told to end, sees an engine that stands still. */
static void panic_when_wedged(struct trial *trial)
{
    uint64_t since_ns;
    pid_t runner;

    if (!disturb(trial, "6s"))
        return;
    runner = watched_child(trial->run.pid, "perturb-runner");
    kill(runner, SIGSTOP);
    since_ns = clock_now_ns();
    expect_command(trial, 0, "panic", (const char *[]){ "panic", NULL });
    judge_release(trial, since_ns);
    judge_end(trial, "the run engine was stopped");
    bystander_close_probe(&trial->bystander);
    expect_command(trial, 0, "nothing to recover", (const char *[]){ "recover", NULL });
    judge_lever(trial);
}

/* As a debugger stands at its prompt: every thread stopped, and nobody takes the news of an end. It is below us, so we may. */
static bool hold_in_debugger(struct trial *trial, pid_t pid)
{
    char path[64];
    struct dirent *entry;
    DIR *threads;
    bool held = true;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    threads = opendir(path);
    while (threads && (entry = readdir(threads))) {
        pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);

        if (thread > 0)
            held = ptrace(PTRACE_SEIZE, thread, NULL, NULL) == 0 && ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) == 0 &&
                   waitpid(thread, NULL, __WALL) == thread && held;
    }
    if (!threads || !held)
        blame(trial, "the engine cannot be held: %s", strerror(errno));
    if (threads)
        closedir(threads);
    return threads && held;
}

static void halt_in_debugger(struct trial *trial)
{
    uint64_t since_ns;

    if (!disturb(trial, "30s") || !hold_in_debugger(trial, watched_child(trial->run.pid, "perturb-runner")))
        return;
    since_ns = clock_now_ns();
    watched_start(&trial->run, false, (const char *[]){ "halt", NULL });
    judge_release(trial, since_ns);
    judge_end(trial, "the run engine was stopped");
}

static void interrupt_once(struct trial *trial)
{
    uint64_t since_ns;
    char line[1024];

    if (!disturb(trial, "5s"))
        return;
    since_ns = clock_now_ns();
    kill(-trial->run.pid, SIGINT);
    judge_release(trial, since_ns);
    judge_end(trial, "stopped by Ctrl-C");
    if (!watched_event(&trial->run, "phase", "observe", line, sizeof(line)))
        blame(trial, "it did not observe after the release");
}

static void interrupt_twice(struct trial *trial)
{
    uint64_t since_ns;

    if (!disturb(trial, "5s"))
        return;
    since_ns = clock_now_ns();
    kill(-trial->run.pid, SIGINT);
    await_event(trial, "aborted", "stopped by Ctrl-C");
    await_taken(trial, SIGINT);
    kill(-trial->run.pid, SIGINT);
    judge_release(trial, since_ns);
    judge_end(trial, "interrupted twice");
    fprintf(trial->log, "# at once\n");
}

static void breach(struct trial *trial)
{
    char build[WATCHED_PATH_MAX + 8], line[1024];
    const char *args[] = { "run", "tests/e2e/playbooks/guard.yaml", "--var", build, "--out", trial->run.out, NULL };
    static const char *const in_order[] = { "\"guard\"", "\"aborted\"", "fault_released", "\"verified\"", "\"observe\"", "\"run_ended\"" };
    char path[WATCHED_PATH_MAX], *events, *at;

    trial->bystander.probe_fd = -1;
    snprintf(build, sizeof(build), "build=%s", watched_build());
    watched_start(&trial->run, true, args);
    judge_end(trial, "guard: main.errors was");
    snprintf(path, sizeof(path), "%s/events.jsonl", trial->run.out);
    events = at = watched_read(path);
    for (size_t i = 0; i < sizeof(in_order) / sizeof(in_order[0]) && at; i++) {
        at = strstr(at, in_order[i]);
        if (!at)
            blame(trial, "%s is missing, or not in order", in_order[i]);
    }
    free(events);
    if (!watched_event(&trial->run, "fault_acted", "blackhole", line, sizeof(line)))
        blame(trial, "the fault never acted");
}

static const struct {
    const char *what;
    void (*go)(struct trial *trial);
} cases[] = {
    { "halt, thrice, releases within 1 s, aborts, observes, and refuses new runs until resume", halt },
    { "panic releases within 1 s though the engine is stopped", panic_when_wedged },
    { "halt releases within 1 s though the engine stands in a debugger", halt_in_debugger },
    { "Ctrl-C releases, observes and reports", interrupt_once },
    { "Ctrl-C twice ends at once", interrupt_twice },
    { "a breached guard aborts, releases, verifies, observes and reports", breach },
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static int go(struct trial *trial, size_t index)
{
    if (watched_make(&trial->run, "lever") < 0)
        return 1;
    cases[index].go(trial);
    if (trial->bystander.exec_pid && !bystander_end(&trial->bystander))
        blame(trial, "the victim does not end");
    if (trial->found)
        fprintf(trial->log, "# kept: %s\n", trial->run.base);
    else
        watched_remove(&trial->run);
    fflush(trial->log);
    return trial->found > 0;
}

int main(void)
{
    static struct trial trials[CASES];
    pid_t pids[CASES];
    int failed = 0;

    printf("1..%d\n", CASES);
    for (size_t i = 0; i < CASES; i++) {
        trials[i].log = tmpfile();
        fflush(NULL);
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(go(&trials[i], i));
    }
    for (size_t i = 0; i < CASES; i++) {
        char line[4096];
        int status = 1;

        waitpid(pids[i], &status, 0);
        printf("%sok %zu - %s\n", status ? "not " : "", i + 1, cases[i].what);
        rewind(trials[i].log);
        while (fgets(line, sizeof(line), trials[i].log))
            fputs(line, stdout);
        fclose(trials[i].log);
        failed |= status != 0;
    }
    return failed;
}
