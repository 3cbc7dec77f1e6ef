/* How a load went. */
#include "controller/cmd/load.h"

#include "controller/base/json.h"
#include "controller/load/outside.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/err.h"

#include <cjson/cJSON.h>
#include <errno.h>
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
    const struct load_totals *totals;       /* in place of these three; NULL without */
    const char *trouble;
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
        const struct load_record *record = load_record_in_turn(load, i);
        if (record->outcome == LOAD_OK || record->outcome == LOAD_HTTP_STATUS || record->outcome == LOAD_WRONG_REPLY)
            latencies[answered++] = (float)((double)(record->done_ns - record->planned_ns) / 1e9);
    }
    *ret_count = answered;
    return latencies;
}

static int summarise(const struct load *load, struct summary *ret_summary)
{
    struct summary summary = { .most_s = NAN, .mean_s = NAN };
    AUTO_FREE float *latencies = answered_latencies(load, &summary.answered);
    double sum = 0;

    summary.totals = load_outside_totals(load);
    summary.trouble = load_outside_trouble(load);
    load_counters(load, &summary.counters);
    summary.fit = load_is_fit(&summary.counters);
    if (!latencies)
        return -ENOMEM;
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
    return 0;
}

/* A name is a quantile's: "p50", "p99.9". */
static void put_latency(const struct summary *summary, cJSON *latency)
{
    const struct load_totals *totals = summary->totals;
    char name[32];

    json_put_number(latency, "mean", totals ? totals->mean_s : summary->mean_s);
    for (size_t i = 0; !totals && i < QUANTILES; i++)
        json_put_number(latency, quantiles[i].name, summary->at_s[i]);
    for (size_t i = 0; totals && i < totals->quantile_count; i++) {
        snprintf(name, sizeof(name), "p%.6g", totals->quantile[i].share * 100);
        json_put_number(latency, name, totals->quantile[i].at_s);
    }
    json_put_number(latency, "max", totals ? totals->most_s : summary->most_s);
}

static void put_outside(const struct summary *summary, const struct load_spec *spec, cJSON *object)
{
    cJSON *words = cJSON_AddArrayToObject(object, "command");

    for (const char *const *word = spec->run; *word; word++)
        cJSON_AddItemToArray(words, cJSON_CreateString(*word));
    cJSON_AddStringToObject(object, "parse", load_format_name(spec->format));
    json_put_number(object, "unplanned", (double)summary->counters.unplanned);
    json_put_number(object, "unread", (double)summary->counters.unread);
    if (summary->trouble[0])
        cJSON_AddStringToObject(object, "trouble", summary->trouble);
}

static void show_json(const struct summary *summary, const struct load_spec *spec)
{
    const struct load_counters *counters = &summary->counters;
    cJSON *object = cJSON_CreateObject(), *outcomes, *latency;

    if (spec->run)
        put_outside(summary, spec, object);
    else
        cJSON_AddStringToObject(object, "url", spec->url);
    json_put_number(object, "planned", (double)counters->planned);
    json_put_number(object, "sent", (double)counters->sent);
    json_put_number(object, "ok", (double)counters->ok);
    json_put_number(object, "failed", (double)counters->failed);
    outcomes = cJSON_AddObjectToObject(object, "outcomes");
    for (int i = 0; i < LOAD_OUTCOMES; i++)
        if (counters->outcomes[i])
            json_put_number(outcomes, load_outcome_name((enum load_outcome)i), (double)counters->outcomes[i]);
    latency = cJSON_AddObjectToObject(object, "latency_s");
    json_put_number(latency, "answered", (double)(summary->totals ? summary->counters.sent : summary->answered));
    put_latency(summary, latency);
    json_put_number(object, "connects", (double)counters->connects);
    json_put_number(object, "late", (double)counters->late);
    json_put_number(object, "lateness_max_s", (double)counters->lateness_max_ns / 1e9);
    json_put_number(object, "unrecorded", (double)counters->unrecorded);
    cJSON_AddBoolToObject(object, "load_unfit", !summary->fit);
    char *text = json_text(object);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

static void show_row(const char *name, double value_s)
{
    if (!isnan(value_s))
        printf("           %-14s %.3f ms\n", name, value_s * 1e3);
}

static void show_latency(const struct summary *summary)
{
    const struct load_totals *totals = summary->totals;
    char name[32];

    printf("Latency    of %llu answered, from the %s\n", (unsigned long long)(totals ? summary->counters.sent : summary->answered),
           summary->counters.unplanned ? "sending: what a stall kept from being sent is missing" : "planned instant");
    for (size_t i = 0; !totals && i < QUANTILES; i++)
        show_row(quantiles[i].name, summary->at_s[i]);
    for (size_t i = 0; totals && i < totals->quantile_count; i++) {
        snprintf(name, sizeof(name), "p%.6g", totals->quantile[i].share * 100);
        show_row(name, totals->quantile[i].at_s);
    }
    show_row("mean", totals ? totals->mean_s : summary->mean_s);
    show_row("max", totals ? totals->most_s : summary->most_s);
}

static void show_generator(const struct summary *summary, const struct load_spec *spec)
{
    const struct load_counters *counters = &summary->counters;

    if (spec->run && summary->trouble[0])
        printf("Generator  %s: %s\n", summary->fit ? "fit" : "not to be relied on", summary->trouble);
    if (spec->run && counters->unread)
        printf("           %llu lines were not understood\n", (unsigned long long)counters->unread);
    if (!spec->run || counters->late)
        printf("Generator  %s: %llu late by more than 20ms (%.3g %%), at most %.3f ms\n", summary->fit ? "fit" : "load_unfit, it missed its plan",
               (unsigned long long)counters->late, counters->planned ? 100 * (double)counters->late / (double)counters->planned : 0,
               (double)counters->lateness_max_ns / 1e6);
}

static void show_text(const struct summary *summary, const struct load_spec *spec)
{
    const struct load_counters *counters = &summary->counters;

    printf("Load       %s", spec->run ? spec->run[0] : spec->url);
    for (const char *const *word = spec->run; word && word[0] && word[1]; word++)
        printf(" %s", word[1]);
    putchar('\n');
    printf("Requests   %llu planned, %llu sent, %llu ok, %llu failed", (unsigned long long)counters->planned,
           (unsigned long long)counters->sent, (unsigned long long)counters->ok, (unsigned long long)counters->failed);
    if (!spec->run)
        printf(", over %llu connections", (unsigned long long)counters->connects);
    putchar('\n');
    for (int i = 0; i < LOAD_OUTCOMES; i++)
        if (i != LOAD_OK && counters->outcomes[i])
            printf("           %-14s %llu\n", load_outcome_name((enum load_outcome)i), (unsigned long long)counters->outcomes[i]);
    show_latency(summary);
    show_generator(summary, spec);
}

int load_show(const struct load *load, const struct load_spec *spec, bool json)
{
    struct summary summary;

    if (summarise(load, &summary) < 0) {
        fputs("perturb: load: out of memory: what was answered cannot be told\n", stderr);
        return ERR_INTERNAL;
    }
    (json ? show_json : show_text)(&summary, spec);
    if (!summary.fit || !summary.counters.planned)
        return 2;
    return summary.counters.failed ? 1 : 0;
}
