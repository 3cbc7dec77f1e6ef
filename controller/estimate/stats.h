/* The few distributions and robust summaries that the estimator needs. Pure functions. */
#ifndef PERTURB_ESTIMATE_STATS_H
#define PERTURB_ESTIMATE_STATS_H

#include <stddef.h>

/* z with P(Z > z) = tail for a standard normal Z; 0 < tail <= 0.5. */
double stats_normal_upper(double tail);

/* t with P(T > t) = tail for Student's T with `freedom` >= 3 (Abramowitz and Stegun 26.7.5; error under 2 % for tails above 1e-7
 * at freedom >= 8). */
double stats_student_upper(double tail, double freedom);

/* P(X >= k) for X ~ Binomial(n, p), continued to real k and n by the incomplete beta function. 1 for k <= 0, 0 for k > n. */
double stats_binomial_tail(double k, double n, double p);

/* Smallest whole k with P(X >= k) <= tail; n + 1 when there is none. */
double stats_binomial_critical(double n, double p, double tail);

/* Wilson score bounds of bad / n at z standard deviations; [0, 1] for n = 0. */
void stats_wilson(double bad, double n, double z, double *ret_low, double *ret_high);

/* Order the values given (in place) and return their median, a quantile (nearest rank, as latency quantiles are defined), or
 * 1.4826 * the median absolute deviation about `centre`. NaN for count 0. */
double stats_median(double *value, size_t count);
double stats_quantile(double *value, size_t count, double quantile);
size_t stats_quantile_rank(size_t count, double quantile); /* of `count` > 0 ordered values, from 0 */
double stats_mad_sigma(double *value, size_t count, double centre);

#endif
