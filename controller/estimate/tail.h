/* Placing the end of an excursion of values. Internal to this folder. */
#ifndef PERTURB_ESTIMATE_TAIL_H
#define PERTURB_ESTIMATE_TAIL_H

#include "controller/estimate/excursion.h"

enum { TAIL_BINS_MAX = 2048 }; /* looked at after half depth */

/* Sets to, to_s, fitted and relax of each of `found`, in a span that ends at bin `end`. In this order: the law that explains the second
 * half of the fall, and with it pieces that noise cut off, which then are no excursions of their own; a sudden return where nothing is
 * left to explain; the isotonic crossing. Returns 0 or -ENOMEM. */
int tails_place(const struct view *view, const struct noise *noise, struct excursions *found, size_t end);

/* Variance of the mean of `width` neighbours around deviation `level`: noise of the baseline and shot noise. */
double tail_variance(const struct view *view, const struct noise *noise, size_t width, double level);

#endif
