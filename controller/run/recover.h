/* What is left of runs that ended badly, and the levers that need no daemon. All through the registry directory. */
#ifndef PERTURB_RUN_RECOVER_H
#define PERTURB_RUN_RECOVER_H

#include "scenarios/base/err.h"
#include "shims/host/process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct recovery {
    size_t runs;      /* found in the registry */
    size_t alive;     /* of these, with a living guardian: left alone */
    size_t recovered; /* everything undone and proven */
    size_t resisted;  /* something is not proven undone */
};

/* Replays the journal of every run whose guardian is gone, newest entry first, verifies, and tells each step to `out`.
 * Idempotent. 0, or negative with an error added when the registry cannot be used. */
int recover_all(FILE *out, struct recovery *ret_recovery, struct errs *errs);

/* Tells every living run to abort (its faults go at once, it observes and reports; again is no more than once; `forces` fences: it
 * undoes and ends), and waits up to `timeout_ms` until each is released. `ret_told` counts them, `ret_left` those that still act. 0 or
 * negative with an error added. */
int halt_runs(bool forces, int timeout_ms, size_t *ret_told, size_t *ret_left, struct errs *errs);

/* Releases by force, waiting for nobody: wire executors drain, stopped processes go on, control pages are inert, the lever is
 * set. `ret_pages` and `ret_runs` count what was found. 0 or the first negative errno. */
int panic_all(size_t *ret_pages, size_t *ret_runs);

/* The runs of the registry whose guardian lives, by id, which is by age; the newest `max` of them. 0 or -errno. */
enum { LIVE_RUN_ID_MAX = 64, LIVE_RUN_PATH_MAX = 512, LIVE_RUNS_MAX = 64 };
struct live_run {
    char id[LIVE_RUN_ID_MAX];
    char directory[LIVE_RUN_PATH_MAX];
    struct process_id guardian;
};
int find_live_runs(struct live_run *runs, size_t max, size_t *ret_count);

/* The runs of the registry and the captures in force by their journals, a line each. `ret_runs` counts the runs. 0 or -errno. */
int list_runs(FILE *out, size_t *ret_runs);

#endif
