/* Isotonic regression. Internal to this folder. */
#ifndef PERTURB_ESTIMATE_ISOTONIC_H
#define PERTURB_ESTIMATE_ISOTONIC_H

#include <stddef.h>

/* Least-squares fit of `value` [count] by a sequence that never rises, by pooling adjacent violators in O(count). Unknown (NaN)
 * values weigh nothing and take the fit of their left neighbour (or, first of all, of the first known). `ret_fit` [count] may not
 * overlap `value`. `work` holds 2 * count doubles. */
void isotonic_falling(const double *value, size_t count, double *work, double *ret_fit);

/* Where that fit crosses `level`: the number of leading values whose fit is above it, found without the fit as the extreme point
 * of the cumulative sum of value - level. */
size_t isotonic_crossing(const double *value, size_t count, double level);

#endif
