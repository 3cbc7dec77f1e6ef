/* What else a run cost: debt, burn, drain, the worst amplification of a second, and what the control excused (docs/result-document.md). */
#include "controller/run/run_priv.h"

#include "controller/base/json.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <string.h>
#include <sys/param.h>

enum { ALL_PROXIES = 32 }; /* of peak_watch.worst */

/* ---- amplification, second by second --------------------------------------------------------------------------------------------- */

static void note_peak(struct peak_watch *peak, size_t i, double value, uint64_t now_ns)
{
    if (value > peak->worst[i]) {
        peak->worst[i] = value;
        peak->worst_ns[i] = now_ns;
    }
}

void run_watch_peak(struct run *run, uint64_t now_ns)
{
    struct peak_watch *peak = &run->peak;
    struct hop_count count;
    double sum = 0, logical;

    if (!run->playbook->proxies.count || !run->method_ns || run->end_ns > run->method_ns || (peak->last_ns && now_ns < peak->last_ns + NS_PER_S) || run->wire.fd < 0)
        return;
    run_count_hops(run, &count);
    logical = (double)(count.logical - peak->last.logical);
    if (peak->last_ns && count.known && peak->last.known && count.logical > peak->last.logical) {
        for (size_t i = 0; i < MIN(run->playbook->proxies.count, (size_t)ALL_PROXIES); i++) {
            double attempts = (double)(count.attempts[i] - peak->last.attempts[i]);

            note_peak(peak, i, attempts / logical, now_ns);
            sum += attempts;
        }
        note_peak(peak, ALL_PROXIES, sum / logical, now_ns);
        peak->now = sum / logical;
    }
    peak->last = count;
    peak->last_ns = now_ns;
}

static void put_peak(const struct run *run, cJSON *document)
{
    const struct peak_watch *peak = &run->peak;
    cJSON *amplification = cJSON_GetObjectItem(document, "amplification"), *hop;
    size_t i = 0;

    if (!peak->worst_ns[ALL_PROXIES])
        return;
    json_put_number(amplification, "peak", peak->worst[ALL_PROXIES]);
    json_put_number(amplification, "peak_s", run_seconds(run, peak->worst_ns[ALL_PROXIES]));
    cJSON_ArrayForEach(hop, cJSON_GetObjectItem(amplification, "hops")) {
        if (i < ALL_PROXIES && peak->worst_ns[i])
            json_put_number(hop, "peak", peak->worst[i]);
        i++;
    }
}

/* ---- debt and burn ------------------------------------------------------------------------------------------------------------------ */

/* From the first effect to the end of the observation. */
static cJSON *describe_cost(const struct run *run, size_t load)
{
    const struct service_level *slo = &run->playbook->slo;
    const struct workload *workload = run->loads[load].workload;
    struct est_pins pins;
    struct est_instants instants;
    struct effects effects;
    cJSON *object;

    run_judging(run, &pins, &instants);
    const struct effects_window window = {
        .from_s = instants.inject_s,
        .to_s = instants.end_s,
        .slo_s = (double)slo->latency / 1e9,
        .deadline_s = MAX((double)(workload->http.url ? workload->http.timeout : workload->resp.timeout), (double)slo->latency) / 1e9,
        .objective = (double)slo->objective / PPM,
        .period_s = (double)slo->period / 1e9,
    };
    if (!run->loads[load].generator || run_effects_of(run, load, &window, &effects) < 0)
        return NULL;
    object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "load", workload->name);
    json_put_number(object, "requests", (double)effects.requests);
    json_put_number(object, "bad", (double)effects.bad);
    json_put_number(object, "slow", (double)effects.slow);
    json_put_number(object, "latency_debt_s", effects.latency_debt_s);
    json_put_number(object, "debt_per_request_s", effects.debt_per_request_s);
    json_put_number(object, "burn", effects.burn);
    json_put_number(object, "budget_share", effects.budget_share);
    return object;
}

static void put_slo(const struct run *run, cJSON *document)
{
    const struct service_level *slo = &run->playbook->slo;
    cJSON *object, *costs;

    if (slo->latency == ABSENT)
        return;
    object = cJSON_AddObjectToObject(document, "slo");
    json_put_number(object, "latency_s", (double)slo->latency / 1e9);
    json_put_number(object, "objective", (double)slo->objective / PPM);
    json_put_number(object, "period_s", (double)slo->period / 1e9);
    costs = cJSON_AddArrayToObject(object, "costs");
    for (size_t i = 0; i < run->playbook->loads.count; i++) {
        cJSON *cost = describe_cost(run, i);

        if (cost)
            cJSON_AddItemToArray(costs, cost);
    }
}

/* ---- drain -------------------------------------------------------------------------------------------------------------------------- */

static void put_drains(const struct run *run, const struct judgement *judgement, cJSON *document)
{
    cJSON *array = NULL;

    for (size_t i = 0; i < judgement->signal_count; i++) {
        const struct judged_signal *judged = &judgement->signals[i];
        struct est_interval interval;
        cJSON *object;

        if (signal_is_of_load(&judged->signal) || !judged->judged || !run->probes[judged->signal.probe].probe->backlog)
            continue;
        if (!array)
            array = cJSON_AddArrayToObject(document, "backlogs");
        object = cJSON_CreateObject();
        cJSON_AddItemToArray(array, object);
        cJSON_AddStringToObject(object, "signal", judged->signal.name);
        json_put_number(object, "drain_s", effects_drain_s(&judged->result, &judgement->combined, &interval));
        json_put_number(object, "drain_low_s", interval.low);
        json_put_number(object, "drain_high_s", interval.high);
    }
}

/* ---- the control arm ---------------------------------------------------------------------------------------------------------------- */

static void count_bad(const struct run *run, size_t load, uint64_t from_ns, double *ret_planned, double *ret_bad)
{
    const struct load *generator = run->loads[load].generator;
    uint64_t count = generator ? load_records_count(generator) : 0;

    *ret_planned = *ret_bad = 0;
    for (uint64_t i = 0; i < count; i++) {
        const struct load_record *record = load_record_in_turn(generator, i);

        if (record->planned_ns < from_ns || record->planned_ns >= run->end_ns)
            continue;
        *ret_planned += 1;
        *ret_bad += record->outcome != LOAD_OK;
    }
}

static void put_controls(const struct run *run, cJSON *document)
{
    const struct workload *loads = run->playbook->loads.items;
    uint64_t from_ns = run->baseline_end_ns;
    cJSON *array = NULL;

    for (size_t i = 0; i < run->playbook->loads.count && from_ns; i++) {
        const struct signal signal = { .kind = SIGNAL_GOODPUT, .load = i, .unit = UNIT_SHARE, .higher_is_better = true };
        double planned, bad, twin_planned, twin_bad;
        cJSON *object;

        if (loads[i].control == SIZE_MAX)
            continue;
        if (!array)
            array = cJSON_AddArrayToObject(document, "controls");
        object = cJSON_CreateObject();
        cJSON_AddItemToArray(array, object);
        count_bad(run, i, from_ns, &planned, &bad);
        count_bad(run, loads[i].control, from_ns, &twin_planned, &twin_bad);
        cJSON_AddStringToObject(object, "load", loads[i].name);
        cJSON_AddStringToObject(object, "control", loads[loads[i].control].name);
        json_put_number(object, "planned", planned);
        json_put_number(object, "bad", bad);
        json_put_number(object, "control_planned", twin_planned);
        json_put_number(object, "control_bad", twin_bad);
        json_put_number(object, "excused", (double)run_excused(run, &signal, from_ns, run->end_ns));
    }
}

void run_put_effects(const struct run *run, const struct judgement *judgement, cJSON *document)
{
    cJSON *shedding = run_describe_shedding(run), *ramps = run_describe_ramps(run);

    put_peak(run, document);
    put_slo(run, document);
    put_drains(run, judgement, document);
    put_controls(run, document);
    if (shedding)
        cJSON_AddItemToObject(document, "metastability", shedding);
    if (ramps)
        cJSON_AddItemToObject(document, "ramp", ramps);
}
