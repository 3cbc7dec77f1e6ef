/* The service as Prometheus scrapes it: a pure function from a snapshot to text exposition 0.0.4.
 *
 * 1. Few series: labels are playbooks, loads, verdicts, schedules, outlets; a run's id is on perturb_run_info alone.
 * 2. A number that is not known (NaN; for instants also 0) makes no sample. A family without samples is not printed.
 * 3. Of two runs or rows with the same labels the first is told: no series comes twice.
 * Source: Prometheus documentation, "Exposition formats". Judged by promtool (tests/e2e/test_outlets.py). */
#ifndef PERTURB_OUTLET_METRICS_H
#define PERTURB_OUTLET_METRICS_H

#include "scenarios/base/buf.h"

#include <stdint.h>

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum { METRICS_TEXT_MAX = 8 << 20 };

struct metrics_verdict {
    const char *verdict;
    uint64_t runs;
};

struct metrics_playbook {
    const char *playbook, *service;
    const struct metrics_verdict *verdicts;
    size_t verdict_count;
    double last_run_s, last_success_s; /* seconds since 1970; NaN or 0: never */
    int last_status;                   /* -1: none */
    double convergence_s, convergence_low_s, convergence_high_s, loss_s; /* NaN: not known */
};

struct metrics_load {
    const char *load;
    double goodput, p99_s;
};

struct metrics_run {
    const char *run, *playbook, *service, *phase;
    double elapsed_s;
    uint64_t faults_armed;
    const struct metrics_load *loads;
    size_t load_count;
    double amplification, guard_margin;
};

struct metrics_schedule {
    const char *schedule;
    double next_due_s;
    uint64_t skipped;
};

struct metrics_api {
    const char *code; /* "2xx" */
    uint64_t requests;
    double seconds;
};

struct metrics_outlet {
    const char *outlet, *kind;
    uint64_t sent, retried, dropped, queue;
    double last_success_s;
};

struct metrics_snapshot {
    const char *version;
    int lever_engaged, scheduler_paused; /* 0, 1; -1: not known */
    double problems, findings_open, watchers; /* NaN: not known */
    const struct metrics_playbook *playbooks;
    size_t playbook_count;
    const struct metrics_run *runs; /* that go on now, the newest first */
    size_t run_count;
    const struct metrics_schedule *schedules;
    size_t schedule_count;
    const struct metrics_api *api;
    size_t api_count;
    const struct metrics_outlet *outlets;
    size_t outlet_count;
};

/* Appends the exposition. 0; -ENOMEM, also past the maximum. Texts may be NULL and hostile. */
int metrics_print(const struct metrics_snapshot *snapshot, struct buf *out);

/* Label values: backslash, double quote and line feed escaped; what is no UTF-8 becomes U+FFFD, a control character a blank. */
void metrics_put_label(struct buf *out, const char *text);

#endif
