/* Did it get slower? Two groups of runs of the same playbook, compared without assuming a distribution. Pure functions.
 *
 * Sources: Mann and Whitney, "On a test of whether one of two random variables is stochastically larger", 1947 (exact distribution by
 * their recursion); Hodges and Lehmann, "Estimates of location based on rank tests", 1963; Moses' interval for the shift (Hollander and
 * Wolfe, "Nonparametric statistical methods", section 4.3); Holm, "A simple sequentially rejective multiple test procedure", 1979;
 * asymptotic efficiency 3/pi of the test under normal noise (Lehmann, "Nonparametrics", section 2.4). */
#ifndef PERTURB_ESTIMATE_COMPARE_H
#define PERTURB_ESTIMATE_COMPARE_H

#include "controller/estimate/estimate.h"

enum { COMPARE_RUNS_MIN = 5, COMPARE_RUNS_MAX = 1000 };

enum compare_outcome {
    COMPARE_TOO_FEW, /* fewer than five runs on either side: nothing is called a regression (DESIGN section 8) */
    COMPARE_SAME,    /* no difference beyond chance; `detectable` says which one would have been seen */
    COMPARE_HIGHER,  /* b is higher than a */
    COMPARE_LOWER,
};

struct comparison {
    enum compare_outcome outcome;
    double shift; /* typical b less typical a: the median of all pairwise differences */
    struct est_interval shift_interval; /* 95 %; NaN where so few runs cannot give one */
    double u;     /* pairs in which b is higher, ties count a half */
    double p;     /* two-sided */
    double effect; /* u over all pairs: the chance that a run of b is higher; 0.5 is no difference */
    double detectable; /* shift that would be found in four of five such comparisons, from the spread of both groups */
};

/* Compares finite values at level `alpha` (0.05). Returns 0, -EINVAL for an empty group, a value that is not finite or too many, -ENOMEM. */
int compare_groups(const double *a, size_t count_a, const double *b, size_t count_b, double alpha, struct comparison *ret_comparison);

/* Holm's correction over several metrics of one comparison: `p` [count] in any order becomes the adjusted p. 0 or -ENOMEM. */
int compare_holm(double *p, size_t count);

#endif
