/* When did the trend change? Change points in a history of runs: where the distribution (level, spread or shape) of what came before
 * differs from that of what came after.
 *
 * Source: Matteson and James, "A nonparametric approach for multiple change point analysis of multivariate data", 2014 (E-Divisive, with
 * the energy distance of Szekely and Rizzo at alpha = 1), and its use on benchmark histories by Daly and others, "The use of change
 * point detection to identify software performance regressions", 2020. */
#ifndef PERTURB_ESTIMATE_CHANGE_H
#define PERTURB_ESTIMATE_CHANGE_H

#include <stddef.h>
#include <stdint.h>

enum { CHANGE_VALUES_MAX = 1000, CHANGE_REGIME_MIN = 3 };

struct change {
    size_t first;  /* index of the first value of the new regime */
    double before; /* median of the regime before, up to the previous change */
    double after;  /* median of the new regime, up to the next */
    double p;      /* by permutation */
};

struct changes {
    struct change *item; /* owned, in order of `first` */
    size_t count;
};

/* Finds change points significant at `alpha` (0.05 or less; 1 / 200 is the smallest p that is told). Permutations are a pure function
 * of `seed`. Returns 0, -EINVAL for a value that is not finite or more than CHANGE_VALUES_MAX, -ENOMEM. End with changes_done. */
int changes_find(const double *value, size_t count, double alpha, uint64_t seed, struct changes *ret_changes);
void changes_done(struct changes *changes);

#endif
