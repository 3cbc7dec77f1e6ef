/* What the requests of a series say: its values, by one measure or another; see series.h. */
#include "controller/estimate/series.h"

#include "controller/estimate/stats.h"

#include <errno.h>
#include <math.h>

enum { BYTE_VALUES = 256 };

static double ratio_of(enum est_direction direction, uint64_t good, uint64_t planned)
{
    double share = (double)good / (double)planned;

    if (planned == 0)
        return NAN;
    return direction == EST_HIGHER_BETTER ? share : 1.0 - share;
}

void est_series_ratio_from_counts(struct est_series *series)
{
    for (size_t i = 0; i < series->bins; i++)
        series->value[i] = ratio_of(series->direction, series->good[i], series->planned[i]);
}

/* In which of the bytes' values the `*rank`-th smallest lies; *rank becomes its rank among those of that value. */
static unsigned value_of_rank(const size_t seen[BYTE_VALUES], size_t *rank)
{
    unsigned value = 0;

    while (value < BYTE_VALUES - 1 && *rank >= seen[value])
        *rank -= seen[value++];
    return value;
}

/* The latency of a rank, from 0: counted by the upper byte of its code, then by the lower. Nothing is moved or sorted. */
static uint16_t code_of_rank(const struct est_event *event, size_t count, size_t rank)
{
    size_t upper[BYTE_VALUES] = {0}, lower[BYTE_VALUES] = {0};
    unsigned high;

    for (size_t i = 0; i < count; i++)
        upper[event[i].latency >> 8]++;
    high = value_of_rank(upper, &rank);
    for (size_t i = 0; i < count; i++)
        if (event[i].latency >> 8 == high)
            lower[event[i].latency & (BYTE_VALUES - 1)]++;
    return (uint16_t)(high << 8 | value_of_rank(lower, &rank));
}

static double largest_answered(const struct est_series *series)
{
    int largest = -1;

    for (size_t i = 0; i < series->events; i++)
        if (series->event[i].latency != EST_LATENCY_NEVER && series->event[i].latency > largest)
            largest = series->event[i].latency;
    return largest < 0 ? NAN : est_latency_of((uint16_t)largest);
}

static double quantile_of(const struct est_series *series, size_t from, size_t to, double largest)
{
    size_t count = series->first[to] - series->first[from];
    uint16_t code;

    if (count == 0)
        return NAN;
    code = code_of_rank(series->event + series->first[from], count, stats_quantile_rank(count, series->quantile));
    return code == EST_LATENCY_NEVER ? largest : est_latency_of(code);
}

int est_series_values(const struct est_series *series, size_t together, double *ret_values)
{
    double largest = NAN;

    if (series->event == NULL || together == 0)
        return -EINVAL;
    if (series->kind == EST_QUANTILE)
        largest = largest_answered(series);
    for (size_t from = 0; from < series->bins; from += together) {
        size_t to = from + together < series->bins ? from + together : series->bins;
        uint64_t good = 0, planned = 0;

        for (size_t i = from; i < to; i++) {
            good += series->good[i];
            planned += series->planned[i];
        }
        *ret_values++ = series->kind == EST_QUANTILE ? quantile_of(series, from, to, largest) : ratio_of(series->direction, good, planned);
    }
    return 0;
}

int est_series_measure(struct est_series *series, enum est_measure measure, double quantile)
{
    static const struct {
        enum est_kind kind;
        enum est_direction direction;
    } shape[] = {
        [EST_GOODPUT_RATIO] = {EST_RATIO, EST_HIGHER_BETTER},
        [EST_ERROR_RATIO] = {EST_RATIO, EST_LOWER_BETTER},
        [EST_LATENCY_QUANTILE] = {EST_QUANTILE, EST_LOWER_BETTER},
    };
    bool is_quantile = measure == EST_LATENCY_QUANTILE;

    if (series->event == NULL || measure == EST_GOODPUT_RATE || (is_quantile && !(quantile > 0.0 && quantile < 1.0)))
        return -EINVAL;
    series->kind = shape[measure].kind;
    series->direction = shape[measure].direction;
    series->quantile = is_quantile ? quantile : 0.0;
    return est_series_values(series, 1, series->value);
}
