/* Convergence times of several runs, some of them not finished: a run that had not converged when its observation ended says "longer than
 * this", and an average over the others would flatter the system. Pure functions; nothing is sorted in the caller's arrays.
 *
 * Sources: Kaplan and Meier, "Nonparametric estimation from incomplete observations", 1958; Greenwood's variance, 1926, on the log-log
 * scale (Kalbfleisch and Prentice, "The statistical analysis of failure time data"); Brookmeyer and Crowley, "A confidence interval for
 * the median survival time", 1982; Mantel, "Evaluation of survival data", 1966; Royston and Parmar, "Restricted mean survival time", 2013. */
#ifndef PERTURB_ESTIMATE_SURVIVAL_H
#define PERTURB_ESTIMATE_SURVIVAL_H

#include "controller/estimate/estimate.h"

struct survival_run {
    double time_s; /* to convergence, or to the end of the observation; finite */
    bool converged;
};

struct survival_point {
    double time_s;
    size_t at_risk, converged; /* just before and at time_s */
    double share;              /* of runs that have not converged after time_s */
    double low, high;          /* its 95 % interval; NaN after the last run */
};

struct survival {
    struct survival_point *point; /* owned; one a distinct time of convergence, in order */
    size_t points;
    size_t runs, censored;
    double last_s; /* the longest time, converged or not */
};

/* Returns 0, -EINVAL for no run or a time that is not finite, -ENOMEM. End with survival_done. */
int survival_estimate(const struct survival_run *run, size_t count, struct survival *ret_survival);
void survival_done(struct survival *survival);

/* The time by which `quantile` (0..1) of the runs have converged, NaN when not so many did; its interval may end in INFINITY. */
double survival_quantile(const struct survival *survival, double quantile, struct est_interval *ret_interval);

/* Mean time to convergence when each run counts for no more than `horizon_s`: the one number that may be averaged with runs that never
 * came back. Asks for horizon_s <= last_s, else the longest run stands for the rest. */
double survival_restricted_mean(const struct survival *survival, double horizon_s, struct est_interval *ret_interval);

/* Log-rank test of two groups: chi-squared of one degree of freedom (> 0 either way) and its p. NaN when nothing can be compared. */
int survival_log_rank(const struct survival_run *a, size_t count_a, const struct survival_run *b, size_t count_b, double *ret_chi2,
                      double *ret_p);

#endif
