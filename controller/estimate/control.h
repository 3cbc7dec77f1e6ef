/* A control arm: the same load, planned at the same instants, on a twin that nobody disturbs. What both arms suffer, the machine did, not the
 * fault; what the treatment suffers beyond it is judged. Pure functions.
 *
 *  - Shares and rates: in each bin as many of the treatment's bad requests are excused as the control has there: the difference of goodput,
 *    clipped where the control is the worse one. Counts stay counts, so the binomial bounds of the estimator hold.
 *  - Latency: each request's latency over the control's quantile about its instant, taken over as many of the control's requests as tell that
 *    quantile (CONTROL_TAIL beyond it). The quantile of the quotients is the quotient of the quantiles where the control is steady. */
#ifndef PERTURB_ESTIMATE_CONTROL_H
#define PERTURB_ESTIMATE_CONTROL_H

#include "controller/estimate/series.h"

enum { CONTROL_TAIL = 8 };

struct control_arm {
    est_request_at *at;
    const void *context;
    size_t count;
};

/* Makes the series of `build` (measure, window, bin) of the treatment against the control; a latency quantile comes out as a ratio. `ret_excused`
 * (may be NULL) is how many bad requests were excused. Errors as est_series_from_records; -ENODATA when the control has no request. */
int control_series(const struct control_arm *treatment, const struct control_arm *control, const struct est_build *build,
                   struct est_series **ret_series, size_t *ret_excused);

#endif
