/* The ordeal: a run with a wire fault, a call fault inside a process that is not its own, a call fault inside a spawned one, and a
 * paused target; one or two of its processes are killed or stopped at an instant out of the journal's or the event log's
 * boundaries or at a random one. A lease and a little later everything is judged from outside.
 *
 * The bystanders are the test's own; the probe's connection is opened before the blow where the proxy was already there. */
#include "tests/support/kill_ordeal.h"

#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"
#include "tests/support/bystander.h"
#include "tests/support/watched_run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/param.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEASE_MS = 1000, SLACK_MS = 1000, QUICK_MS = 200, PROBES = 5, JOURNAL_LINES = 17, EVENT_LINES = 44, RANDOM_MS = 6500, ACTING_MS = 1500 };

enum blow { RUNNER_KILLED, RUNNER_STOPPED, GUARDIAN_KILLED, BOTH_KILLED, RUNNER_STOPPED_GUARDIAN_KILLED, BLOWS };

static const char *const blow_names[BLOWS] = { "SIGKILL of the runner", "SIGSTOP of the runner", "SIGKILL of the guardian",
                                               "SIGKILL of both", "SIGSTOP of the runner and SIGKILL of the guardian" };

enum trigger { AT_JOURNAL_LINE, AT_EVENT_LINE, AT_MS, WHILE_ACTING, TRIGGERS };

static const char *const trigger_names[TRIGGERS] = { "after line %u of the journal", "after line %u of the event log", "after %u ms",
                                                     "%u ms after every fault was armed" };

struct ordeal {
    enum blow blow;
    enum trigger trigger;
    unsigned when;
    char what[160];
    struct watched_run run;
    char id[64];
    struct bystander bystander;
    pid_t runner_pid, wire_pid;
    bool ended_first;
    int ended_status;
    uint64_t armed_ns, struck_ns;
    int faults_found;
    FILE *log;
};

static void blame(struct ordeal *ordeal, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void blame(struct ordeal *ordeal, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(ordeal->log, "# FOUND: ");
    vfprintf(ordeal->log, format, args);
    fprintf(ordeal->log, "\n");
    va_end(args);
    ordeal->faults_found++;
}

uint64_t ordeal_seed(void)
{
    const char *text = getenv("PERTURB_TEST_SEED");
    uint64_t seed = 0;

    if (text)
        return strtoull(text, NULL, 0);
    return getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed) ? seed & 0xffffffffu : 1;
}

/* Every blow in turn; every other one, whichever the blow, falls while all faults act, the others wherever they are drawn. */
static void draw(struct ordeal *ordeal, uint64_t seed, unsigned number)
{
    static const unsigned spans[TRIGGERS] = { JOURNAL_LINES, EVENT_LINES, RANDOM_MS, ACTING_MS };
    char when[64];

    ordeal->blow = (enum blow)(number % BLOWS);
    ordeal->trigger = number % 2 ? WHILE_ACTING : (enum trigger)(number / 2 % WHILE_ACTING);
    ordeal->when = 1 + (unsigned)(((__uint128_t)rng_mix(seed, number) * spans[ordeal->trigger]) >> 64);
    snprintf(when, sizeof(when), trigger_names[ordeal->trigger], ordeal->when);
    snprintf(ordeal->what, sizeof(ordeal->what), "%s %s (seed %llu, number %u)", blow_names[ordeal->blow], when, (unsigned long long)seed,
             number);
}

/* ---- setting the scene ------------------------------------------------------------------------------------------------ */

static void open_probe(struct ordeal *ordeal)
{
    const char *wrong = bystander_probe(&ordeal->bystander, &ordeal->run);

    if (wrong)
        blame(ordeal, "%s", wrong);
}

static bool has_passed(uint64_t since_ns, unsigned ms)
{
    return clock_now_ns() >= since_ns + (uint64_t)watched_scale((int)ms) * NS_PER_MS;
}

static bool is_due(struct ordeal *ordeal)
{
    char path[WATCHED_PATH_MAX], line[1024];

    if (ordeal->trigger == AT_MS)
        return has_passed(ordeal->run.started_ns, ordeal->when);
    if (ordeal->trigger == WHILE_ACTING) {
        if (!ordeal->armed_ns && watched_event(&ordeal->run, "fault_armed", "latency-3", line, sizeof(line)))
            ordeal->armed_ns = clock_now_ns();
        return ordeal->armed_ns && has_passed(ordeal->armed_ns, ordeal->when);
    }
    snprintf(path, sizeof(path), "%s/%s", ordeal->run.out, ordeal->trigger == AT_JOURNAL_LINE ? "journal" : "events.jsonl");
    return watched_lines(path) >= ordeal->when;
}

/* inotify wakes us at each line, so that the blow falls right behind it. */
static void await_instant(struct ordeal *ordeal)
{
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)watched_scale(60000) * NS_PER_MS;
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    char room[4096];
    siginfo_t info = { 0 };

    inotify_add_watch(watch, ordeal->run.out, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
    while (!is_due(ordeal) && clock_now_ns() < deadline_ns) {
        if (waitid(P_PID, (id_t)ordeal->run.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
            ordeal->ended_first = true;
            break;
        }
        open_probe(ordeal);
        if (is_due(ordeal))
            break;
        poll(&(struct pollfd){ .fd = watch, .events = POLLIN }, 1, ordeal->trigger >= AT_MS ? 2 : 20);
        while (read(watch, room, sizeof(room)) > 0)
            ;
    }
    close(watch);
}

static void find_processes(struct ordeal *ordeal)
{
    bool needs_runner = ordeal->blow != GUARDIAN_KILLED;
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)watched_scale(3000) * NS_PER_MS;

    do {
        ordeal->runner_pid = watched_child(ordeal->run.pid, "perturb-runner");
        ordeal->wire_pid = watched_child(ordeal->run.pid, "perturb-wire");
    } while (needs_runner && !ordeal->runner_pid && watched_alive(ordeal->run.pid) && clock_now_ns() < deadline_ns);
}

static void strike(struct ordeal *ordeal)
{
    bool stops = ordeal->blow == RUNNER_STOPPED || ordeal->blow == RUNNER_STOPPED_GUARDIAN_KILLED;

    find_processes(ordeal);
    ordeal->struck_ns = clock_now_ns();
    if (ordeal->ended_first)
        return;
    if (ordeal->blow != GUARDIAN_KILLED && ordeal->runner_pid)
        kill(ordeal->runner_pid, stops ? SIGSTOP : SIGKILL);
    if (ordeal->blow != RUNNER_KILLED && ordeal->blow != RUNNER_STOPPED)
        kill(ordeal->run.pid, SIGKILL);
    if (ordeal->blow != GUARDIAN_KILLED && !ordeal->runner_pid)
        ordeal->ended_first = true;
}

/* ---- judging ------------------------------------------------------------------------------------------------------------ */

static uint64_t safe_ns(const struct ordeal *ordeal)
{
    return ordeal->struck_ns + (uint64_t)(LEASE_MS + watched_scale(SLACK_MS)) * NS_PER_MS;
}

static void await_lease(const struct ordeal *ordeal)
{
    uint64_t now_ns;

    while ((now_ns = clock_now_ns()) < safe_ns(ordeal))
        poll(NULL, 0, (int)((safe_ns(ordeal) - now_ns) / NS_PER_MS) + 1);
}

static void judge_probe(struct ordeal *ordeal)
{
    uint64_t best_ns = UINT64_MAX;

    if (ordeal->bystander.probe_fd < 0) {
        fprintf(ordeal->log, "# no proxy yet\n");
        return;
    }
    for (unsigned i = 0; i < PROBES; i++) {
        uint64_t took_ns = bystander_echo(&ordeal->bystander, ordeal->struck_ns + i);

        if (took_ns == UINT64_MAX) {
            blame(ordeal, "the connection through the proxy is dead or damaged (probe %u)", i);
            return;
        }
        best_ns = MIN(best_ns, took_ns);
    }
    if (best_ns > (uint64_t)watched_scale(QUICK_MS) * NS_PER_MS)
        blame(ordeal, "the wire fault acts still: the quickest of %d probes took %.1f ms", PROBES, (double)best_ns / 1e6);
    else
        fprintf(ordeal->log, "# probe %.2f ms\n", (double)best_ns / 1e6);
}

/* After the lease its calls are quick again, by its own clock. */
static void judge_victim(struct ordeal *ordeal)
{
    uint64_t last_ns;
    unsigned hit = 0;

    poll(NULL, 0, 300); /* three slow calls' time, were there any */
    last_ns = bystander_last_slow(&ordeal->bystander, &hit);
    fprintf(ordeal->log, "# victim: %u slow calls, the last ended %.0f ms after the blow\n", hit,
            hit ? (double)(int64_t)(last_ns - ordeal->struck_ns) / 1e6 : 0);
    if (last_ns > safe_ns(ordeal))
        blame(ordeal, "the call fault acts still: a slow call ended %.0f ms after the lease and slack",
              (double)(last_ns - safe_ns(ordeal)) / 1e6);
    if (!watched_alive(ordeal->bystander.victim_pid))
        blame(ordeal, "the outside victim is gone");
}

static void judge_pages(struct ordeal *ordeal)
{
    char said[8192];

    if (watched_command(&ordeal->run, said, sizeof(said), (const char *[]){ "ps", NULL }) != 0)
        blame(ordeal, "perturb ps fails: %s", said);
    if (strstr(said, "armed, epoch"))
        blame(ordeal, "perturb ps shows something armed: %s", said);
}

/* Had it measured all it wanted to before the blow? Then its own verdict stands. */
static bool had_measured(const struct ordeal *ordeal)
{
    char line[1024];
    const char *ns;

    if (!watched_event(&ordeal->run, "phase", "rollback", line, sizeof(line)))
        return false;
    ns = strstr(line, "\"ns\":\"");
    return ns && strtoull(ns + 6, NULL, 10) <= ordeal->struck_ns;
}

/* The guardian tells 3 when the runner was struck, unless the run had already told its end. */
static void judge_status(struct ordeal *ordeal)
{
    int status = watched_wait(ordeal->run.pid, watched_scale(15000));
    bool guardian_lives = ordeal->blow == RUNNER_KILLED || ordeal->blow == RUNNER_STOPPED;
    cJSON *result;

    ordeal->ended_status = status;
    if (!guardian_lives && ordeal->blow == GUARDIAN_KILLED && !watched_gone(ordeal->runner_pid, watched_scale(20000)))
        blame(ordeal, "the runner did not come to an end without its guardian");
    result = watched_result(&ordeal->run);
    fprintf(ordeal->log, "# status %d, result.json says %s, %.0f\n", status, watched_text(result, "verdict/verdict"),
            watched_number(result, "verdict/status"));
    if (ordeal->ended_first)
        fprintf(ordeal->log, "# the run had ended before the blow\n");
    else if (guardian_lives && status != 3)
        blame(ordeal, "the guardian's exit status is %d, not 3", status);
    else if ((guardian_lives || (ordeal->blow == GUARDIAN_KILLED && ordeal->runner_pid && !had_measured(ordeal))) &&
             (strcmp(watched_text(result, "verdict/verdict"), "aborted") != 0 || watched_number(result, "verdict/status") != 3))
        blame(ordeal, "the report does not say aborted, 3");
    cJSON_Delete(result);
}

static void judge_recovery(struct ordeal *ordeal)
{
    char said[8192], path[WATCHED_PATH_MAX], *before, *after;
    int status;

    snprintf(path, sizeof(path), "%s/journal", ordeal->run.out);
    status = watched_command(&ordeal->run, said, sizeof(said), (const char *[]){ "recover", NULL });
    if (status != 0 || (!strstr(said, "nothing to recover") && !strstr(said, "proven: nothing of it is left")))
        blame(ordeal, "recover ends with %d and says: %s", status, said);
    before = watched_read(path);
    status = watched_command(&ordeal->run, said, sizeof(said), (const char *[]){ "recover", NULL });
    after = watched_read(path);
    if (status != 0 || !strstr(said, "nothing to recover") || strcmp(before, after) != 0)
        blame(ordeal, "a second recover is no no-op: %d, %s", status, said);
    free(before);
    free(after);
}

static void judge_rest(struct ordeal *ordeal)
{
    char who[512];

    watched_id(&ordeal->run, ordeal->id, sizeof(ordeal->id));
    if (ordeal->id[0] && watched_marked(ordeal->id, who, sizeof(who)))
        blame(ordeal, "left running:%s", who);
    if (ordeal->id[0] && watched_group_exists(ordeal->id))
        blame(ordeal, "its control group is left");
    if (watched_registered(&ordeal->run))
        blame(ordeal, "the registry still lists a run");
    if (watched_alive(ordeal->runner_pid))
        blame(ordeal, "the runner is left");
}

/* With the last connection gone the wire executor goes too. */
static void judge_wire(struct ordeal *ordeal)
{
    bystander_close_probe(&ordeal->bystander);
    if (!watched_gone(ordeal->wire_pid, watched_scale(5000)))
        blame(ordeal, "the wire executor stays without a connection");
}

static int endure(struct ordeal *ordeal, uint64_t seed)
{
    if (watched_make(&ordeal->run, "kill") < 0) {
        blame(ordeal, "no place to work in");
        return 1;
    }
    if (!bystander_start(&ordeal->bystander, &ordeal->run))
        blame(ordeal, "the outside victim did not start");
    bystander_run(&ordeal->bystander, &ordeal->run, seed, "1s");
    await_instant(ordeal);
    strike(ordeal);
    await_lease(ordeal);
    judge_probe(ordeal);
    judge_victim(ordeal);
    judge_pages(ordeal);
    judge_status(ordeal);
    judge_recovery(ordeal);
    judge_rest(ordeal);
    judge_wire(ordeal);
    if (!bystander_end(&ordeal->bystander))
        blame(ordeal, "the outside victim does not end");
    if (ordeal->faults_found) {
        char *said = watched_read(ordeal->run.output), *rest = NULL;

        for (char *at = strtok_r(said, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest))
            fprintf(ordeal->log, "#   | %s\n", at);
        free(said);
        fprintf(ordeal->log, "# kept: %s\n", ordeal->run.base);
    } else {
        watched_remove(&ordeal->run);
    }
    return ordeal->faults_found > 0;
}

/* ---- the series ----------------------------------------------------------------------------------------------------------- */

static pid_t start_ordeal(struct ordeal *ordeal, uint64_t seed)
{
    pid_t pid;

    ordeal->log = tmpfile();
    if (!ordeal->log)
        return -1;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        int status = endure(ordeal, seed);

        fflush(ordeal->log);
        _exit(status);
    }
    return pid;
}

static void tell_ordeal(const struct ordeal *ordeal, unsigned number, int status)
{
    char line[1024];

    printf("%sok %u - %s\n", status ? "not " : "", number + 1, ordeal->what);
    rewind(ordeal->log);
    while (fgets(line, sizeof(line), ordeal->log))
        fputs(line, stdout);
    fclose(ordeal->log);
    fflush(stdout);
}

int kill_ordeals(unsigned count, unsigned parallel, uint64_t seed)
{
    struct ordeal *ordeals = calloc(count, sizeof(*ordeals));
    pid_t *pids = calloc(count, sizeof(*pids));
    unsigned started = 0, ended = 0, failed = 0;

    if (!ordeals || !pids)
        return 1;
    printf("1..%u\n# seed %llu (PERTURB_TEST_SEED repeats it)\n", count, (unsigned long long)seed);
    while (ended < count) {
        int status;
        pid_t pid;

        for (; started < count && started - ended < parallel; started++) {
            draw(&ordeals[started], seed, started);
            pids[started] = start_ordeal(&ordeals[started], rng_mix(seed, started));
        }
        pid = wait(&status);
        for (unsigned i = 0; i < started; i++)
            if (pids[i] == pid) {
                failed += status != 0;
                tell_ordeal(&ordeals[i], i, status);
                ended++;
            }
        if (pid < 0)
            break;
    }
    free(ordeals);
    free(pids);
    return failed || ended < count;
}
