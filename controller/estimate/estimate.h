/* Convergence time of one signal, with an error bar: when it left its band, when it came back for good, what that cost, and how
 * sure we are. A pure library: bounded memory, no I/O, no clock, no globals; the same input gives the same output, bit for bit.
 *
 * How it decides
 *  1. The baseline gives a level and its noise. The band is pinned by the caller; noise only decides at which bin width (a
 *     multiple of the base bin) the band is *resolvable*. If at none up to the limit, the verdict is `indeterminate` and
 *     `resolvable_band` names the smallest band that would have been.
 *  2. Whether: the signal is scanned at widths 1, 2, 4 ... base bins up to the chosen one. An excursion needs two neighbouring
 *     windows beyond max(band, noise at that width); the error rate (1 %) holds over the whole observation and all widths.
 *  3. When: requests by the isotonic crossing of the same threshold or, for a sharp edge, by its likelihood; values by the rate law of
 *     their recovery, or the isotonic crossing where no law explains it (tail.h, relax.h).
 *  4. Only the bad side counts: better than the band is overshoot, not an excursion.
 *
 * Limits worth knowing
 *  - Widths go up to the hold and an eighth of the baseline for values, to four holds and the whole baseline for requests, and in
 *    any case to half of what was observed after the release (after the injection when there is none).
 *  - At 5 requests/s, quick pins and 0 to 1 % errors the smallest resolvable band is 8 to 20 points; at 20/s and more it is below 5.
 *  - A tail quantile needs a band wider than its own noise: 5 % on a p99 is rarely resolvable. Prefer a ratio of good requests.
 *  - A goodput *rate* hides the shot noise of its recovery when arrivals are even; the goodput *ratio* does not.
 *  - Instants are those of planned sends: a request planned shortly before the service is back, and answered within its deadline,
 *    is good, so goodput returns up to one deadline before the service does.
 *
 * How far off it is, measured: docs/estimator.md. Definitions and edge cases: peers/controller.md section 2, DESIGN section 8. */
#ifndef PERTURB_ESTIMATE_H
#define PERTURB_ESTIMATE_H

#include "controller/estimate/series.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum est_rigour { EST_QUICK, EST_FULL };

/* Verdicts of DESIGN section 7 that can be judged from a series, worst last within each exit status. */
enum est_verdict {
    EST_ABSORBED, /* the fault acted, no excursion: convergence time 0 */
    EST_RECOVERED_UNDER_FAULT,
    EST_CONVERGED,
    EST_CENSORED, /* in band at the end, but not for the hold */
    EST_INDETERMINATE,
    EST_BASELINE_UNFIT,
    EST_CONVERGED_TO_NEW_LEVEL,
    EST_CONVERGED_THEN_REDEGRADED,
    EST_FLAPPING,
    EST_NOT_CONVERGED,
    EST_METASTABLE,
    EST_VERDICTS
};

/* Pinned by the playbook, so that weeks compare. */
struct est_pins {
    double band;   /* (0, 1): fraction of the baseline level; for ratios, absolute (0.05 is five points of percent) */
    double hold_s; /* > 0 */
    enum est_rigour rigour;
    uint64_t seed; /* of the bootstrap */
};

/* On the clock of the series. */
struct est_instants {
    double baseline_start_s;
    double baseline_end_s; /* NaN: up to inject_s */
    double inject_s;       /* the first effect, not the request */
    double release_s;      /* NaN when never released (kill) */
    double end_s;          /* of the observation */
};

/* What only the caller can know, to tell `metastable` from `not_converged`; NaN where unknown. */
struct est_context {
    double offered_ratio;       /* load offered after the release over load in the baseline */
    double amplification_ratio; /* attempts per logical request, after the release over baseline */
};

struct est_interval {
    double low, high; /* 95 %; both NaN when there is none */
};

struct est_baseline {
    double level;   /* median of bins; for counts good over planned (or its complement); for quantiles the pooled one */
    double sigma;   /* of a base bin: robust for values, binomial for counts */
    double drift;   /* fitted change over the baseline, worse is positive, in the band's unit; counted: of the share of bad requests */
    double start_s, end_s; /* what was used */
    size_t bins;           /* in the window */
    size_t known;          /* of these, with data */
    size_t block_bins;     /* autocorrelation: first zero of the ACF, >= 1; the block of the bootstrap */
    uint64_t planned;      /* requests, 0 when not counted */
    uint64_t bad;
};

struct est_result {
    enum est_verdict verdict;
    const char *reason; /* one plain sentence, static; "" when the verdict says it all */

    /* Instants, NaN when they did not happen. */
    double deviated_s;
    double first_return_s;
    double converged_s; /* start of the first in-band stretch that lasted the hold; for a new level, when it was reached */
    double validated_s; /* converged_s + hold: the earliest a live system may claim it */
    struct est_interval converged_interval; /* never narrower than one base bin to either side */

    /* Durations, seconds, NaN when not defined. */
    double time_to_deviation_s;
    double convergence_from_release_s; /* negative: recovered under the fault */
    double convergence_from_inject_s;
    struct est_interval from_release_interval;
    struct est_interval from_inject_interval;

    /* Sizes. Signed area in seconds of full outage (of the whole baseline level). */
    double loss_to_hold_s; /* from injection to validated_s; NaN when not converged */
    struct est_interval loss_to_hold_interval;
    double loss_to_end_s;
    struct est_interval loss_to_end_interval;
    double dip_depth; /* worst window, fraction of the level; for ratios absolute. > 0 is worse than baseline */
    double overshoot; /* best window after first return, same unit; <= 0 when never above the level */
    double residual;  /* of the hold (or of the last stretch when not converged), same unit, > 0 is worse than baseline */
    size_t flaps;     /* exits after the first return and before convergence */
    size_t redegradations; /* exits after validation */
    double longest_exit_s; /* longest excursion after the first return, 0 when none */
    double longest_good_s; /* longest in-band stretch after the first return */

    /* How it was judged. */
    struct est_baseline baseline;
    double level_worst_ok;  /* the threshold as a value of the signal, to draw the band */
    double threshold;       /* max(band, noise), in the band's unit */
    double bin_s;           /* chosen width */
    double resolvable_band; /* smallest band that could be resolved at any width, same unit */
    double smallest_dip;    /* smallest dip lasting two chosen bins that would have been seen, same unit */
    double smallest_outage_s; /* shortest total outage that would have been seen; NaN when none within the limit */
    double unknown_share;   /* of the observation, at the chosen width, 0..1 */
};

/* Words of DESIGN section 7, e.g. "converged_then_redegraded". */
const char *est_verdict_name(enum est_verdict verdict);

/* 0, 1 or 2 as DESIGN section 7 assigns them before any bound is looked at. */
int est_verdict_status(enum est_verdict verdict);

/* Is this baseline fit to inject on? To be asked before injecting: `baseline_start_s`, and `baseline_end_s` or `inject_s`, are
 * read. Returns true when fit; otherwise `ret_reason` (static) says why not. `ret_baseline` is written either way. */
bool est_baseline_fit(const struct est_series *series, const struct est_pins *pins, const struct est_instants *instants,
                      struct est_baseline *ret_baseline, const char **ret_reason);

/* The baseline a rigour asks for, seconds: quick max(200 bins, 4 holds), full max(60 s, 10 holds, 200 bins). */
double est_baseline_needed_s(enum est_rigour rigour, double bin_s, double hold_s);

/* Judges one signal. `context` may be NULL. Returns 0 with a result (an unusable series is a verdict, not an error); -EINVAL for
 * pins out of range or instants out of order, -ENOMEM. */
int est_judge(const struct est_series *series, const struct est_pins *pins, const struct est_instants *instants,
              const struct est_context *context, struct est_result *ret_result);

/* Several deciding signals: the verdict that weighs most (a certain failure over an unknown over a pass), the earliest deviation,
 * the *last* convergence. `ret_last` (may be NULL) is the index of the signal that decided. `count` >= 1. */
void est_combine(const struct est_result *result, size_t count, struct est_result *ret_result, size_t *ret_last);

/* Attempts per logical request with its 95 % interval (attempts taken as Poisson given the requests). NaN when logical is 0. */
double est_amplification(uint64_t attempts, uint64_t logical, struct est_interval *ret_interval);

#endif
