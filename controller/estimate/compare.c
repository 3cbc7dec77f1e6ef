/* Mann-Whitney, Hodges-Lehmann, Holm; see compare.h. */
#include "controller/estimate/compare.h"

#include "controller/estimate/stats.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_RUNS_MAX 40 /* of both groups: above, or with ties, the normal approximation serves */
#define Z95 1.959964
#define Z80 0.841621

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

/* P(U <= u) for untied samples: ways(m, n, u) = ways(m - 1, n, u - n) + ways(m, n - 1, u), as shares of all orders. */
static int exact_tail(size_t m, size_t n, double u, double *ret_tail)
{
    size_t most = m * n + 1;
    AUTO_FREE double *ways = calloc((m + 1) * (n + 1) * most, sizeof(*ways));
    double below = 0.0, all = 0.0;

    if (ways == NULL)
        return -ENOMEM;
    for (size_t i = 0; i <= m; i++) {
        for (size_t j = 0; j <= n; j++) {
            double *here = ways + (i * (n + 1) + j) * most;

            if (i == 0 || j == 0) {
                here[0] = 1.0;
                continue;
            }
            for (size_t k = 0; k < most; k++)
                here[k] = (k >= j ? ways[((i - 1) * (n + 1) + j) * most + k - j] : 0.0) + ways[(i * (n + 1) + j - 1) * most + k];
        }
    }
    for (size_t k = 0; k < most; k++) {
        all += ways[(m * (n + 1) + n) * most + k];
        below += (double)k <= u ? ways[(m * (n + 1) + n) * most + k] : 0.0;
    }
    *ret_tail = below / all;
    return 0;
}

/* Sum of t^3 - t over groups of equal values. */
static double ties_of(const double *sorted, size_t count)
{
    double ties = 0.0;

    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && !(sorted[next] > sorted[i]); next++)
            ;
        ties += pow((double)(next - i), 3.0) - (double)(next - i);
    }
    return ties;
}

static int p_of(double u, size_t m, size_t n, double ties, double *ret_p)
{
    double pairs = (double)m * (double)n, total = (double)(m + n), variance, tail;
    int rc;

    if (ties <= 0.0 && m + n <= EXACT_RUNS_MAX) {
        rc = exact_tail(m, n, fmin(u, pairs - u), &tail);
        if (rc == 0)
            *ret_p = fmin(2.0 * tail, 1.0);
        return rc;
    }
    variance = pairs / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    *ret_p = variance > 0.0 ? fmin(erfc(fmax(fabs(u - 0.5 * pairs) - 0.5, 0.0) / sqrt(2.0 * variance)), 1.0) : 1.0;
    return 0;
}

/* How many of the smallest (and of the largest) differences lie outside the 95 % interval; 0 when there are too few pairs for one. */
static int differences_outside(size_t m, size_t n, double *ret_outside)
{
    double pairs = (double)m * (double)n, tail;

    *ret_outside = 0.0;
    if (m + n > EXACT_RUNS_MAX) {
        *ret_outside = fmax(floor(0.5 * pairs - Z95 * sqrt(pairs * (double)(m + n + 1) / 12.0)), 0.0);
        return 0;
    }
    for (double k = 0.0; k < pairs; k++) {
        int rc = exact_tail(m, n, k, &tail);

        if (rc < 0)
            return rc;
        if (tail > 0.025)
            break;
        *ret_outside = k + 1.0;
    }
    return 0;
}

static int shift_of(const double *a, size_t m, const double *b, size_t n, struct comparison *comparison)
{
    AUTO_FREE double *difference = malloc(m * n * sizeof(*difference));
    double outside;
    int rc;

    if (difference == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++)
            difference[i * n + j] = b[j] - a[i];
    }
    comparison->shift = stats_median(difference, m * n); /* orders them */
    comparison->shift_interval = (struct est_interval){NAN, NAN};
    rc = differences_outside(m, n, &outside);
    if (rc == 0 && outside >= 1.0)
        comparison->shift_interval = (struct est_interval){difference[(size_t)outside - 1], difference[m * n - (size_t)outside]};
    return rc;
}

/* Spread of both groups about their medians, pooled. `work` holds both. */
static double pooled_sigma(const double *a, size_t m, const double *b, size_t n, double *work)
{
    double middle;

    memcpy(work, a, m * sizeof(*work));
    middle = stats_median(work, m);
    for (size_t i = 0; i < m; i++)
        work[i] = a[i] - middle;
    memcpy(work + m, b, n * sizeof(*work));
    middle = stats_median(work + m, n);
    for (size_t i = 0; i < n; i++)
        work[m + i] = b[i] - middle;
    return stats_mad_sigma(work, m + n, 0.0);
}

int compare_groups(const double *a, size_t count_a, const double *b, size_t count_b, double alpha, struct comparison *ret_comparison)
{
    struct comparison comparison = {.outcome = COMPARE_SAME};
    size_t total = count_a + count_b;
    AUTO_FREE double *work = malloc((total + 1) * sizeof(*work));
    int rc;

    if (work == NULL)
        return -ENOMEM;
    if (count_a == 0 || count_b == 0 || count_a > COMPARE_RUNS_MAX || count_b > COMPARE_RUNS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < total; i++) {
        if (!isfinite(i < count_a ? a[i] : b[i - count_a]))
            return -EINVAL;
    }
    for (size_t i = 0; i < count_a; i++) {
        for (size_t j = 0; j < count_b; j++)
            comparison.u += b[j] > a[i] ? 1.0 : b[j] < a[i] ? 0.0 : 0.5;
    }
    comparison.effect = comparison.u / ((double)count_a * (double)count_b);
    comparison.detectable = (Z95 + Z80) * pooled_sigma(a, count_a, b, count_b, work) *
                            sqrt(acos(-1.0) / 3.0 * (1.0 / (double)count_a + 1.0 / (double)count_b));
    memcpy(work, a, count_a * sizeof(*work));
    memcpy(work + count_a, b, count_b * sizeof(*work));
    qsort(work, total, sizeof(*work), by_size);
    rc = p_of(comparison.u, count_a, count_b, ties_of(work, total), &comparison.p);
    if (rc == 0)
        rc = shift_of(a, count_a, b, count_b, &comparison);
    if (rc < 0)
        return rc;
    if (count_a < COMPARE_RUNS_MIN || count_b < COMPARE_RUNS_MIN)
        comparison.outcome = COMPARE_TOO_FEW;
    else if (comparison.p <= alpha)
        comparison.outcome = comparison.effect > 0.5 ? COMPARE_HIGHER : COMPARE_LOWER;
    *ret_comparison = comparison;
    return 0;
}

int compare_holm(double *p, size_t count)
{
    AUTO_FREE double *given = malloc((count + 1) * sizeof(*given));

    if (given == NULL)
        return -ENOMEM;
    memcpy(given, p, count * sizeof(*given));
    qsort(given, count, sizeof(*given), by_size);
    for (size_t i = 0; i < count; i++) {
        double adjusted = 0.0;

        for (size_t rank = 0; rank < count && given[rank] <= p[i]; rank++) /* the largest step up to its own */
            adjusted = fmax(adjusted, fmin((double)(count - rank) * given[rank], 1.0));
        p[i] = adjusted;
    }
    return 0;
}
