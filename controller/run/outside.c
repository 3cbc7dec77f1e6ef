/* Loads of other generators: what they do not tell is not claimed.
 *
 * 1. Without planned instants (a closed loop, or a generator that prints only what it sent) a stall hides the requests that it kept
 *    from being sent: shares and latencies look better than the service was. Seen harm stands; a return, or that nothing happened,
 *    is not claimed. The rate of good replies needs no plan.
 * 2. A generator that broke off, was not understood or told fewer requests than the rate it was to plan is no measuring stick. */
#include "controller/run/run_priv.h"

#include <math.h>
#include <sys/param.h>

/* Of its plan, so much may be missing: as much as may be late. */
#define MISSING_SHARE 0.01

static struct load_counters counters_of(const struct load_run *load)
{
    struct load_counters counters = { 0 };

    if (load->generator)
        load_counters(load->generator, &counters);
    return counters;
}

/* From the first planned instant to the last, so that neither its start nor what it had under way at its end counts. */
static double told_share_of_plan(const struct load_run *load)
{
    uint64_t count = load_records_count(load->generator), first_ns = UINT64_MAX, last_ns = 0;

    for (uint64_t i = 0; i < count; i++) {
        const struct load_record *record = load_record_in_turn(load->generator, i);

        first_ns = MIN(first_ns, record->planned_ns);
        last_ns = MAX(last_ns, record->planned_ns);
    }
    if (load->workload->rate == ABSENT || count < 2)
        return NAN;
    return (double)(count - 1) / ((double)(last_ns - first_ns) / 1e9 * (double)load->workload->rate / 1000);
}

bool run_load_is_fit(const struct load_run *load, char *why, size_t size)
{
    const struct load_counters counters = counters_of(load);
    const char *name = load->workload->name, *trouble = load_outside_trouble(load->generator);
    double told;

    if (!load_is_fit(&counters)) {
        if (trouble[0])
            snprintf(why, size, "the generator of the load '%.60s' cannot be relied on: %s", name, trouble);
        else
            snprintf(why, size, "the load generator itself was late: this machine is too busy for the planned rate");
        return false;
    }
    if (load->workload->kind != WORKLOAD_COMMAND || !workload_has_series(load->workload) || counters.unplanned)
        return true;
    told = told_share_of_plan(load);
    if (!(told < 1 - MISSING_SHARE))
        return true;
    snprintf(why, size, "the generator of the load '%.60s' told %.3g %% of the requests that its rate plans: the missing ones are not known", name,
             told * 100);
    return false;
}

double run_deadline_s(const struct load_run *load)
{
    uint64_t count = load->workload->timeout || !load->generator ? 0 : load_records_count(load->generator);
    double longest_s = (double)load->workload->timeout / 1e9;

    for (uint64_t i = 0; i < count; i++) {
        const struct load_record *record = load_record_in_turn(load->generator, i);

        longest_s = fmax(longest_s, (double)(record->done_ns - record->planned_ns) / 1e9);
    }
    return longest_s;
}

bool run_tells_no_plan(const struct run *run, const struct signal *signal)
{
    return signal_is_of_load(signal) && signal->kind != SIGNAL_RATE && counters_of(&run->loads[signal->load]).unplanned > 0;
}

void run_withhold(const struct run *run, const struct signal *signal, struct est_result *result)
{
    const struct est_interval none = { NAN, NAN };

    if (!run_tells_no_plan(run, signal) || (est_verdict_status(result->verdict) != 0 && result->verdict != EST_CONVERGED_TO_NEW_LEVEL))
        return;
    result->verdict = EST_INDETERMINATE;
    result->reason = "the load tells no planned instants: requests that a stall kept from being sent are missing, so a return cannot be vouched for";
    result->first_return_s = result->converged_s = result->validated_s = NAN;
    result->convergence_from_release_s = result->convergence_from_inject_s = NAN;
    result->loss_to_hold_s = result->loss_to_end_s = result->resolvable_band = NAN;
    result->converged_interval = result->from_release_interval = result->from_inject_interval = none;
    result->loss_to_hold_interval = result->loss_to_end_interval = none;
}

/* ---- the result document ------------------------------------------------------------------------------------------------------- */

static void put_words(const struct text_list *words, cJSON *object)
{
    struct buf text;

    buf_init(&text, 4096);
    for (size_t i = 0; i < words->count; i++)
        (void)buf_printf(&text, "%s%s", i ? " " : "", words->items[i]);
    cJSON_AddStringToObject(object, "url", text.data);
    buf_done(&text);
}

static void put_seconds(cJSON *object, const char *key, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
}

static void put_totals(const struct load_totals *totals, cJSON *object)
{
    cJSON *latency = cJSON_AddObjectToObject(object, "totals");

    put_seconds(latency, "length_s", totals->length_s);
    put_seconds(latency, "mean_s", totals->mean_s);
    put_seconds(latency, "max_s", totals->most_s);
    for (size_t i = 0; i < totals->quantile_count; i++) {
        char name[32];

        snprintf(name, sizeof(name), "p%.6g_s", totals->quantile[i].share * 100);
        put_seconds(latency, name, totals->quantile[i].at_s);
    }
}

void run_put_outside(const struct load_run *load, cJSON *object)
{
    static const char *const formats[] = { "json", "wrk", "k6" };
    const struct load_counters counters = counters_of(load);

    if (load->workload->kind != WORKLOAD_COMMAND)
        return;
    put_words(&load->workload->command.run, object);
    cJSON_AddStringToObject(object, "format", formats[load->workload->command.format]);
    if (!load->generator)
        return;
    cJSON_AddNumberToObject(object, "unplanned", (double)counters.unplanned);
    cJSON_AddNumberToObject(object, "unread", (double)counters.unread);
    if (load_outside_trouble(load->generator)[0])
        cJSON_AddStringToObject(object, "trouble", load_outside_trouble(load->generator));
    if (load_outside_totals(load->generator))
        put_totals(load_outside_totals(load->generator), object);
}
