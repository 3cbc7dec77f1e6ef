/* Sizes of what happened: signed loss, dip, overshoot, residual. Internal to this folder. */
#ifndef PERTURB_ESTIMATE_LOSS_H
#define PERTURB_ESTIMATE_LOSS_H

#include "controller/estimate/band.h"

/* Signed area between level and signal over [from_s, to_s), in seconds of full outage, with its 95 % interval. Not clipped:
 * clipping turns noise into loss (4 to 25 % in simulation). Short unknown runs (up to `bridge` bins) take their neighbours' values,
 * longer ones count nothing. */
double loss_between(const struct view *view, const struct noise *noise, double from_s, double to_s, size_t bridge,
                    struct est_interval *ret_interval);

/* Largest (worse > 0) or smallest mean deviation of a window of `width` bins inside `span`; NaN when no window is known. */
double loss_extreme(const struct view *view, struct span span, size_t width, bool worst);

/* Typical deviation over `span`: median, or the share of all requests. Returns 0 or -ENOMEM. */
int loss_typical(const struct view *view, struct span span, double *ret_deviation);

#endif
