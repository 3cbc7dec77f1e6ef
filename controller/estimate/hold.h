/* From excursions to convergence: which in-band stretch lasted the hold. Internal to this folder. */
#ifndef PERTURB_ESTIMATE_HOLD_H
#define PERTURB_ESTIMATE_HOLD_H

#include "controller/estimate/excursion.h"

/* Unknown stretches, in bins, in order. */
struct gaps {
    struct span *item; /* owned */
    size_t count;
    double unknown_share; /* of the span asked about, short runs included */
};

struct hold {
    bool converged;
    double converged_s;  /* NaN when not */
    double earliest_s;   /* converged_s, or the end of the last excursion when data was missing in between */
    size_t last;         /* excursion that convergence follows; undefined when not converged */
    bool after_gap;      /* convergence is known only to lie in [earliest_s, converged_s] */
    size_t flaps;
    size_t redegradations;
    double longest_exit_s;
    double longest_good_s;
};

/* Runs of at least `shortest` unknown bins in `span`. Returns 0 or -ENOMEM. */
int gaps_find(const struct view *view, struct span span, size_t shortest, struct gaps *ret_gaps);
void gaps_done(struct gaps *gaps);

/* `found` must have its edges placed and at least one excursion. Gaps break a hold and never count as good. A stretch that starts
 * under the fault only counts when nothing leaves the band again before release + hold. */
struct hold hold_find(const struct view *view, const struct excursions *found, const struct gaps *gaps,
                      const struct est_instants *instants, double hold_s);

#endif
