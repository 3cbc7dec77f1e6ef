/* Probes: numbers that are read again and again beside the load, each by a thread of its own.
 *
 * 1. Sample k is planned at start + k * every. A sample that takes longer than that skips the instants it missed (counted); none
 *    is shifted, so a slow probe does not hide what it was late for.
 * 2. A sample that failed is kept as NaN: no data, never zero and never the last value again.
 * 3. A reading ends at its deadline, and soon after prober_stop(): a probe never holds the run up.
 * 4. Samples are kept in order of their instants, at most PROBER_SAMPLES_MAX; what comes on top is counted and dropped.
 *
 * 5. A few kinds have no thread: the engine tells what it knows (prober_tell).
 *
 * All functions but the reading itself belong to one owner thread. Instants are CLOCK_MONOTONIC ns. */
#ifndef PERTURB_PROBE_PROBE_H
#define PERTURB_PROBE_PROBE_H

#include "scenarios/base/egress.h"
#include "scenarios/base/err.h"
#include "scenarios/playbook/playbook.h"

#include <sys/types.h>

enum { PROBER_SAMPLES_MAX = 4 << 20, PROBER_WHY_MAX = 160 };

struct probe_sample {
    uint64_t ns;
    double value; /* in the probe's unit: seconds, bytes, a fraction, per second, or plain; NaN: it failed */
};

/* What a probe may ask of the run. Called from the probes' threads. */
struct probe_world {
    pid_t (*target_pid)(void *context, const char *target); /* 0 while it does not run */
    void *context;
    unsigned (*target_starts)(void *context, const char *target); /* how often the run has started it */
    int (*target_log)(void *context, const char *target, char *path, size_t size); /* its output's file; 0 or -ENAMETOOLONG */
    const struct egress *egress; /* where requests may go; NULL: anywhere */
};

struct prober_counts {
    uint64_t samples, failed, skipped, dropped;
    char why[PROBER_WHY_MAX]; /* of the last failure; "" when there was none. May hold text of the target: hostile */
};

struct prober;

/* Borrows `probe` and `world` until prober_free. 0 and a new prober; -EINVAL and the like with an error added. */
int prober_new(const struct probe *probe, const struct probe_world *world, struct errs *errs, struct prober **ret_prober);
int prober_start(struct prober *prober, uint64_t start_ns); /* 0 or -EAGAIN */
void prober_stop(struct prober *prober);                    /* idempotent */
struct prober *prober_free(struct prober *prober);          /* stops if need be; accepts NULL, returns NULL */

/* Probes whose number the engine knows: it asks when one is due, and tells. The plan is invariant 1's. */
bool prober_is_told(const struct prober *prober);
bool prober_is_due(struct prober *prober, uint64_t now_ns);
void prober_tell(struct prober *prober, uint64_t ns, double value);
void prober_tell_failure(struct prober *prober, uint64_t ns, const char *why);

/* Whether it could be read at all: its pattern, what this build can do. 0, or -EINVAL with an error added under `where`. */
int prober_check(const struct probe *probe, const char *where, struct errs *errs);

void prober_counts(struct prober *prober, struct prober_counts *ret_counts);

/* The samples of [from_ns, until_ns), as a new array. 0, also for none (then NULL), or -ENOMEM. */
int prober_window(struct prober *prober, uint64_t from_ns, uint64_t until_ns, struct probe_sample **ret_samples, size_t *ret_count);

/* One number of the samples of a window, in the signal's unit; NaN when there is no data for it. For tests, pure. */
double probe_stat_over(const struct probe_sample *samples, size_t count, enum probe_stat stat, double quantile);

#endif
