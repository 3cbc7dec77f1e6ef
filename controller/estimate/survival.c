/* Kaplan-Meier, restricted mean, log-rank; see survival.h. */
#include "controller/estimate/survival.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define Z95 1.959964

/* Convergences before the censorings of the same instant, as Kaplan and Meier take them. */
static int by_time(const void *left, const void *right)
{
    const struct survival_run *a = left, *b = right;

    if (a->time_s < b->time_s || a->time_s > b->time_s)
        return a->time_s < b->time_s ? -1 : 1;
    return (int)b->converged - (int)a->converged;
}

static int sorted_copy(const struct survival_run *run, size_t count, struct survival_run **ret_sorted)
{
    struct survival_run *sorted;

    for (size_t i = 0; i < count; i++) {
        if (!isfinite(run[i].time_s))
            return -EINVAL;
    }
    if (count == 0)
        return -EINVAL;
    sorted = malloc(count * sizeof(*sorted));
    if (sorted == NULL)
        return -ENOMEM;
    memcpy(sorted, run, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_time);
    *ret_sorted = sorted;
    return 0;
}

void survival_done(struct survival *survival)
{
    free(survival->point);
    *survival = (struct survival){0};
}

/* Greenwood's variance on the scale of log(-log(share)): bounds stay in 0..1. */
static void bound(struct survival_point *point, double greenwood)
{
    double reach = Z95 * sqrt(greenwood) / fabs(log(point->share));

    point->low = point->high = NAN;
    if (!(point->share > 0.0 && point->share < 1.0))
        return;
    point->low = pow(point->share, exp(reach));
    point->high = pow(point->share, exp(-reach));
}

int survival_estimate(const struct survival_run *run, size_t count, struct survival *ret_survival)
{
    AUTO_FREE struct survival_run *sorted = NULL;
    struct survival survival = {.runs = count};
    double share = 1.0, greenwood = 0.0;
    int rc = sorted_copy(run, count, &sorted);

    if (rc < 0)
        return rc;
    survival.point = malloc(count * sizeof(*survival.point));
    if (survival.point == NULL)
        return -ENOMEM;
    survival.last_s = sorted[count - 1].time_s;
    for (size_t i = 0, next; i < count; i = next) {
        size_t converged = 0;

        for (next = i; next < count && sorted[next].time_s <= sorted[i].time_s; next++)
            converged += sorted[next].converged;
        survival.censored += next - i - converged;
        if (converged == 0)
            continue;
        share *= 1.0 - (double)converged / (double)(count - i);
        greenwood += (double)converged / ((double)(count - i) * (double)(count - i - converged)); /* infinite after the last run */
        survival.point[survival.points] = (struct survival_point){
            .time_s = sorted[i].time_s, .at_risk = count - i, .converged = converged, .share = share};
        bound(&survival.point[survival.points++], greenwood);
    }
    *ret_survival = survival;
    return 0;
}

double survival_quantile(const struct survival *survival, double quantile, struct est_interval *ret_interval)
{
    double left = 1.0 - quantile + 1e-12, told = NAN;

    *ret_interval = (struct est_interval){NAN, INFINITY};
    for (size_t i = 0; i < survival->points; i++) {
        const struct survival_point *point = &survival->point[i];
        double low = isnan(point->low) ? point->share : point->low, high = isnan(point->high) ? point->share : point->high;

        if (isnan(told) && point->share <= left)
            told = point->time_s;
        if (isnan(ret_interval->low) && low <= left)
            ret_interval->low = point->time_s;
        if (isinf(ret_interval->high) && high <= left && !isnan(point->high))
            ret_interval->high = point->time_s;
    }
    return told;
}

double survival_restricted_mean(const struct survival *survival, double horizon_s, struct est_interval *ret_interval)
{
    double mean = 0.0, variance = 0.0, share = 1.0, from_s = 0.0;

    for (size_t i = 0; i <= survival->points; i++) {
        double to_s = i < survival->points ? fmin(survival->point[i].time_s, horizon_s) : horizon_s;

        mean += share * (to_s - from_s);
        from_s = to_s;
        if (i < survival->points && survival->point[i].time_s <= horizon_s)
            share = survival->point[i].share;
    }
    for (size_t i = 0; i < survival->points && survival->point[i].time_s < horizon_s; i++) {
        const struct survival_point *point = &survival->point[i];
        double area = 0.0, left = (double)(point->at_risk - point->converged);

        for (size_t j = i; j < survival->points && survival->point[j].time_s < horizon_s; j++) {
            double to_s = j + 1 < survival->points ? fmin(survival->point[j + 1].time_s, horizon_s) : horizon_s;

            area += survival->point[j].share * (to_s - survival->point[j].time_s);
        }
        if (left > 0.0)
            variance += area * area * (double)point->converged / ((double)point->at_risk * left);
    }
    *ret_interval = (struct est_interval){.low = fmax(mean - Z95 * sqrt(variance), 0.0), .high = fmin(mean + Z95 * sqrt(variance), horizon_s)};
    return mean;
}

/* Runs still waiting just before `time_s`, and those that converge at it. */
static void count_at(const struct survival_run *run, size_t count, double time_s, double *ret_at_risk, double *ret_converged)
{
    *ret_at_risk = *ret_converged = 0.0;
    for (size_t i = 0; i < count; i++) {
        *ret_at_risk += run[i].time_s >= time_s;
        *ret_converged += run[i].converged && !(run[i].time_s < time_s) && !(run[i].time_s > time_s);
    }
}

int survival_log_rank(const struct survival_run *a, size_t count_a, const struct survival_run *b, size_t count_b, double *ret_chi2,
                      double *ret_p)
{
    AUTO_FREE struct survival_run *all = malloc((count_a + count_b + 1) * sizeof(*all));
    struct survival together;
    double observed = 0.0, expected = 0.0, variance = 0.0;
    int rc;

    if (all == NULL)
        return -ENOMEM;
    if (count_a == 0 || count_b == 0)
        return -EINVAL;
    memcpy(all, a, count_a * sizeof(*all));
    memcpy(all + count_a, b, count_b * sizeof(*all));
    rc = survival_estimate(all, count_a + count_b, &together);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < together.points; i++) {
        double n = (double)together.point[i].at_risk, d = (double)together.point[i].converged, risk, converged;

        count_at(a, count_a, together.point[i].time_s, &risk, &converged);
        observed += converged;
        expected += d * risk / n;
        if (n > 1.0)
            variance += d * (risk / n) * (1.0 - risk / n) * (n - d) / (n - 1.0);
    }
    survival_done(&together);
    *ret_chi2 = variance > 0.0 ? (observed - expected) * (observed - expected) / variance : NAN;
    *ret_p = isnan(*ret_chi2) ? NAN : erfc(sqrt(0.5 * *ret_chi2));
    return 0;
}
