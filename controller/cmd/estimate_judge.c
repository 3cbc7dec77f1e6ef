/* From columns of samples to a judgement; see estimate.h. Inside, times count from the first stamp: a double of seconds since 1970 keeps
 * only a quarter of a microsecond. */
#include "controller/cmd/estimate.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define HOLD_LEAST_S 5.0
#define HOLD_BINS 20.0

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* The median distance of neighbouring stamps; NaN when there are fewer than two. */
static double usual_step(const struct sample_column *column, struct errs *errs)
{
    AUTO_FREE double *at_s = malloc((column->count + 1) * sizeof(double));
    size_t steps = 0;

    if (!at_s)
        errs_add(errs, ERR_INTERNAL, column->name, "out of memory");
    if (!at_s || column->count < 2)
        return NAN;
    memcpy(at_s, column->at_s, column->count * sizeof(double));
    qsort(at_s, column->count, sizeof(double), compare);
    for (size_t i = 1; i < column->count; i++)
        if (at_s[i] > at_s[i - 1])
            at_s[steps++] = at_s[i] - at_s[i - 1];
    if (!steps)
        return NAN;
    qsort(at_s, steps, sizeof(double), compare);
    return round(at_s[steps / 2] * 1e9) / 1e9; /* to the ns: decimal stamps leave a trail of digits */
}

static const struct sample_column *find_column(const struct samples *samples, const char *name, size_t length)
{
    for (size_t i = 0; i < samples->columns; i++)
        if (strlen(samples->column[i].name) == length && !memcmp(samples->column[i].name, name, length))
            return &samples->column[i];
    return NULL;
}

static int refuse_name(const struct samples *samples, const char *name, struct errs *errs)
{
    const char *names[SAMPLES_COLUMNS_MAX];
    int nearest;

    for (size_t i = 0; i < samples->columns; i++)
        names[i] = samples->column[i].name;
    nearest = err_nearest(name, names, samples->columns);
    return errs_add(errs, ERR_USAGE, "--signal", "there is no column '%.100s'%s%.100s%s", name, nearest >= 0 ? "; did you mean '" : "; the first is '",
                    names[nearest >= 0 ? nearest : 0], "'?");
}

struct source {
    const struct sample_column *value; /* or the counted part */
    const struct sample_column *all;   /* counts; else NULL */
};

static int find_source(const struct samples *samples, const struct estimate_signal *signal, struct source *ret_source, struct errs *errs)
{
    const char *slash;

    *ret_source = (struct source){ .value = find_column(samples, signal->name, strlen(signal->name)) };
    for (slash = strchr(signal->name, '/'); !ret_source->value && slash; slash = strchr(slash + 1, '/')) {
        const struct sample_column *part = find_column(samples, signal->name, (size_t)(slash - signal->name));

        ret_source->all = find_column(samples, slash + 1, strlen(slash + 1));
        if (part && ret_source->all)
            ret_source->value = part;
    }
    return ret_source->value ? 0 : refuse_name(samples, signal->name, errs);
}

/* Bins have the first stamp at the middle of the first one, so that a scrape a little early or late stays in its bin. */
static double start_of(const struct sample_column *column, double bin_s)
{
    double first_s = INFINITY;

    for (size_t i = 0; i < column->count; i++)
        first_s = fmin(first_s, column->at_s[i]);
    return first_s - 0.5 * bin_s;
}

static int values_series(const struct sample_column *column, const struct estimate_options *options, const struct estimate_signal *signal,
                         double zero_s, struct est_series **ret_series)
{
    AUTO_FREE double *at_s = malloc((column->count + 1) * sizeof(double)), *value = malloc((column->count + 1) * sizeof(double));

    if (!at_s || !value)
        return -ENOMEM;
    for (size_t i = 0; i < column->count; i++) {
        at_s[i] = column->at_s[i] - zero_s;
        value[i] = column->value[i];
    }
    at_s[column->count] = start_of(column, signal->bin_s) - zero_s; /* an unknown sample that only says where bins begin */
    value[column->count] = NAN;
    return est_series_from_samples(at_s, value, column->count + 1, signal->share ? EST_RATIO : EST_GAUGE, signal->direction, signal->bin_s,
                                   options->fill_s, ret_series);
}

/* Adds the counts of a column to its bins. Both columns of a pair are added, so a bin lacks either or none. */
static int add_counts(const struct sample_column *column, const struct est_series *series, double zero_s, double *sum, struct errs *errs)
{
    for (size_t i = 0; i < column->count; i++) {
        double bin = floor((column->at_s[i] - zero_s - series->start_s) / series->bin_s);

        if (isnan(column->value[i]) || bin < 0 || bin >= (double)series->bins)
            continue;
        if (column->value[i] < 0 || column->value[i] != floor(column->value[i]) || sum[(size_t)bin] + column->value[i] > UINT32_MAX)
            return errs_add(errs, ERR_INPUT, column->name, "%g at %.3f s is no count of a sample", column->value[i], column->at_s[i]);
        sum[(size_t)bin] += column->value[i];
    }
    return 0;
}

static int fill_counts(const struct source *source, double zero_s, struct est_series *series, struct errs *errs)
{
    AUTO_FREE double *part = calloc(series->bins, sizeof(double)), *all = calloc(series->bins, sizeof(double));
    int result;

    if (!part || !all)
        return -ENOMEM;
    result = add_counts(source->value, series, zero_s, part, errs);
    if (result == 0)
        result = add_counts(source->all, series, zero_s, all, errs);
    for (size_t i = 0; i < series->bins && result == 0; i++) {
        if (part[i] > all[i])
            return errs_add(errs, ERR_INPUT, source->value->name, "counts %g of only %g near %.3f s", part[i], all[i],
                            series->start_s + zero_s + series->bin_s * (double)i);
        series->planned[i] = (uint32_t)all[i];
        series->good[i] = (uint32_t)(series->direction == EST_HIGHER_BETTER ? part[i] : all[i] - part[i]);
    }
    if (result == 0)
        est_series_ratio_from_counts(series);
    return result;
}

static int counts_series(const struct source *source, const struct estimate_signal *signal, double zero_s, struct est_series **ret_series,
                         struct errs *errs)
{
    double start_s = start_of(source->all, signal->bin_s), last_s = -INFINITY;
    struct est_series *series;
    int result;

    for (size_t i = 0; i < source->all->count; i++)
        last_s = fmax(last_s, source->all->at_s[i]);
    if (!((last_s - start_s) / signal->bin_s < EST_BINS_MAX))
        return -E2BIG;
    result = est_series_new(EST_RATIO, signal->direction, start_s - zero_s, signal->bin_s, (size_t)floor((last_s - start_s) / signal->bin_s) + 1,
                            true, &series);
    if (result < 0)
        return result;
    result = fill_counts(source, zero_s, series, errs);
    if (result < 0)
        est_series_free(series);
    else
        *ret_series = series;
    return result;
}

static void add_time(double by_s, double *time_s)
{
    *time_s += by_s;
}

static void restore_zero(struct est_result *result, double zero_s)
{
    add_time(zero_s, &result->deviated_s);
    add_time(zero_s, &result->first_return_s);
    add_time(zero_s, &result->converged_s);
    add_time(zero_s, &result->validated_s);
    add_time(zero_s, &result->converged_interval.low);
    add_time(zero_s, &result->converged_interval.high);
    add_time(zero_s, &result->baseline.start_s);
    add_time(zero_s, &result->baseline.end_s);
}

static int judge_series(const struct estimate_options *options, const struct est_pins *pins, const struct est_series *series, double zero_s,
                        struct estimate_signal *signal, struct errs *errs)
{
    struct est_instants instants = {
        .baseline_start_s = fmax(isnan(options->baseline_s) ? -INFINITY : options->baseline_s - zero_s, series->start_s),
        .baseline_end_s = NAN,
        .inject_s = options->inject_s - zero_s,
        .release_s = options->release_s - zero_s,
        .end_s = fmin(isnan(options->end_s) ? INFINITY : options->end_s - zero_s, est_series_end_s(series)),
    };
    int result = est_judge(series, pins, &instants, NULL, &signal->result);

    if (result == -EINVAL)
        return errs_add(errs, ERR_USAGE, signal->name, "the instants do not lie in this order within the data: baseline, --inject %.3f s, --release, "
                        "end; it has %.3f s to %.3f s", options->inject_s, instants.baseline_start_s + zero_s, est_series_end_s(series) + zero_s);
    restore_zero(&signal->result, zero_s);
    return result;
}

static int judge_signal(const struct estimate_options *options, const struct samples *samples, double zero_s, double hold_s,
                        struct estimate_signal *signal, struct errs *errs)
{
    struct est_pins pins = options->pins;
    struct est_series *series = NULL;
    struct source source;
    int result = find_source(samples, signal, &source, errs);

    if (result < 0)
        return result;
    if (!source.value->count || (source.all && !source.all->count))
        return errs_add(errs, ERR_INPUT, signal->name, "holds no samples");
    pins.hold_s = hold_s;
    result = source.all ? counts_series(&source, signal, zero_s, &series, errs) : values_series(source.value, options, signal, zero_s, &series);
    if (result == 0)
        result = judge_series(options, &pins, series, zero_s, signal, errs);
    est_series_free(series);
    if (result == -E2BIG)
        return errs_add(errs, ERR_INPUT, signal->name, "needs more than %d bins of %g s; name a wider --bin", EST_BINS_MAX, signal->bin_s);
    if (result < 0 && !errs->count)
        return errs_add(errs, ERR_INTERNAL, signal->name, "%s", strerror(-result));
    return result;
}

/* Names every column, and finds each signal's bin. */
static int complete(struct estimate_options *options, const struct samples *samples, struct errs *errs)
{
    options->unnamed = !options->signals;
    for (size_t i = 0; !options->signals && i < MIN(samples->columns, (size_t)ESTIMATE_SIGNALS_MAX); i++) {
        memcpy(options->signal[i].name, samples->column[i].name, strlen(samples->column[i].name) + 1);
        options->signal[i].direction = EST_HIGHER_BETTER;
        if (i + 1 == MIN(samples->columns, (size_t)ESTIMATE_SIGNALS_MAX))
            options->signals = i + 1;
    }
    for (size_t i = 0; i < options->signals; i++) {
        struct source source;

        if (find_source(samples, &options->signal[i], &source, errs) < 0)
            continue;
        options->signal[i].bin_s = options->bin_s > 0 ? options->bin_s : usual_step(source.value, errs);
        if (!(options->signal[i].bin_s > 0) && errs_status(errs) != ERR_INTERNAL)
            errs_add(errs, ERR_INPUT, options->signal[i].name, "has fewer than two stamps: nothing can be judged");
    }
    return errs->count ? -EINVAL : 0;
}

/* DESIGN section 7: a pass is held against its bound; an interval that holds the bound settles nothing. */
static void weigh_bound(const struct estimate_options *options, struct estimate_answer *answer)
{
    bool never = isnan(options->release_s);
    double time_s = never ? answer->combined.convergence_from_inject_s : answer->combined.convergence_from_release_s;
    struct est_interval interval = never ? answer->combined.from_inject_interval : answer->combined.from_release_interval;

    if (isnan(options->max_s))
        return;
    if (answer->combined.verdict == EST_ABSORBED || interval.high <= options->max_s)
        answer->bound = "met";
    else if (isnan(time_s))
        answer->bound = "no_data";
    else
        answer->bound = interval.low > options->max_s ? "broken" : "straddles";
    if (answer->status == 0 && strcmp(answer->bound, "met") != 0)
        answer->status = strcmp(answer->bound, "broken") == 0 ? 1 : 2;
}

int estimate_judge(struct estimate_options *options, const struct samples *samples, struct estimate_answer *ret_answer, struct errs *errs)
{
    struct est_result results[ESTIMATE_SIGNALS_MAX];
    double zero_s = samples->column[0].at_s[0], hold_s = options->pins.hold_s;
    int result = complete(options, samples, errs);

    *ret_answer = (struct estimate_answer){ .bound = NULL };
    for (size_t i = 0; i < options->signals && result == 0 && isnan(options->pins.hold_s); i++)
        hold_s = fmax(isnan(hold_s) ? HOLD_LEAST_S : hold_s, HOLD_BINS * options->signal[i].bin_s);
    for (size_t i = 0; i < options->signals && result == 0; i++) {
        result = judge_signal(options, samples, zero_s, hold_s, &options->signal[i], errs);
        results[i] = options->signal[i].result;
    }
    if (result < 0)
        return result;
    est_combine(results, options->signals, &ret_answer->combined, &ret_answer->last);
    ret_answer->hold_s = hold_s;
    ret_answer->status = est_verdict_status(ret_answer->combined.verdict);
    if (options->allow_new_level && ret_answer->combined.verdict == EST_CONVERGED_TO_NEW_LEVEL)
        ret_answer->status = 0;
    weigh_bound(options, ret_answer);
    return 0;
}
