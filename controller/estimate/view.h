/* One signal turned so that up is worse and the level is zero: what the stages of the estimator share. Internal to this folder.
 *
 * Invariants
 *  1. A deviation is in the unit of the band: fraction of the level, absolute for ratios. Worse is positive.
 *  2. `counted` views judge requests (bad out of planned); others judge values. A quantile with known requests is counted: a
 *     request is bad above level * (1 + band), and the quantile is out of band where more than 1 - quantile of them are.
 *  3. Prefix sums leave out masked and unknown bins; view_index must run after the mask or the level changes. */
#ifndef PERTURB_ESTIMATE_VIEW_H
#define PERTURB_ESTIMATE_VIEW_H

#include "controller/estimate/estimate.h"

/* A stretch without requests is unknown once this many were to be expected in it: chance alone leaves such a gap once in e^20. */
#define GAP_REQUESTS 20.0

struct span {
    size_t from, to; /* bins [from, to) */
};

struct view {
    const struct est_series *series; /* borrowed */
    size_t bins;
    bool counted;
    double level; /* of the signal, in its own unit */
    double unit;  /* what a deviation of 1 is, in the signal's unit */
    double quantum; /* deviation that one request makes in a bin, 0 when unknown: shot noise that the baseline may not show */
    double band;  /* in-band means a mean deviation of at most this; counted: above `bad_share` */

    double bad_share;      /* counted: of the baseline */
    double bad_share_high; /* its Wilson bound: what the noise may do */
    double dispersion;     /* >= 1: variance of bad counts over binomial */
    double baseline_planned; /* counted: requests behind bad_share */
    double planned_per_bin;
    uint16_t bad_latency;  /* counted quantile: bad has a larger code than this */

    double *deviation; /* [bins], NaN unknown */
    uint32_t *bad;     /* [bins], counted only */
    unsigned char *masked; /* [bins], excursions already told */
    double *sum;       /* [bins + 1] of deviations, or of bad requests */
    double *weight;    /* [bins + 1] of known bins, or of planned requests */
    double clip;       /* values: the scan draws deviations in to this, so that one outlier cannot carry a window */
    double *clipped;   /* [bins + 1] of deviations so drawn in */
};

/* Allocates for `series` (borrowed until view_done). The level is not set yet. Returns 0 or -ENOMEM (view_done is then safe). */
int view_init(struct view *view, const struct est_series *series);
void view_done(struct view *view);

/* Bins wholly inside [from_s, to_s), clipped to the series; empty (from == to) when there is none. */
struct span view_span(const struct est_series *series, double from_s, double to_s);

double view_time_s(const struct view *view, size_t bin); /* start of a bin */

/* Sets the level and what follows from it. `unit` is |level|, or 1 for ratios. */
void view_set_level(struct view *view, double level);

/* Sets which requests are bad: all not good (ratio), or slower than `bad_latency_s` (quantile). */
void view_count_bad(struct view *view, double bad_latency_s);
bool view_event_bad(const struct view *view, const struct est_event *event);

void view_index(struct view *view);

/* Clips the scan's deviations well beyond `reach`, what noise may do to a bin (noise_reach), and indexes. */
void view_clip(struct view *view, double reach);
double view_clipped(double deviation, double clip);

/* Expected number of bins that hold `requests` planned requests, at least 1; 1 for values. */
size_t view_bins_of(const struct view *view, double requests);

/* Mean deviation of a window (counted: bad share less the baseline's); NaN when less than `share` of it is known. */
double view_mean(const struct view *view, size_t from, size_t to, double share);

/* Sum of deviations beyond the band: the quantity whose extremes are isotonic crossings. */
double view_excess(const struct view *view, size_t from, size_t to);

/* Events with planned instant in [from_s, to_s). */
struct span view_events(const struct est_series *series, double from_s, double to_s);
double view_event_s(const struct est_series *series, size_t event);

#endif
