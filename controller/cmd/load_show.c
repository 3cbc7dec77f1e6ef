/* How a load went. */
#include "controller/cmd/load.h"

#include "scenarios/base/cleanup.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    double share;
} quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 }, { "p99.99", 0.9999 } };

enum { QUANTILES = ARRAY_SIZE(quantiles) };

struct summary {
    struct load_counters counters;
    uint64_t answered;
    double at_s[QUANTILES], most_s, mean_s; /* NaN when nothing was answered */
    bool fit;
};

static int compare(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;

    return (left > right) - (left < right);
}

/* An answer, be it good or not: what came back within the deadline. 4 bytes each, right within 1 part in 16 million. */
static float *answered_latencies(const struct load *load, uint64_t *ret_count)
{
    uint64_t count = load_records_count(load), answered = 0;
    float *latencies = malloc((count + 1) * sizeof(*latencies));

    for (uint64_t i = 0; latencies && i < count; i++) {
        const struct load_record *record = load_record_at(load, i);
        if (record->outcome == LOAD_OK || record->outcome == LOAD_HTTP_STATUS || record->outcome == LOAD_WRONG_REPLY)
            latencies[answered++] = (float)((double)(record->done_ns - record->planned_ns) / 1e9);
    }
    *ret_count = answered;
    return latencies;
}

static void summarise(const struct load *load, struct summary *ret_summary)
{
    struct summary summary = { .most_s = NAN, .mean_s = NAN };
    AUTO_FREE float *latencies = answered_latencies(load, &summary.answered);
    double sum = 0;

    load_counters(load, &summary.counters);
    summary.fit = load_is_fit(&summary.counters);
    if (!latencies)
        summary.answered = 0;
    else
        qsort(latencies, summary.answered, sizeof(*latencies), compare);
    for (uint64_t i = 0; i < summary.answered; i++)
        sum += (double)latencies[i];
    for (size_t i = 0; i < QUANTILES; i++)
        summary.at_s[i] = summary.answered ? (double)latencies[(uint64_t)ceil(quantiles[i].share * (double)summary.answered) - 1] : NAN;
    if (summary.answered) {
        summary.most_s = (double)latencies[summary.answered - 1];
        summary.mean_s = sum / (double)summary.answered;
    }
    *ret_summary = summary;
}

static void put_number(cJSON *object, const char *name, double value)
{
    if (isnan(value))
        cJSON_AddNullToObject(object, name);
    else
        cJSON_AddNumberToObject(object, name, value);
}

static void show_json(const struct summary *summary, const char *url)
{
    const struct load_counters *counters = &summary->counters;
    cJSON *object = cJSON_CreateObject(), *outcomes, *latency;

    cJSON_AddStringToObject(object, "url", url);
    put_number(object, "planned", (double)counters->planned);
    put_number(object, "sent", (double)counters->sent);
    put_number(object, "ok", (double)counters->ok);
    put_number(object, "failed", (double)counters->failed);
    outcomes = cJSON_AddObjectToObject(object, "outcomes");
    for (int i = 0; i < LOAD_OUTCOMES; i++)
        if (counters->outcomes[i])
            put_number(outcomes, load_outcome_name((enum load_outcome)i), (double)counters->outcomes[i]);
    latency = cJSON_AddObjectToObject(object, "latency_s");
    put_number(latency, "answered", (double)summary->answered);
    put_number(latency, "mean", summary->mean_s);
    for (size_t i = 0; i < QUANTILES; i++)
        put_number(latency, quantiles[i].name, summary->at_s[i]);
    put_number(latency, "max", summary->most_s);
    put_number(object, "connects", (double)counters->connects);
    put_number(object, "late", (double)counters->late);
    put_number(object, "lateness_max_s", (double)counters->lateness_max_ns / 1e9);
    put_number(object, "unrecorded", (double)counters->unrecorded);
    cJSON_AddBoolToObject(object, "load_unfit", !summary->fit);
    char *text = cJSON_PrintUnformatted(object);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

static void show_text(const struct summary *summary, const char *url)
{
    const struct load_counters *counters = &summary->counters;

    printf("Load       %s\n", url);
    printf("Requests   %llu planned, %llu sent, %llu ok, %llu failed, over %llu connections\n", (unsigned long long)counters->planned,
           (unsigned long long)counters->sent, (unsigned long long)counters->ok, (unsigned long long)counters->failed,
           (unsigned long long)counters->connects);
    for (int i = 0; i < LOAD_OUTCOMES; i++)
        if (i != LOAD_OK && counters->outcomes[i])
            printf("           %-14s %llu\n", load_outcome_name((enum load_outcome)i), (unsigned long long)counters->outcomes[i]);
    printf("Latency    of %llu answered, from the planned instant\n", (unsigned long long)summary->answered);
    for (size_t i = 0; i < QUANTILES && summary->answered; i++)
        printf("           %-14s %.3f ms\n", quantiles[i].name, summary->at_s[i] * 1e3);
    if (summary->answered)
        printf("           %-14s %.3f ms\n           %-14s %.3f ms\n", "mean", summary->mean_s * 1e3, "max", summary->most_s * 1e3);
    printf("Generator  %s: %llu late by more than 20ms (%.3g %%), at most %.3f ms\n", summary->fit ? "fit" : "load_unfit, it missed its plan",
           (unsigned long long)counters->late, counters->planned ? 100 * (double)counters->late / (double)counters->planned : 0,
           (double)counters->lateness_max_ns / 1e6);
}

int load_show(const struct load *load, const char *url, bool json)
{
    struct summary summary;

    summarise(load, &summary);
    (json ? show_json : show_text)(&summary, url);
    if (!summary.fit || !summary.counters.planned)
        return 2;
    return summary.counters.failed ? 1 : 0;
}
