/* What the analysis of 10 million requests takes: time and memory on top of the records. Ends with 1 above 2 s (of this process's own
 * processor time) or 64 MiB. The requests are a function of their index, so nothing else takes memory. */
#include "controller/estimate/estimate.h"
#include "scenarios/base/rng.h"

#include <math.h>
#include <stdio.h>
#include <sys/resource.h>

enum { REQUESTS = 10000000, RATE = 10000 };

#define SECONDS_MAX 2.0
#define MEBIBYTES_MAX 64.0

/* 1,000 s: an outage from 600 to 630 s, 0.1 % errors otherwise. */
static void request_at(const void *context, size_t index, struct est_request *ret_request)
{
    double planned_s = (double)index / RATE, draw = rng_unit(rng_draw(7, 7, 0, index));
    bool out = planned_s >= 600.0 && planned_s < 630.0, good = !out && draw > 0.001;

    (void)context;
    *ret_request = (struct est_request){.planned_s = planned_s, .latency_s = good ? 0.001 + 0.01 * draw : INFINITY, .good = good};
}

static double used_s(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) + 1e-6 * (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static bool measure(const char *name, enum est_measure measure, double quantile, double band)
{
    const struct est_build build = {.measure = measure, .quantile = quantile, .end_s = (double)REQUESTS / RATE, .bin_s = 0.02};
    const struct est_pins pins = {.band = band, .hold_s = 20.0, .rigour = EST_FULL, .seed = 1};
    const struct est_instants instants = {.baseline_end_s = NAN, .inject_s = 600.0, .release_s = 620.0, .end_s = build.end_s};
    struct est_series *series = NULL;
    struct est_result result = {.reason = ""};
    struct rusage before, after;
    double seconds, mebibytes;
    bool told;

    getrusage(RUSAGE_SELF, &before);
    if (est_series_from_records(request_at, NULL, REQUESTS, &build, &series) != 0 || est_judge(series, &pins, &instants, NULL, &result) != 0)
        return false;
    est_series_free(series);
    getrusage(RUSAGE_SELF, &after);
    seconds = used_s(&after) - used_s(&before);
    mebibytes = (double)after.ru_maxrss / 1024.0;
    told = fabs(result.converged_s - 630.0) < 0.1;
    printf("%s of %d requests: %.2f s, %.1f MiB at most, %s at %.3f s\n", name, REQUESTS, seconds, mebibytes, est_verdict_name(result.verdict),
           result.converged_s);
    return told && seconds <= SECONDS_MAX && mebibytes <= MEBIBYTES_MAX;
}

int main(void)
{
    bool goodput = measure("goodput", EST_GOODPUT_RATIO, 0.0, 0.05), p99 = measure("p99", EST_LATENCY_QUANTILE, 0.99, 0.2);

    return goodput && p99 ? 0 : 1;
}
