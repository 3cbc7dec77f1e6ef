/* The law of a gradual recovery. Internal to this folder.
 *
 * An isotonic fit knows no more of a recovery than that it never turns back, so its crossing errs as the cube root of the noise
 * (Groeneboom and Wellner, "Computing Chernoff's distribution", 2001). Most recoveries follow a rate law, dy/dt = -c y^(1 + k): what is
 * left is worked off at a constant rate (k = -1, a straight line: a backlog drains), in proportion to itself (k = 0, an exponential:
 * caches, averages, windows), or in between and slower (k = -1/2, a parabola; k = 1/2 and 1, hyperbolas). Where one of these explains
 * what was seen, its crossing errs as the square root of the noise and is nearly unbiased.
 *
 * Invariants
 *  1. A law is fitted to the late part of the fall only, so a slow start or an S-shape does little harm.
 *  2. A law is believed when it explains more than chance would (chi-squared of two parameters, 1 %) and leaves no stretch of
 *     residuals at any width that noise would not (see tail.c). Otherwise the caller keeps its own answer. */
#ifndef PERTURB_ESTIMATE_RELAX_H
#define PERTURB_ESTIMATE_RELAX_H

#include <stdbool.h>
#include <stddef.h>

/* deviation(x) = rest + height * shape(x / length), x in bins from the start of the fit: */
enum relax_law {
    RELAX_NONE,
    RELAX_SUDDEN,
    RELAX_LINE,        /* max(0, 1 - z) */
    RELAX_PARABOLA,    /* max(0, 1 - z)^2 */
    RELAX_EXPONENTIAL, /* e^-z */
    RELAX_HYPERBOLA,   /* (1 + z)^-2 */
    RELAX_SLOW,        /* (1 + z)^-1 */
};

struct relax {
    enum relax_law law;
    double rest, height, length;
    double crossing; /* in bins, where the best exponent between the laws meets the band */
    double own;      /* where this law itself does */
    double chance;   /* as given to relax_fit */
    double crossing_low, crossing_high; /* over all laws that explain as much, within chance */
};

/* Memory for fits of up to `capacity` bins. */
struct relax_work {
    double *sums; /* owned */
    size_t capacity;
};

/* Returns 0 or -ENOMEM. */
int relax_work_init(struct relax_work *work, size_t capacity);
void relax_work_done(struct relax_work *work);

/* What is fitted. Borrows both arrays. */
struct relax_data {
    const double *deviation; /* [count]; NaN is unknown */
    const double *weight;    /* [count], over the variance of each; NULL: all 1 */
    size_t count;            /* <= the capacity of the work */
};

/* Best law, judged by (weighted) least squares alone. The crossing is where it meets `band`; RELAX_NONE when none falls to below it. `chance`
 * is how much less, as a sum of squares, another law may explain and still count as good: chi-squared of one, upper 5 %, times the
 * variance. `ret_gain` is what the best law explains over a constant, also when it is not believed. */
struct relax relax_fit(struct relax_work *work, const struct relax_data *data, double band, double chance, double *ret_gain);

double relax_value(const struct relax *relax, double at);

#endif
