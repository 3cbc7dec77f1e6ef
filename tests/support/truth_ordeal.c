/* The truth is the victim's: sample-reconnector tells in its own log, on CLOCK_MONOTONIC, when it was lost and when it was up
 * again; before that instant no request is answered well and from it on each is. The run's figure is `instants_s.converged`,
 * laid on the same clock by `run.zero_ns`. The closed form, S + k(D + R) for the first attempt that the release lets through, is
 * told beside it. */
#include "tests/support/truth_ordeal.h"

#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"
#include "tests/support/watched_run.h"

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASE_BIN_NS (20 * NS_PER_MS)
#define DEADLINE_NS (100 * NS_PER_MS)
#define DELAY_NS (500 * NS_PER_MS)

enum { HOLE_MS_MIN = 2500, HOLE_MS_SPAN = 1800, RUN_MS_MAX = 60000 };

struct truth {
    unsigned hole_ms;
    double error_ms;        /* reported less true; NaN when there is none */
    double closed_error_ms; /* the victim's log less the closed form */
    double from_release_ms; /* the true convergence time */
    int status;
    char verdict[48], note[160];
};

/* Numbers of the victim's log: the ns of `event`, the first at or after `from_ns`; `sent_ns` of it when wanted. */
static uint64_t victim_said(const char *log, const char *event, uint64_t from_ns, uint64_t *ret_sent_ns)
{
    char *text = watched_read(log), *at, *rest = NULL;
    uint64_t found_ns = 0;

    for (at = strtok_r(text, "\n", &rest); at && !found_ns; at = strtok_r(NULL, "\n", &rest)) {
        cJSON *line = cJSON_Parse(at);
        uint64_t ns = strtoull(watched_text(line, "ns"), NULL, 10);

        if (!strcmp(watched_text(line, "event"), event) && ns >= from_ns) {
            found_ns = ns;
            if (ret_sent_ns)
                *ret_sent_ns = strtoull(watched_text(line, "sent_ns"), NULL, 10);
        }
        cJSON_Delete(line);
    }
    free(text);
    return found_ns;
}

/* Attempt k is sent at S + k(D + R). One that is under way at the release is answered at the release. */
static uint64_t closed_form_ns(uint64_t sent_ns, uint64_t released_ns)
{
    uint64_t attempt_ns = sent_ns;

    do
        attempt_ns += DEADLINE_NS + DELAY_NS;
    while (attempt_ns + DEADLINE_NS <= released_ns);
    return MAX(attempt_ns, released_ns);
}

static void compare(struct truth *truth, const cJSON *result, const char *log)
{
    uint64_t zero_ns = strtoull(watched_text(result, "run/zero_ns"), NULL, 10), sent_ns = 0, lost_ns, up_ns;
    double released_s = watched_number(result, "instants_s/released"), converged_s = watched_number(result, "instants_s/converged");
    uint64_t released_ns = zero_ns + (uint64_t)(released_s * 1e9);

    lost_ns = victim_said(log, "lost", 0, &sent_ns);
    up_ns = lost_ns ? victim_said(log, "up", lost_ns, NULL) : 0;
    if (!zero_ns || !up_ns || isnan(converged_s) || isnan(released_s)) {
        snprintf(truth->note, sizeof(truth->note), "no instant: lost %d, up %d, converged %g: %.90s", lost_ns > 0, up_ns > 0, converged_s,
                 watched_text(result, "verdict/why"));
        return;
    }
    truth->error_ms = converged_s * 1e3 - (double)(int64_t)(up_ns - zero_ns) / 1e6;
    truth->closed_error_ms = (double)(int64_t)(up_ns - closed_form_ns(sent_ns, released_ns)) / 1e6;
    truth->from_release_ms = (double)(int64_t)(up_ns - released_ns) / 1e6;
}

static void run_once(struct truth *truth, uint64_t seed)
{
    char hole[32], log[WATCHED_PATH_MAX + 8];
    const char *more[] = { "--var", hole, "--var", log, NULL };
    struct watched_run run;
    cJSON *result;

    truth->error_ms = truth->closed_error_ms = NAN;
    truth->hole_ms = HOLE_MS_MIN + (unsigned)(((__uint128_t)rng_mix(seed, 7) * HOLE_MS_SPAN) >> 64);
    if (watched_make(&run, "truth") < 0)
        return;
    snprintf(hole, sizeof(hole), "hole=%ums", truth->hole_ms);
    snprintf(log, sizeof(log), "log=%s/victim.jsonl", run.base);
    watched_start_run(&run, "tests/e2e/playbooks/truth.yaml", seed, more);
    truth->status = watched_wait(run.pid, watched_scale(RUN_MS_MAX));
    if (truth->status < 0)
        kill(run.pid, SIGKILL);
    result = watched_result(&run);
    snprintf(truth->verdict, sizeof(truth->verdict), "%s", watched_text(result, "verdict/verdict"));
    compare(truth, result, log + 4);
    cJSON_Delete(result);
    if (fabs(truth->error_ms) * 1e6 <= 2 * BASE_BIN_NS)
        watched_remove(&run);
    else
        snprintf(truth->note + strlen(truth->note), sizeof(truth->note) - strlen(truth->note), " kept: %s", run.base);
}

/* ---- the series ----------------------------------------------------------------------------------------------------------- */

static pid_t start_truth(uint64_t seed, int *ret_fd)
{
    int fds[2];
    pid_t pid;

    if (pipe(fds) < 0)
        return -1;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct truth truth = { .status = -1 };

        close(fds[0]);
        run_once(&truth, seed);
        _exit(write(fds[1], &truth, sizeof(truth)) != (ssize_t)sizeof(truth));
    }
    close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}

static int by_size(const void *a, const void *b)
{
    const double *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof(*values), by_size);
    return count ? count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2 : NAN;
}

static bool is_true(const struct truth *truth)
{
    return fabs(truth->error_ms) * 1e6 <= 2 * BASE_BIN_NS;
}

static void tell(const struct truth *truths, unsigned count, unsigned needed, uint64_t seed)
{
    double *errors = calloc(count, sizeof(*errors)), *sizes = calloc(count, sizeof(*sizes));
    unsigned good = 0, closed = 0, known = 0;

    printf("1..2\n# seed %llu (PERTURB_TEST_SEED repeats it)\n", (unsigned long long)seed);
    for (unsigned i = 0; i < count && errors && sizes; i++) {
        const struct truth *truth = &truths[i];

        printf("# hole %u ms: %s, %d; truly %.1f ms after the release, reported %+.1f ms off; the closed form %+.2f ms off%s%s\n",
               truth->hole_ms, truth->verdict, truth->status, truth->from_release_ms, truth->error_ms, truth->closed_error_ms,
               truth->note[0] ? "; " : "", truth->note);
        good += is_true(truth);
        closed += fabs(truth->closed_error_ms) * 1e6 <= BASE_BIN_NS;
        if (!isnan(truth->error_ms)) {
            errors[known] = truth->error_ms;
            sizes[known++] = fabs(truth->error_ms);
        }
    }
    if (known) {
        double middle = median(errors, known), middle_size = median(sizes, known);

        printf("# median error %+.1f ms, median size %.1f ms, largest %.1f ms; two bins are %.0f ms\n", middle, middle_size,
               sizes[known - 1], 2 * (double)BASE_BIN_NS / 1e6);
    }
    printf("%sok 1 - the reported convergence is within two bins of the truth in %u of %u runs, %u needed\n", good >= needed ? "" : "not ",
           good, count, needed);
    printf("%sok 2 - the victim followed its closed form in %u of %u runs, %u needed\n", closed >= needed ? "" : "not ", closed, count, needed);
    free(errors);
    free(sizes);
}

int truth_ordeals(unsigned count, unsigned needed, unsigned parallel, uint64_t seed)
{
    struct truth *truths = calloc(count, sizeof(*truths));
    int *fds = calloc(count, sizeof(*fds));
    unsigned started = 0, good = 0, closed = 0;

    if (!truths || !fds)
        return 1;
    for (unsigned i = 0; i < count; i++) {
        for (; started < count && started < i + parallel; started++)
            if (start_truth(rng_mix(seed, started), &fds[started]) < 0)
                return 1;
        if (read(fds[i], &truths[i], sizeof(truths[i])) != (ssize_t)sizeof(truths[i]))
            truths[i].error_ms = truths[i].closed_error_ms = NAN;
        close(fds[i]);
    }
    while (wait(NULL) > 0)
        ;
    tell(truths, count, needed, seed);
    for (unsigned i = 0; i < count; i++) {
        good += is_true(&truths[i]);
        closed += fabs(truths[i].closed_error_ms) * 1e6 <= BASE_BIN_NS;
    }
    free(truths);
    free(fds);
    return good < needed || closed < needed;
}
