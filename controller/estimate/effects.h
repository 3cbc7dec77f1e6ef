/* What else a run cost, from requests and from several judgements. Pure functions.
 *
 * Sources: Beyer and others, "The site reliability workbook", chapter 5 (burn rate and budget); Bronson and others, "Metastable failures in
 * distributed systems", HotOS 2021, and Huang and others, "Metastable failures in the wild", OSDI 2022 (the test by shedding load). */
#ifndef PERTURB_ESTIMATE_EFFECTS_H
#define PERTURB_ESTIMATE_EFFECTS_H

#include "controller/estimate/estimate.h"

struct effects_window {
    double from_s, to_s; /* of planned instants */
    double slo_s;        /* latency that was promised */
    double deadline_s;   /* an unanswered request waited this long; >= slo_s */
    double objective;    /* promised share of good requests, 0 < objective < 1, e.g. 0.999 */
    double period_s;     /* over which the objective is promised, e.g. 30 days */
};

struct effects {
    uint64_t requests, bad, slow; /* slow: later than slo_s, unanswered ones included */
    double latency_debt_s;  /* sum over requests of what they waited beyond slo_s: clipped by request, where no baseline noise enters */
    double debt_per_request_s;
    double burn;            /* bad share over the share that the objective allows; 1 spends the budget in exactly its period */
    double budget_share;    /* of the whole period's budget that this window spent, at its own rate of requests */
};

/* Adds up `count` requests in any order. Returns 0, or -EINVAL for a window out of range. Shares are NaN without requests. */
int effects_of_requests(est_request_at *at, const void *context, size_t count, const struct effects_window *window, struct effects *ret_effects);

/* How long a backlog (queue, lag: lower is better) stayed above its band after the service itself was first back, with its interval. NaN
 * when either did not happen; 0 when the backlog was back before. */
double effects_drain_s(const struct est_result *backlog, const struct est_result *service, struct est_interval *ret_interval);

/* Loss-derived convergence time (RFC 6412): signed loss over the depth of the dip. About equal to the time out of band for a sudden outage;
 * much less where the service came back in part. NaN without a dip. */
double effects_loss_derived_s(const struct est_result *result);

enum effects_phase {
    PHASE_NOT_NEEDED,     /* it had come back before load was shed */
    PHASE_METASTABLE,     /* it came back when load was shed, and only then */
    PHASE_BROKEN,         /* it did not come back even so: something is broken, nothing sustains itself */
    PHASE_UNKNOWN,        /* cannot be judged, or censored */
};

struct effects_shedding {
    enum effects_phase phase;
    double recovery_s; /* from the shedding to convergence; NaN unless metastable */
    struct est_interval recovery_interval;
};

/* The metastability phase of a run: the fault is gone, the service is still down, and from `shed_s` on the load is lowered. `series` must
 * not shrink with the load: a ratio or a latency, no rate (else -EINVAL). Other errors as est_judge. */
int effects_judge_shedding(const struct est_series *series, const struct est_pins *pins, const struct est_instants *instants, double shed_s,
                           struct effects_shedding *ret_shedding);

#endif
