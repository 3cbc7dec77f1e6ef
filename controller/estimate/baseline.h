/* The level before the fault, its noise, and whether it is fit to be compared with. Internal to this folder. */
#ifndef PERTURB_ESTIMATE_BASELINE_H
#define PERTURB_ESTIMATE_BASELINE_H

#include "controller/estimate/band.h"

/* Measures the baseline of `instants` and sets level, band and bad requests of `view`; takes its noise. Returns 0 or -ENOMEM.
 * `ret_reason` is NULL when fit, else why not (static); the outputs are written either way. End `ret_noise` with noise_done. */
int baseline_measure(struct view *view, const struct est_pins *pins, const struct est_instants *instants,
                     struct est_baseline *ret_baseline, struct noise *ret_noise, const char **ret_reason);

/* Smallest band above `band`, on a grid of 25 %, that a quantile with known requests can be held to; NaN when none up to 1,000
 * times the level. Returns 0 or -ENOMEM. */
int baseline_resolvable(const struct view *view, const struct noise *noise, const struct est_baseline *baseline, double band,
                        size_t observed, size_t limit, double *ret_band);

#endif
