/* The law of a gradual recovery of requests: relax.h on counts. Internal to this folder.
 *
 * Bad requests are binomial about their share, whose variance falls along a recovery by a factor of ten and more. So the laws are fitted by
 * weights, over the variance at the share that the last fit gave, three times over: for a share that is linear in its parameters these are
 * the steps of the likelihood (Nelder and Wedderburn, "Generalized linear models", 1972), and no group of requests is too small for
 * them, since a weight never depends on what its own group did.
 *
 * Invariants
 *  1. The variance is never taken as less than a signal within a quarter of the band would have: else the law would be fitted to the
 *     many requests after the recovery, and only extended to the edge.
 *  2. Lengths and crossings that leave this file are in base bins from the start of what was fitted. */
#ifndef PERTURB_ESTIMATE_COUNTS_H
#define PERTURB_ESTIMATE_COUNTS_H

#include "controller/estimate/excursion.h"

enum { COUNTS_GROUPS_MAX = 1024 };

/* Requests of neighbouring bins, taken together. End with counts_done. */
struct counts {
    double *deviation, *weight, *planned, *share; /* [groups], inside one block, owned by `deviation` */
    size_t groups, width;                         /* base bins in a group */
    struct relax_work work;
};

/* Returns 0 or -ENOMEM (counts_done is then safe). */
int counts_init(struct counts *counts);
void counts_done(struct counts *counts);

/* Takes the bins of `span` together by `width`; at most COUNTS_GROUPS_MAX groups, the rest is left out. */
void counts_group(struct counts *counts, const struct view *view, struct span span, size_t width);

/* Weighs the groups by `relax` (in base bins; NULL: all shares alike). */
void counts_weigh(struct counts *counts, const struct view *view, const struct relax *relax);

/* Fits the laws to the groups as they are weighed. */
struct relax counts_fit(struct counts *counts, const struct view *view, double *ret_gain);

/* Fits the laws to `span`, whose start lies inside a recovery. Returns whether there is more of a fall in it than chance would show;
 * `ret_fitted` is the part that was fitted: the fall and several times its length. */
bool counts_fall(struct counts *counts, const struct view *view, struct span span, struct relax *ret_relax, struct span *ret_fitted);

/* Does the law leave a stretch of requests that chance would not, with probability `alpha` for a true law? Looked at as in tail.c. */
bool counts_misfit(const struct view *view, const struct relax *relax, struct span span, size_t through, double alpha);

#endif
