/* From the generator's records to values and series of signals. */
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

double run_seconds(const struct run *run, uint64_t ns)
{
    return ns && run->zero_ns ? ((double)ns - (double)run->zero_ns) / 1e9 : NAN;
}

double run_base_bin_s(const struct run *run)
{
    int64_t pinned = run->playbook->expect.convergence.bin;

    return pinned != ABSENT ? (double)pinned / 1e9 : run->playbook->rigour ? 0.1 : 0.02;
}

double run_signal_bound(const struct signal *signal, int64_t bound)
{
    switch (signal->unit) {
    case UNIT_SHARE:
        return (double)bound / PPM;
    case UNIT_FREQUENCY:
    case UNIT_RATIO:
        return (double)bound / 1000;
    case UNIT_DURATION:
        return (double)bound / 1e9;
    default:
        return (double)bound;
    }
}

char *run_signal_text(const struct signal *signal, double value, char *text, size_t size)
{
    if (isnan(value))
        snprintf(text, size, "no data");
    else if (isinf(value))
        snprintf(text, size, "unanswered");
    else if (signal->unit == UNIT_SHARE)
        snprintf(text, size, "%.4g%%", value * 100);
    else if (signal->unit == UNIT_FREQUENCY)
        snprintf(text, size, "%.4g/s", value);
    else if (signal->unit == UNIT_DURATION && value < 1)
        snprintf(text, size, "%.3gms", value * 1e3);
    else if (signal->unit == UNIT_DURATION)
        snprintf(text, size, "%.3gs", value);
    else if ((signal->unit == UNIT_SIZE || signal->unit == UNIT_RATE) && fabs(value) < 9e18)
        unit_print(signal->unit, (int64_t)value, text, size);
    else
        snprintf(text, size, "%.6g", value);
    return text;
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

struct window {
    uint64_t planned, good;
    double *latency; /* owned; grows */
    size_t latencies, capacity;
};

static void window_add(struct window *window, const struct load_record *record, bool wants_latency)
{
    window->planned++;
    window->good += record->outcome == LOAD_OK;
    if (!wants_latency)
        return;
    if (window->latencies == window->capacity) {
        size_t capacity = window->capacity ? window->capacity * 2 : 1024;
        double *grown = realloc(window->latency, capacity * sizeof(double));

        if (!grown)
            return;
        window->latency = grown;
        window->capacity = capacity;
    }
    window->latency[window->latencies++] = record->outcome == LOAD_OK ? (double)(record->done_ns - record->planned_ns) / 1e9 : INFINITY;
}

static double load_signal_over(const struct run *run, const struct signal *signal, enum window_by by, uint64_t from_ns, uint64_t until_ns)
{
    const struct load *generator = run->loads[signal->load].generator;
    bool wants_latency = signal->kind == SIGNAL_QUANTILE;
    struct window window = { 0 };
    double value = NAN;
    uint64_t disorder_ns;

    if (!generator)
        return NAN;
    disorder_ns = run->loads[signal->load].workload->kind == WORKLOAD_COMMAND ? LOAD_DISORDER_NS : 0;
    /* Records are in order of ending, and none ends before its plan: older than the window is older for good. */
    for (uint64_t i = load_records_count(generator); i-- > 0;) {
        const struct load_record *record = load_record_at(generator, i);
        uint64_t ns = by == WINDOW_BY_PLAN ? record->planned_ns : record->done_ns;

        if (record->done_ns + disorder_ns < from_ns)
            break;
        if (ns >= from_ns && ns < until_ns)
            window_add(&window, record, wants_latency);
    }
    if (window.planned && signal->kind == SIGNAL_GOODPUT)
        value = (double)window.good / (double)window.planned;
    else if (window.planned && signal->kind == SIGNAL_ERRORS)
        value = 1 - (double)window.good / (double)window.planned;
    else if (window.planned && signal->kind == SIGNAL_RATE)
        value = (double)window.good * 1e9 / (double)(until_ns - from_ns);
    else if (window.latencies) {
        qsort(window.latency, window.latencies, sizeof(double), compare_doubles);
        value = window.latency[(size_t)ceil(signal->quantile * (double)window.latencies) - 1];
    }
    free(window.latency);
    return value;
}

double run_signal_over(const struct run *run, const struct signal *signal, enum window_by by, uint64_t from_ns, uint64_t until_ns)
{
    return signal_is_of_load(signal) ? load_signal_over(run, signal, by, from_ns, until_ns) : run_probe_over(run, signal, from_ns, until_ns);
}

double run_signal_bin_s(const struct run *run, const struct signal *signal)
{
    double every_s = signal_is_of_load(signal) ? 0 : (double)run->probes[signal->probe].probe->every / 1e9;

    return fmax(run_base_bin_s(run), every_s);
}

/* The measure of the estimator for each kind of signal. */
static const enum est_measure measures[] = {
    [SIGNAL_GOODPUT] = EST_GOODPUT_RATIO,
    [SIGNAL_ERRORS] = EST_ERROR_RATIO,
    [SIGNAL_RATE] = EST_GOODPUT_RATE,
    [SIGNAL_QUANTILE] = EST_LATENCY_QUANTILE,
};

struct record_source {
    const struct load *generator;
    uint64_t zero_ns;
};

static void request_at(const void *context, size_t index, struct est_request *ret_request)
{
    const struct record_source *source = context;
    const struct load_record *record = load_record_in_turn(source->generator, index);

    *ret_request = (struct est_request){
        .planned_s = ((double)record->planned_ns - (double)source->zero_ns) / 1e9,
        .latency_s = record->outcome == LOAD_OK ? (double)(record->done_ns - record->planned_ns) / 1e9 : INFINITY,
        .good = record->outcome == LOAD_OK,
    };
}

static struct record_source source_of(const struct run *run, size_t load)
{
    return (struct record_source){ .generator = run->loads[load].generator, .zero_ns = run->zero_ns };
}

static int load_series(const struct run *run, const struct signal *signal, const struct est_build *build, struct est_series **ret_series)
{
    const struct record_source source = source_of(run, signal->load);
    uint64_t count = source.generator ? load_records_count(source.generator) : 0;

    return count ? est_series_from_records(request_at, &source, count, build, ret_series) : -ENODATA;
}

const struct workload *run_control_of(const struct run *run, const struct signal *signal)
{
    const struct workload *loads = run->playbook->loads.items;

    return signal_is_of_load(signal) && loads[signal->load].control != SIZE_MAX ? loads + loads[signal->load].control : NULL;
}

static int relative_series(const struct run *run, const struct signal *signal, size_t twin, const struct est_build *build,
                           struct est_series **ret_series, size_t *ret_excused)
{
    const struct record_source source[2] = { source_of(run, signal->load), source_of(run, twin) };
    struct control_arm arm[2];

    for (size_t i = 0; i < 2; i++)
        arm[i] = (struct control_arm){ request_at, &source[i], source[i].generator ? load_records_count(source[i].generator) : 0 };
    return control_series(&arm[0], &arm[1], build, ret_series, ret_excused);
}

static struct est_build build_of(const struct run *run, const struct signal *signal, double bin_s)
{
    const struct load *generator = signal_is_of_load(signal) ? run->loads[signal->load].generator : NULL;
    struct load_counters counters = { 0 };

    if (generator)
        load_counters(generator, &counters);
    return (struct est_build){ .measure = measures[signal->kind], .quantile = signal->quantile, .start_s = 0, .silence_is_zero = counters.unplanned > 0,
                               .end_s = run_seconds(run, run->end_ns), .bin_s = bin_s };
}

int run_series_alone(const struct run *run, const struct signal *signal, double bin_s, struct est_series **ret_series)
{
    struct est_build build;

    if (!signal_is_of_load(signal))
        return run_probe_series(run, signal, bin_s, ret_series);
    build = build_of(run, signal, bin_s);
    return load_series(run, signal, &build, ret_series);
}

int run_series_new(const struct run *run, const struct signal *signal, double bin_s, struct est_series **ret_series)
{
    const struct workload *twin = run_control_of(run, signal), *loads = run->playbook->loads.items;
    struct est_build build;

    if (!twin)
        return run_series_alone(run, signal, bin_s, ret_series);
    build = build_of(run, signal, bin_s);
    return relative_series(run, signal, (size_t)(twin - loads), &build, ret_series, NULL);
}

/* What the series kept was made of, but for the measure. */
static struct kept_series identify(const struct run *run, const struct signal *signal, double bin_s)
{
    bool is_of_requests = signal_is_of_load(signal) && signal->kind != SIGNAL_RATE && !run_control_of(run, signal);
    const struct load *generator = is_of_requests ? run->loads[signal->load].generator : NULL;

    return (struct kept_series){ .generator = generator, .bin_s = bin_s, .end_ns = run->end_ns, .records = generator ? load_records_count(generator) : 0 };
}

int run_series(const struct run *run, const struct signal *signal, double bin_s, const struct est_series **ret_series)
{
    struct kept_series wanted = identify(run, signal, bin_s), *kept = run->kept;
    int result;

    if (wanted.generator && kept->series && kept->generator == wanted.generator && !(kept->bin_s < bin_s) && !(kept->bin_s > bin_s) &&
        kept->end_ns == wanted.end_ns && kept->records == wanted.records) {
        result = est_series_measure(kept->series, measures[signal->kind], signal->quantile);
    } else {
        run_series_done(run);
        result = run_series_new(run, signal, bin_s, &wanted.series);
        *kept = wanted;
    }
    if (result == 0)
        *ret_series = kept->series;
    return result;
}

void run_series_done(const struct run *run)
{
    est_series_free(run->kept->series);
    *run->kept = (struct kept_series){ .series = NULL };
}

size_t run_excused(const struct run *run, const struct signal *signal, uint64_t from_ns, uint64_t until_ns)
{
    const struct workload *twin = run_control_of(run, signal), *loads = run->playbook->loads.items;
    struct est_build build = build_of(run, signal, run_base_bin_s(run));
    struct est_series *series = NULL;
    size_t excused = 0;

    build.start_s = run_seconds(run, from_ns);
    build.end_s = run_seconds(run, until_ns);
    if (twin && relative_series(run, signal, (size_t)(twin - loads), &build, &series, &excused) < 0)
        excused = 0;
    est_series_free(series);
    return excused;
}

/* For what was waited: until the answer, good or not, or until it was given up. */
static void wait_at(const void *context, size_t index, struct est_request *ret_request)
{
    const struct record_source *source = context;
    const struct load_record *record = load_record_at(source->generator, index);

    request_at(context, index, ret_request);
    ret_request->latency_s = (double)(record->done_ns - record->planned_ns) / 1e9;
}

int run_effects_of(const struct run *run, size_t load, const struct effects_window *window, struct effects *ret_effects)
{
    const struct record_source source = source_of(run, load);

    return effects_of_requests(wait_at, &source, source.generator ? load_records_count(source.generator) : 0, window, ret_effects);
}
