/* Interval of the convergence instant within one run. Internal to this folder. */
#ifndef PERTURB_ESTIMATE_BOOTSTRAP_H
#define PERTURB_ESTIMATE_BOOTSTRAP_H

#include "controller/estimate/edge.h"

/* 95 % interval of the end of `excursion`, judged on what lies before `until_s`. Values: blocks of the baseline's own noise (as
 * long as its autocorrelation; Kuensch, "The jackknife and the bootstrap for general stationary observations", 1989) are laid over the
 * law or the isotonic fit of the recovery, with the level drawn from its own standard error; requests: drawn afresh from their
 * fitted shares. The instant is estimated again from each of 400 such recoveries. Spans the laws that explain as much; never
 * narrower than one base bin to either side.
 * Draws are a pure function of `seed`. Returns 0 or -ENOMEM. */
int bootstrap_end(const struct view *view, const struct noise *noise, const struct excursion *excursion, double until_s,
                  uint64_t seed, struct est_interval *ret_interval);

#endif
