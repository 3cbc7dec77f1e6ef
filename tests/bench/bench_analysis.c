/* What a run of 10 million requests costs once they are recorded: a real `perturb run` (tests/bench/analysis.yaml: redis-server, RATE
 * requests a second), watched from outside. From the phase "rollback" on, nothing is sent any more: what its runner takes from there to
 * its end, by /proc, is judging, describing, the result document and report.html. Processor time, because the machine may do other
 * work; memory is the most that was resident at once (VmHWM, set back at that phase), the program itself and pages of the records
 * included. Ends with 1 above 2 s or 64 MiB.
 * time-limit: 900
 *
 *   REQUESTS=10000000 RATE=50000 RT=1 bench_analysis      RT=1: all of it in a real-time class, for a machine that does other work meanwhile */
#include "scenarios/base/clock.h"
#include "tests/support/kill_ordeal.h"
#include "tests/support/watched_run.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS_MAX 2.0
#define MEBIBYTES_MAX 64.0

enum { LOOK_MS = 5, BEFORE_S = 23, SLACK_MS = 120000 }; /* warm-up, baseline and the fault's own time; what may be added by the machine */

struct spent {
    double cpu_s, wall_s, most_mib;
};

static double number_of(const char *name, double otherwise)
{
    const char *text = getenv(name);
    double number = text != NULL ? strtod(text, NULL) : 0.0;

    return number > 0.0 ? number : otherwise;
}

static _Noreturn void fail(struct watched_run *run, const char *what)
{
    char *said = watched_read(run->output);

    fprintf(stderr, "bench_analysis: %s\n%s", what, said);
    free(said);
    exit(69);
}

/* Of the main thread, which is the one that judges; negative when it is gone. */
static double cpu_of(pid_t pid)
{
    char path[64];
    unsigned long long ran_ns = 0;
    FILE *file;
    int fields = 0;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    file = fopen(path, "re");
    if (file != NULL) {
        fields = fscanf(file, "%llu", &ran_ns);
        fclose(file);
    }
    return fields == 1 ? (double)ran_ns / 1e9 : -1.0;
}

/* In MiB; 0 when it is gone, or has no memory any more. */
static double most_resident_of(pid_t pid)
{
    char path[64], line[256];
    double kib = 0.0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtod(line + 6, NULL);
    if (file != NULL)
        fclose(file);
    return kib / 1024.0;
}

static void forget_most_resident(pid_t pid)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)pid);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "5", 1) != 1)
        perror("bench_analysis: the most resident memory of the run before counts too");
    if (fd >= 0)
        close(fd);
}

static void wait_for_rollback(struct watched_run *run, uint64_t until_ns)
{
    char line[512];

    while (!watched_event(run, "phase", "rollback", line, sizeof(line))) {
        if (clock_now_ns() > until_ns || !watched_alive(run->pid))
            fail(run, "the run did not come to its end");
        poll(NULL, 0, LOOK_MS);
    }
}

static struct spent follow(struct watched_run *run, uint64_t until_ns)
{
    pid_t runner = watched_child(run->pid, "perturb-runner");
    uint64_t from_ns;
    double from_s, cpu_s;
    struct spent spent = {.cpu_s = -1.0};

    if (runner == 0)
        fail(run, "there is no runner");
    wait_for_rollback(run, until_ns);
    forget_most_resident(runner);
    from_ns = clock_now_ns();
    from_s = cpu_of(runner);
    while (watched_alive(runner) && (cpu_s = cpu_of(runner)) >= 0.0 && clock_now_ns() < until_ns) {
        double mebibytes = most_resident_of(runner);

        spent.cpu_s = cpu_s - from_s;
        spent.wall_s = (double)(clock_now_ns() - from_ns) / 1e9;
        spent.most_mib = mebibytes > spent.most_mib ? mebibytes : spent.most_mib;
        poll(NULL, 0, LOOK_MS);
    }
    return spent;
}

int main(void)
{
    double requests = number_of("REQUESTS", 1e7), rate = number_of("RATE", 5e4), length_s = requests / rate, planned;
    char rate_text[48], observe_text[48];
    const char *more[] = {"--var", rate_text, "--var", observe_text, NULL};
    uint64_t until_ns = clock_now_ns() + (uint64_t)(length_s * 1e9) + (uint64_t)watched_scale(SLACK_MS) * NS_PER_MS;
    struct watched_run run;
    struct spent spent;
    cJSON *result;

    if (getenv("RT") != NULL && sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1}) < 0)
        perror("bench_analysis: no real-time class");
    if (watched_make(&run, "analysis") < 0)
        return 69;
    snprintf(rate_text, sizeof(rate_text), "rate=%.0f/s", rate);
    snprintf(observe_text, sizeof(observe_text), "observe=%.0fs", length_s > BEFORE_S + 7 ? length_s - BEFORE_S : 7.0);
    watched_start_run(&run, "tests/bench/analysis.yaml", ordeal_seed(), more);
    while (watched_child(run.pid, "perturb-runner") == 0 && watched_alive(run.pid) && clock_now_ns() < until_ns)
        poll(NULL, 0, LOOK_MS);
    spent = follow(&run, until_ns);
    watched_wait(run.pid, watched_scale(SLACK_MS));
    result = watched_result(&run);
    planned = watched_number(result, "loads/0/planned");
    if (!(planned > 0.0))
        fail(&run, "the run told no requests");
    printf("a run of %.0f requests (%.0f ok), %s: analysed in %.2f s of processor time (%.2f s passed), %.1f MiB at most\n", planned,
           watched_number(result, "loads/0/ok"), watched_text(result, "verdict/verdict"), spent.cpu_s, spent.wall_s, spent.most_mib);
    cJSON_Delete(result);
    watched_remove(&run);
    return spent.cpu_s >= 0.0 && spent.cpu_s <= SECONDS_MAX && spent.most_mib <= MEBIBYTES_MAX ? 0 : 1;
}
