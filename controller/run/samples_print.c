/* A line of live.jsonl (docs/live-feed.md). */
#include "controller/run/samples.h"

#include "controller/base/json.h"
#include "scenarios/base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

_Static_assert(LOAD_BIN_NS * 10 == NS_PER_S, "t_s counts tenths of a second");

/* Six digits are what a picture shows; what is unknown is null. */
static void put_number(cJSON *object, const char *key, double value)
{
    char text[32];

    snprintf(text, sizeof(text), "%.6g", value);
    if (isfinite(value))
        cJSON_AddRawToObject(object, key, text);
    else
        cJSON_AddNullToObject(object, key);
}

/* In seconds; NaN when nothing ended, or so many failed that the quantile was never answered. */
static double quantile_s(const struct sample_bin *bin, double share)
{
    uint64_t ended = (uint64_t)bin->good + bin->failed;
    double among = ended && bin->good ? share * (double)ended / (double)bin->good : INFINITY;

    return among <= 1 ? (double)histogram_quantile(&bin->latency, among) / 1e9 : NAN;
}

/* ---- loads ---------------------------------------------------------------------------------------------------------------------- */

static void put_load(cJSON *loads, const struct load_run *load, const struct sample_bin *bin)
{
    cJSON *object = cJSON_AddObjectToObject(loads, load->workload->name);

    put_number(object, "planned", MAX(load_planned_in(load->generator, bin->bin), bin->good + bin->failed));
    put_number(object, "good", bin->good);
    put_number(object, "failed", bin->failed);
    put_number(object, "p50_s", quantile_s(bin, 0.5));
    put_number(object, "p95_s", quantile_s(bin, 0.95));
    put_number(object, "p99_s", quantile_s(bin, 0.99));
}

/* Of all loads in one bin; they are told now. NULL when none of them has changed. */
static cJSON *loads_of(const struct run *run, struct samples *samples, uint64_t bin, bool wants_all)
{
    cJSON *loads = NULL;

    for (size_t i = 0; i < run->playbook->loads.count; i++) {
        struct sample_bin *place = run->loads[i].generator ? samples_place(samples->loads[i].planned, SAMPLE_BINS, bin) : NULL;

        if (!place || (!place->is_stale && !wants_all))
            continue;
        loads = loads ? loads : cJSON_CreateObject();
        place->is_stale = false;
        put_load(loads, &run->loads[i], place);
    }
    return loads || !wants_all ? loads : cJSON_CreateObject();
}

static void put_again(const struct run *run, struct samples *samples, uint64_t bin, cJSON *line)
{
    uint64_t from = bin > SAMPLE_BINS - 1 ? MAX(samples->again_from, bin - (SAMPLE_BINS - 1)) : samples->again_from;
    cJSON *array = NULL;

    for (int told = 0; from < bin && told < SAMPLE_AGAIN_MAX; from++) {
        cJSON *loads = loads_of(run, samples, from, from >= samples->next_bin), *again;

        if (!loads)
            continue;
        array = array ? array : cJSON_AddArrayToObject(line, "again");
        again = cJSON_CreateObject();
        cJSON_AddItemToArray(array, again);
        cJSON_AddNumberToObject(again, "t_s", (double)from / 10);
        cJSON_AddItemToObject(again, "loads", loads);
        told++;
    }
    samples->again_from = from;
}

/* ---- signals: as they are now ----------------------------------------------------------------------------------------------------- */

static void put_signal(cJSON *signals, const char *name, double value)
{
    if (!cJSON_GetObjectItemCaseSensitive(signals, name))
        put_number(cJSON_AddObjectToObject(signals, name), "value", value);
}

/* What ended in the last second. */
static void put_load_signals(cJSON *signals, const struct load_run *load, struct sample_load *state, uint64_t bin)
{
    static const char *const names[] = { "p50", "p95", "p99" };
    static const double shares[] = { 0.5, 0.95, 0.99 };
    struct sample_bin sum = { .bin = 0 };
    char name[160];
    double ended;

    for (uint64_t i = bin >= SAMPLE_NOW_BINS ? bin + 1 - SAMPLE_NOW_BINS : 0; i <= bin; i++) {
        const struct sample_bin *place = samples_place(state->ended, SAMPLE_NOW_BINS + 1, i);

        if (!place)
            continue;
        sum.good += place->good;
        sum.failed += place->failed;
        histogram_merge(&sum.latency, &place->latency);
    }
    ended = (double)sum.good + (double)sum.failed;
    snprintf(name, sizeof(name), "%.120s.goodput", load->workload->name);
    put_signal(signals, name, sum.good / ended);
    snprintf(name, sizeof(name), "%.120s.errors", load->workload->name);
    put_signal(signals, name, sum.failed / ended);
    snprintf(name, sizeof(name), "%.120s.rate", load->workload->name);
    put_signal(signals, name, sum.good / ((double)MIN(bin + 1, (uint64_t)SAMPLE_NOW_BINS) * (LOAD_BIN_NS / 1e9)));
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "%.120s.%s", load->workload->name, names[i]);
        put_signal(signals, name, quantile_s(&sum, shares[i]));
    }
}

static void put_probe_signal(const struct run *run, cJSON *signals, const struct signal *signal, uint64_t now_ns)
{
    uint64_t back_ns = NS_PER_S;

    if (!signal->name || signal_is_of_load(signal) || !run->probes[signal->probe].prober)
        return;
    back_ns = MAX(back_ns, (uint64_t)run->probes[signal->probe].probe->every * 3 / 2);
    put_signal(signals, signal->name, run_probe_over(run, signal, now_ns > back_ns ? now_ns - back_ns : 0, now_ns));
}

static void put_signals(const struct run *run, struct samples *samples, uint64_t bin, uint64_t now_ns, cJSON *line)
{
    cJSON *signals = cJSON_AddObjectToObject(line, "signals");
    const struct playbook *playbook = run->playbook;
    const struct bound *bounds = playbook->hypothesis.items;
    const struct guard *guards = playbook->guards.items;

    for (size_t i = 0; i < playbook->loads.count; i++)
        if (run->loads[i].generator)
            put_load_signals(signals, &run->loads[i], &samples->loads[i], bin);
    for (size_t i = 0; i < playbook->hypothesis.count; i++)
        put_probe_signal(run, signals, &bounds[i].signal, now_ns);
    for (size_t i = 0; i < playbook->signal_count; i++)
        put_probe_signal(run, signals, &playbook->signals[i], now_ns);
    for (size_t i = 0; i < playbook->guards.count; i++)
        put_probe_signal(run, signals, &guards[i].signal, now_ns);
}

/* ---- guards and faults -------------------------------------------------------------------------------------------------------------- */

static void put_guards(const struct run *run, cJSON *line)
{
    cJSON *array = cJSON_AddArrayToObject(line, "guards");

    for (size_t i = 0; i < run->playbook->guards.count; i++) {
        const struct guard_run *state = &run->guards[i];
        const struct guard *guard = state->guard;
        double limit = run_signal_bound(&guard->signal, guard->above != ABSENT ? guard->above : guard->below);
        double room = guard->above != ABSENT ? limit - state->last : state->last - limit;
        cJSON *object = cJSON_CreateObject();
        char name[200];

        cJSON_AddItemToArray(array, object);
        snprintf(name, sizeof(name), "%.100s %s %.64s", guard->signal.name, guard->above_text ? "above" : "below",
                 guard->above_text ? guard->above_text : guard->below_text);
        cJSON_AddStringToObject(object, "guard", name);
        put_number(object, "value", state->last);
        put_number(object, "limit", limit);
        put_number(object, "margin", limit > 0 ? room / limit : NAN);
        cJSON_AddBoolToObject(object, "breached", state->tripped_ns != 0);
    }
}

static void put_count(cJSON *object, const char *key, uint64_t count)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, count);
    cJSON_AddStringToObject(object, key, text);
}

static void put_faults(const struct run *run, const struct samples *samples, cJSON *line)
{
    cJSON *array = cJSON_AddArrayToObject(line, "faults");

    for (size_t i = 0; i < run->playbook->method.count; i++) {
        cJSON *object = cJSON_CreateObject();

        cJSON_AddItemToArray(array, object);
        cJSON_AddStringToObject(object, "name", run->steps[i].step->spec.rule.name);
        cJSON_AddBoolToObject(object, "armed", run->steps[i].state == STEP_ACTIVE);
        put_count(object, "matched", samples->counts[i].matched);
        put_count(object, "fired", samples->counts[i].fired);
    }
}

char *samples_line(const struct run *run, struct samples *samples, uint64_t bin, uint64_t now_ns)
{
    cJSON *line = cJSON_CreateObject();
    char *text;

    cJSON_AddNumberToObject(line, "seq", (double)++samples->seq);
    put_count(line, "ns", now_ns);
    put_count(line, "zero_ns", run->zero_ns);
    cJSON_AddNumberToObject(line, "t_s", (double)bin / 10);
    cJSON_AddStringToObject(line, "phase", run->phase ? run->phase : "");
    put_number(line, "bin_s", LOAD_BIN_NS / 1e9);
    put_signals(run, samples, bin, now_ns, line);
    put_again(run, samples, bin, line);
    cJSON_AddItemToObject(line, "loads", loads_of(run, samples, bin, true));
    put_number(line, "amplification", run->peak.now > 0 ? run->peak.now : NAN);
    put_guards(run, line);
    put_faults(run, samples, line);
    text = json_text(line);
    cJSON_Delete(line);
    return text;
}
