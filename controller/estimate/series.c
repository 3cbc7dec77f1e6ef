/* Series and their builders; see series.h. Memory: 20 bytes a bin, 4 bytes a request. */
#include "controller/estimate/series.h"

#include "controller/estimate/stats.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LATENCY_LEAST_S 0x1p-20 /* about 1 us */
#define LATENCY_MOST_S 4095.0   /* 32 octaves of 2^11 codes */
#define LATENCY_SHIFT 12        /* bits of a float that are left out: 11 stay */

struct est_series *est_series_free(struct est_series *series)
{
    if (series == NULL)
        return NULL;
    free(series->value);
    free(series->good);
    free(series->planned);
    free(series->event);
    free(series->first);
    free(series);
    return NULL;
}

double est_series_end_s(const struct est_series *series)
{
    return series->start_s + series->bin_s * (double)series->bins;
}

int est_series_new(enum est_kind kind, enum est_direction direction, double start_s, double bin_s, size_t bins, bool with_counts,
                   struct est_series **ret_series)
{
    struct est_series *series;

    if (!isfinite(start_s) || !(bin_s > 0.0) || !isfinite(bin_s) || bins == 0)
        return -EINVAL;
    if (bins > EST_BINS_MAX)
        return -E2BIG;
    series = calloc(1, sizeof(*series));
    if (series == NULL)
        return -ENOMEM;
    *series = (struct est_series){.kind = kind, .direction = direction, .start_s = start_s, .bin_s = bin_s, .bins = bins};
    series->value = malloc(bins * sizeof(*series->value));
    if (with_counts) {
        series->good = calloc(bins, sizeof(*series->good));
        series->planned = calloc(bins, sizeof(*series->planned));
    }
    if (series->value == NULL || (with_counts && (series->good == NULL || series->planned == NULL))) {
        est_series_free(series);
        return -ENOMEM;
    }
    for (size_t i = 0; i < bins; i++)
        series->value[i] = NAN;
    *ret_series = series;
    return 0;
}

/* Whole bins that cover [start_s, end_s); 0 when the window is unusable. A last partial bin of less than 1e-6 is rounding. */
static size_t bins_covering(double start_s, double end_s, double bin_s)
{
    double bins = ceil((end_s - start_s) / bin_s - 1e-6);

    if (!(bins >= 1.0))
        return 0;
    return bins > (double)EST_BINS_MAX ? (size_t)EST_BINS_MAX + 1 : (size_t)bins;
}

static bool request_inside(const struct est_request *request, const struct est_build *build)
{
    return request->planned_s >= build->start_s && request->planned_s < build->end_s;
}

uint16_t est_latency_code(double latency_s)
{
    float value = (float)fmax(latency_s, LATENCY_LEAST_S);
    uint32_t bits, least;

    if (!(latency_s < LATENCY_MOST_S)) /* also NaN */
        return EST_LATENCY_NEVER;
    memcpy(&bits, &value, sizeof(bits));
    value = (float)LATENCY_LEAST_S;
    memcpy(&least, &value, sizeof(least));
    bits = (bits - least) >> LATENCY_SHIFT;
    return bits < EST_LATENCY_NEVER ? (uint16_t)bits : (uint16_t)(EST_LATENCY_NEVER - 1);
}

double est_latency_of(uint16_t code)
{
    float value = (float)LATENCY_LEAST_S;
    uint32_t bits;

    if (code == EST_LATENCY_NEVER)
        return INFINITY;
    memcpy(&bits, &value, sizeof(bits));
    bits += ((uint32_t)code << LATENCY_SHIFT) + (1U << (LATENCY_SHIFT - 1));
    memcpy(&value, &bits, sizeof(value));
    return (double)value;
}

/* Ticks since the start of the series, of an instant that is not before it. */
static uint32_t tick_of(const struct est_series *series, double at_s)
{
    double tick = (at_s - series->start_s) / series->bin_s * EST_TICKS_PER_BIN;
    uint32_t last = (uint32_t)(series->bins * EST_TICKS_PER_BIN - 1);

    return tick < (double)last ? (uint32_t)tick : last;
}

static bool tick_is_later(const struct est_event *a, const struct est_event *b)
{
    return (a->tick & (EST_TICKS_PER_BIN - 1)) > (b->tick & (EST_TICKS_PER_BIN - 1));
}

/* Orders the events of each bin by tick. Requests come nearly in order, so insertion sort meets few inversions; the stable
 * counting sort by bin before it bounds the work to one bin. */
static void order_inside_bin(struct est_event *event, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct est_event moving = event[i];
        size_t at = i;

        for (; at > 0 && tick_is_later(&event[at - 1], &moving); at--)
            event[at] = event[at - 1];
        event[at] = moving;
    }
}

struct records {
    est_request_at *at;
    const void *context;
    size_t count;
    const struct est_build *build;
};

/* Counting sort by bin. `series->planned` already holds the number of events of each bin. */
static int fill_events(struct est_series *series, const struct records *records)
{
    AUTO_FREE uint32_t *next = malloc(series->bins * sizeof(*next));

    series->event = malloc((series->events > 0 ? series->events : 1) * sizeof(*series->event));
    series->first = malloc((series->bins + 1) * sizeof(*series->first));
    if (next == NULL || series->event == NULL || series->first == NULL)
        return -ENOMEM;
    series->first[0] = 0;
    for (size_t i = 0; i < series->bins; i++) {
        next[i] = series->first[i];
        series->first[i + 1] = series->first[i] + series->planned[i];
    }
    for (size_t i = 0; i < records->count; i++) {
        struct est_request request;
        uint32_t tick;

        records->at(records->context, i, &request);
        if (!request_inside(&request, records->build))
            continue;
        tick = tick_of(series, request.planned_s);
        series->event[next[tick / EST_TICKS_PER_BIN]++] = (struct est_event){
            .tick = (uint16_t)(tick % EST_TICKS_PER_BIN | (request.good ? EST_EVENT_GOOD : 0U)),
            .latency = est_latency_code(request.latency_s),
        };
    }
    for (size_t i = 0; i < series->bins; i++)
        order_inside_bin(series->event + series->first[i], series->planned[i]);
    return 0;
}

/* A bin in which nothing was planned is unknown, not 0, unless told otherwise: the generator was silent, which says nothing of the service. */
static void fill_rates(struct est_series *series, bool silence_is_zero)
{
    series->quantum = 1.0 / series->bin_s;
    for (size_t i = 0; i < series->bins; i++)
        series->value[i] = series->planned[i] == 0 && !silence_is_zero ? NAN : (double)series->good[i] / series->bin_s;
    free(series->good);
    free(series->planned);
    series->good = series->planned = NULL;
}

static int fill_from_records(struct est_series *series, const struct records *records)
{
    int rc;

    for (size_t i = 0; i < records->count; i++) {
        struct est_request request;
        size_t bin;

        records->at(records->context, i, &request);
        if (!request_inside(&request, records->build))
            continue;
        bin = tick_of(series, request.planned_s) / EST_TICKS_PER_BIN;
        series->planned[bin]++;
        series->good[bin] += request.good;
        series->events++;
    }
    if (records->build->measure == EST_GOODPUT_RATE) {
        series->events = 0;
        fill_rates(series, records->build->silence_is_zero);
        return 0;
    }
    rc = fill_events(series, records);
    return rc < 0 ? rc : est_series_measure(series, records->build->measure, records->build->quantile);
}

int est_series_from_records(est_request_at *at, const void *context, size_t count, const struct est_build *build,
                            struct est_series **ret_series)
{
    const struct records records = {.at = at, .context = context, .count = count, .build = build};
    struct est_series *series;
    size_t bins = bins_covering(build->start_s, build->end_s, build->bin_s);
    int rc;

    if (bins == 0 || (build->measure == EST_LATENCY_QUANTILE && !(build->quantile > 0.0 && build->quantile < 1.0)))
        return -EINVAL;
    if (count > UINT32_MAX)
        return -E2BIG;
    rc = est_series_new(EST_RATE, EST_HIGHER_BETTER, build->start_s, build->bin_s, bins, true, &series);
    if (rc < 0)
        return rc;
    rc = fill_from_records(series, &records);
    if (rc < 0) {
        est_series_free(series);
        return rc;
    }
    *ret_series = series;
    return 0;
}

static void request_of_array(const void *context, size_t index, struct est_request *ret_request)
{
    const struct est_request *request = context;

    *ret_request = request[index];
}

int est_series_from_requests(const struct est_request *request, size_t count, const struct est_build *build,
                             struct est_series **ret_series)
{
    return est_series_from_records(request_of_array, request, count, build, ret_series);
}

/* Repeats the last known value over gaps of at most `bins` unknown bins; longer gaps stay unknown throughout. */
static void bridge_gaps(double *value, size_t count, size_t bins)
{
    for (size_t i = 1; i < count; i++) {
        size_t end = i;

        if (!isnan(value[i]) || isnan(value[i - 1]))
            continue;
        while (end < count && isnan(value[end]))
            end++;
        for (size_t j = i; j < end && end - i <= bins; j++)
            value[j] = value[i - 1];
        i = end;
    }
}

int est_series_from_samples(const double *at_s, const double *value, size_t count, enum est_kind kind,
                            enum est_direction direction, double bin_s, double hold_s, struct est_series **ret_series)
{
    AUTO_FREE uint32_t *seen = NULL;
    struct est_series *series;
    double start_s = INFINITY, last_s = -INFINITY;
    int rc;

    for (size_t i = 0; i < count; i++) {
        if (!isfinite(at_s[i]))
            return -EINVAL;
        start_s = fmin(start_s, at_s[i]);
        last_s = fmax(last_s, at_s[i]);
    }
    if (count == 0 || count > UINT32_MAX || !(bin_s > 0.0))
        return -EINVAL;
    /* a sample at the very end still needs its bin */
    rc = est_series_new(kind, direction, start_s, bin_s, bins_covering(start_s, last_s + 0.5 * bin_s, bin_s), false, &series);
    if (rc < 0)
        return rc;
    seen = calloc(series->bins, sizeof(*seen));
    if (seen == NULL) {
        est_series_free(series);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        size_t bin = tick_of(series, at_s[i]) / EST_TICKS_PER_BIN;

        if (!isfinite(value[i]))
            continue;
        series->value[bin] = seen[bin] == 0 ? value[i] : series->value[bin] + (value[i] - series->value[bin]) / (seen[bin] + 1.0);
        seen[bin]++;
    }
    if (hold_s > 0.0)
        bridge_gaps(series->value, series->bins, (size_t)fmin(hold_s / bin_s + 1e-6, (double)EST_BINS_MAX));
    *ret_series = series;
    return 0;
}
