/* A signal in bins of equal width, and how to make one from a load generator's requests or from anyone's samples.
 *
 * Invariants
 *  1. A bin without data is NaN: unknown, never good, never zero.
 *  2. A request belongs to the bin of its *planned* send instant, whenever it was really sent or answered (wrk2's rule: else the
 *     generator hides exactly the outage that it should measure).
 *  3. A series is a plain value: no clock, no I/O, no globals. All instants are seconds on one clock of the caller's choice. */
#ifndef PERTURB_ESTIMATE_SERIES_H
#define PERTURB_ESTIMATE_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How noise is modelled: RATIO by binomial bounds, QUANTILE by order statistics, RATE and GAUGE by the spread of the baseline. */
enum est_kind { EST_RATE, EST_RATIO, EST_QUANTILE, EST_GAUGE };

enum est_direction { EST_HIGHER_BETTER, EST_LOWER_BETTER };

/* What to make of requests. */
enum est_measure {
    EST_GOODPUT_RATIO,    /* good over planned, 0..1, higher is better */
    EST_ERROR_RATIO,      /* not good over planned, 0..1, lower is better */
    EST_GOODPUT_RATE,     /* good per second, higher is better */
    EST_LATENCY_QUANTILE, /* seconds from the planned instant, lower is better */
};

enum {
    EST_BINS_MAX = 1 << 20,      /* 5.8 h of 20 ms bins */
    EST_TICKS_PER_BIN = 1 << 12, /* resolution of a request's instant inside its bin */
};

struct est_request {
    double planned_s;
    double latency_s; /* from the planned instant; INFINITY or NaN when never answered */
    bool good;        /* answered correctly within its deadline; false when never answered */
};

struct est_build {
    enum est_measure measure;
    double quantile; /* 0 < quantile < 1, for EST_LATENCY_QUANTILE only: 0.5, 0.99 */
    double start_s;  /* requests outside [start_s, end_s) are left out */
    double end_s;
    double bin_s; /* the base bin, > 0 */
    bool silence_is_zero; /* of a rate: a bin without requests is 0, not unknown, as the sender waits for the service and for nothing else */
};

/* One request, kept so that instants can be told finer than a bin: four bytes, in order of planned instant. */
struct est_event {
    uint16_t tick; /* planned instant inside its bin, in bin_s / EST_TICKS_PER_BIN; EST_EVENT_GOOD is added for a good one */
    uint16_t latency; /* est_latency_code */
};

#define EST_EVENT_GOOD 0x8000U
#define EST_LATENCY_NEVER UINT16_MAX

struct est_series {
    enum est_kind kind;
    enum est_direction direction;
    double start_s;
    double bin_s;
    double quantile; /* for EST_QUANTILE, else 0 */
    double quantum;  /* EST_RATE: what one request more makes of a bin, 1 / bin_s; 0 when the signal is not made of requests */
    size_t bins;
    double *value; /* [bins]; NaN is unknown. A quantile that falls on unanswered requests shows the largest latency answered */
    /* [bins], NULL when the counts are not known (then ratios and quantiles are treated as gauges). A rate has no counts. */
    uint32_t *good;
    uint32_t *planned;
    /* NULL unless the series was made from requests as a ratio or a quantile. */
    struct est_event *event;
    size_t events;
    uint32_t *first; /* [bins + 1]: the first event of each bin */
};

/* A latency as 16 bits: to one part in 4,000 from 1 us to 4,095 s (the upper bits of its binary floating point form, as in a histogram
 * of constant relative width, Tene's HdrHistogram); less counts as 1 us, more as never answered. The inverse gives the middle. */
uint16_t est_latency_code(double latency_s);
double est_latency_of(uint16_t code); /* INFINITY for EST_LATENCY_NEVER */

/* Request `index` of a caller's records. Called twice for each index, so it must be pure. */
typedef void est_request_at(const void *context, size_t index, struct est_request *ret_request);

/* Makes a series from `count` requests in any order; `request` is borrowed for the call. Returns 0 and a new series (end it with
 * est_series_free); -EINVAL for a bad window, bin or quantile, -E2BIG for more than EST_BINS_MAX bins or 2^32 requests, -ENOMEM. */
int est_series_from_requests(const struct est_request *request, size_t count, const struct est_build *build,
                             struct est_series **ret_series);

/* The same without an array: four bytes a request are all the memory it takes, besides the bins. */
int est_series_from_records(est_request_at *at, const void *context, size_t count, const struct est_build *build,
                            struct est_series **ret_series);

/* What else the same requests say: the values of a series made from requests, by another measure, in place. 0; -EINVAL for one that
 * holds no requests (EST_GOODPUT_RATE keeps none, and cannot be asked for) or a bad quantile, and then nothing has changed. */
int est_series_measure(struct est_series *series, enum est_measure measure, double quantile);

/* Its values in bins `together` times as wide, the last one as wide as what is left: ceil(bins / together) of them into ret_values.
 * 0; -EINVAL as above or for 0. */
int est_series_values(const struct est_series *series, size_t together, double *ret_values);

/* Makes a series of unknown bins for the caller to fill: `value[]` always, `good[]` and `planned[]` when `with_counts` (then call
 * est_series_ratio_from_counts). For EST_QUANTILE the caller may set `quantile` for the record. Errors as above. */
int est_series_new(enum est_kind kind, enum est_direction direction, double start_s, double bin_s, size_t bins, bool with_counts,
                   struct est_series **ret_series);

/* Sets value[] of a ratio from its counts: good / planned, or 1 - good / planned where lower is better. */
void est_series_ratio_from_counts(struct est_series *series);

/* Makes a series from samples (seconds, value), e.g. rows of a CSV, in any order: a bin holds the mean of its finite samples. A bin
 * without one is NaN, except that a gap no longer than `hold_s` after a sample repeats it (0: never). Errors as above. */
int est_series_from_samples(const double *at_s, const double *value, size_t count, enum est_kind kind,
                            enum est_direction direction, double bin_s, double hold_s, struct est_series **ret_series);

/* NULL is fine. Returns NULL. */
struct est_series *est_series_free(struct est_series *series);

double est_series_end_s(const struct est_series *series);

#endif
