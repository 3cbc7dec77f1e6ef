/* Distributions and robust summaries; see stats.h. */
#include "controller/estimate/stats.h"

#include <math.h>
#include <stdlib.h>

double stats_normal_upper(double tail)
{
    double low = 0.0, high = 40.0;

    for (int step = 0; step < 60; step++) {
        double middle = 0.5 * (low + high);

        if (0.5 * erfc(middle / sqrt(2.0)) > tail)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

double stats_student_upper(double tail, double freedom)
{
    double z = stats_normal_upper(tail);
    double z2 = z * z, f = freedom;
    double g1 = z * (z2 + 1) / 4;
    double g2 = z * ((5 * z2 + 16) * z2 + 3) / 96;
    double g3 = z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384;

    return z + g1 / f + g2 / (f * f) + g3 / (f * f * f);
}

/* Continued fraction of the incomplete beta function (DLMF 8.17.22), evaluated by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1.0, d = 1.0 - (a + b) * x / (a + 1.0), h;

    d = 1.0 / (fabs(d) < tiny ? tiny : d);
    h = d;
    for (int m = 1; m <= 500; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double ratio;

        d = 1.0 + even * d;
        c = 1.0 + even / c;
        d = 1.0 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        h *= d * c;
        d = 1.0 + odd * d;
        c = 1.0 + odd / c;
        d = 1.0 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        ratio = d * c;
        h *= ratio;
        if (fabs(ratio - 1.0) < 1e-12)
            break;
    }
    return h;
}

static double beta_incomplete(double a, double b, double x)
{
    int sign;
    double front;

    if (x <= 0.0)
        return 0.0;
    if (x >= 1.0)
        return 1.0;
    front = exp(lgamma_r(a + b, &sign) - lgamma_r(a, &sign) - lgamma_r(b, &sign) + a * log(x) + b * log1p(-x));
    if (x < (a + 1.0) / (a + b + 2.0))
        return front * beta_fraction(a, b, x) / a;
    return 1.0 - front * beta_fraction(b, a, 1.0 - x) / b;
}

double stats_binomial_tail(double k, double n, double p)
{
    if (k <= 0.0)
        return 1.0;
    if (k > n)
        return 0.0;
    return beta_incomplete(k, n - k + 1.0, p);
}

double stats_binomial_critical(double n, double p, double tail)
{
    double low = 0.0, high = floor(n) + 1.0; /* P(X >= low) > tail, P(X >= high) <= tail */

    while (high - low > 1.0) {
        double middle = floor(0.5 * (low + high));

        if (stats_binomial_tail(middle, n, p) > tail)
            low = middle;
        else
            high = middle;
    }
    return high;
}

void stats_wilson(double bad, double n, double z, double *ret_low, double *ret_high)
{
    double p, z2 = z * z, centre, half;

    if (n <= 0.0) {
        *ret_low = 0.0;
        *ret_high = 1.0;
        return;
    }
    p = bad / n;
    centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    half = z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    *ret_low = fmax(0.0, centre - half);
    *ret_high = fmin(1.0, centre + half);
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

double stats_median(double *value, size_t count)
{
    if (count == 0)
        return NAN;
    qsort(value, count, sizeof(*value), by_value);
    return 0.5 * (value[(count - 1) / 2] + value[count / 2]);
}

size_t stats_quantile_rank(size_t count, double quantile)
{
    size_t rank = (size_t)ceil(quantile * (double)count);

    return rank == 0 ? 0 : rank > count ? count - 1 : rank - 1;
}

double stats_quantile(double *value, size_t count, double quantile)
{
    if (count == 0)
        return NAN;
    qsort(value, count, sizeof(*value), by_value);
    return value[stats_quantile_rank(count, quantile)];
}

double stats_mad_sigma(double *value, size_t count, double centre)
{
    for (size_t i = 0; i < count; i++)
        value[i] = fabs(value[i] - centre);
    return 1.4826 * stats_median(value, count);
}
