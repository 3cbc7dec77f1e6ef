/* One number of a window's samples. */
#include "controller/probe/probe.h"

#include <math.h>
#include <stdlib.h>

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* The smallest value that at least a share of `quantile` of them does not exceed. */
static double quantile_of(const struct probe_sample *samples, size_t count, double quantile)
{
    double *values = malloc((count + 1) * sizeof(double)), value = NAN;
    size_t known = 0;

    for (size_t i = 0; values && i < count; i++)
        if (!isnan(samples[i].value))
            values[known++] = samples[i].value;
    if (known) {
        qsort(values, known, sizeof(double), compare_doubles);
        value = values[(size_t)ceil(quantile * (double)known) - 1];
    }
    free(values);
    return value;
}

/* From the first known sample to the last, per second: of a counter that never falls, its mean rate. */
static double change_of(const struct probe_sample *samples, size_t count)
{
    const struct probe_sample *first = NULL, *last = NULL;

    for (size_t i = 0; i < count; i++)
        if (!isnan(samples[i].value)) {
            first = first ? first : &samples[i];
            last = &samples[i];
        }
    return first && last->ns > first->ns ? (last->value - first->value) * 1e9 / (double)(last->ns - first->ns) : NAN;
}

double probe_stat_over(const struct probe_sample *samples, size_t count, enum probe_stat stat, double quantile)
{
    double sum = 0, most = -INFINITY, least = INFINITY, last = NAN;
    size_t known = 0;

    if (stat == PROBE_QUANTILE)
        return quantile_of(samples, count, quantile);
    if (stat == PROBE_CHANGE)
        return change_of(samples, count);
    for (size_t i = 0; i < count; i++) {
        double value = samples[i].value;

        if (isnan(value))
            continue;
        known++;
        sum += value;
        most = fmax(most, value);
        least = fmin(least, value);
        last = value;
    }
    if (stat == PROBE_UP)
        return count ? (double)known / (double)count : NAN;
    if (!known)
        return NAN;
    return stat == PROBE_MAX ? most : stat == PROBE_MIN ? least : stat == PROBE_LAST ? last : sum / (double)known;
}
