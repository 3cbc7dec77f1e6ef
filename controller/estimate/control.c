/* Treatment against control; see control.h. */
#include "controller/estimate/control.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

struct request_of {
    double planned_s, latency_s;
};

/* One arm as the estimator reads it, with what the control says of each request. */
struct relative {
    const struct control_arm *treatment;
    const struct est_build *build;
    const bool *excused; /* [count], for shares and rates */
    const double *level; /* [bins], for latency: the control's quantile; NaN unknown */
    size_t bins;
};

static size_t bins_of(const struct est_build *build)
{
    double bins = build->bin_s > 0 ? ceil((build->end_s - build->start_s) / build->bin_s - 1e-9) : 0;

    return bins >= 1 && bins <= EST_BINS_MAX ? (size_t)bins : 0;
}

static bool bin_at(const struct est_build *build, size_t bins, double planned_s, size_t *ret_bin)
{
    double bin = floor((planned_s - build->start_s) / build->bin_s);

    if (!(bin >= 0 && bin < (double)bins))
        return false;
    *ret_bin = (size_t)bin;
    return true;
}

static void relative_at(const void *context, size_t index, struct est_request *ret_request)
{
    const struct relative *relative = context;
    size_t bin = 0;

    relative->treatment->at(relative->treatment->context, index, ret_request);
    if (relative->excused)
        ret_request->good |= relative->excused[index];
    if (!relative->level)
        return;
    if (bin_at(relative->build, relative->bins, ret_request->planned_s, &bin) && relative->level[bin] > 0)
        ret_request->latency_s /= relative->level[bin];
    else
        ret_request->planned_s = NAN; /* outside, or the control says nothing: left out */
}

/* ---- shares and rates ---------------------------------------------------------------------------------------------------------- */

static int excuse(const struct control_arm *treatment, const struct control_arm *control, const struct est_build *build, bool *excused,
                  size_t *ret_excused)
{
    size_t bins = bins_of(build), bin, total = 0;
    size_t *credit = calloc(bins + 1, sizeof(*credit));
    struct est_request request;

    if (!credit)
        return -ENOMEM;
    for (size_t i = 0; i < control->count; i++) {
        control->at(control->context, i, &request);
        if (!request.good && bin_at(build, bins, request.planned_s, &bin))
            credit[bin]++;
    }
    for (size_t i = 0; i < treatment->count; i++) {
        treatment->at(treatment->context, i, &request);
        excused[i] = !request.good && bin_at(build, bins, request.planned_s, &bin) && credit[bin] > 0;
        if (excused[i]) {
            credit[bin]--;
            total++;
        }
    }
    free(credit);
    *ret_excused = total;
    return 0;
}

/* ---- latency ----------------------------------------------------------------------------------------------------------------------- */

static int by_planned(const void *a, const void *b)
{
    double left = ((const struct request_of *)a)->planned_s, right = ((const struct request_of *)b)->planned_s;

    return (left > right) - (left < right);
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* The quantile of the `width` requests about each bin's middle; unanswered ones are the largest, and where it falls on them it is unknown. */
static void level_of_bins(const struct request_of *request, size_t count, const struct est_build *build, size_t width, double *window,
                          double *level, size_t bins)
{
    size_t middle = 0;

    width = MIN(width, count);
    for (size_t bin = 0; bin < bins; bin++) {
        double at_s = build->start_s + ((double)bin + 0.5) * build->bin_s;
        size_t first;

        while (middle < count && request[middle].planned_s < at_s)
            middle++;
        first = middle > width / 2 ? MIN(middle - width / 2, count - width) : 0;
        for (size_t i = 0; i < width; i++)
            window[i] = request[first + i].latency_s;
        qsort(window, width, sizeof(double), by_value);
        level[bin] = window[(size_t)ceil(build->quantile * (double)width) - 1];
        if (isinf(level[bin]))
            level[bin] = NAN;
    }
}

static int control_level(const struct control_arm *control, const struct est_build *build, double *level, size_t bins)
{
    struct request_of *request = malloc((control->count + 1) * sizeof(*request));
    size_t width = (size_t)ceil(CONTROL_TAIL / fmin(build->quantile, 1 - build->quantile));
    double *window = malloc((width + 1) * sizeof(*window));

    if (!request || !window) {
        free(request);
        free(window);
        return -ENOMEM;
    }
    for (size_t i = 0; i < control->count; i++) {
        struct est_request one;

        control->at(control->context, i, &one);
        request[i] = (struct request_of){ one.planned_s, isfinite(one.latency_s) ? one.latency_s : INFINITY };
    }
    qsort(request, control->count, sizeof(*request), by_planned);
    level_of_bins(request, control->count, build, width, window, level, bins);
    free(request);
    free(window);
    return 0;
}

int control_series(const struct control_arm *treatment, const struct control_arm *control, const struct est_build *build,
                   struct est_series **ret_series, size_t *ret_excused)
{
    bool is_latency = build->measure == EST_LATENCY_QUANTILE;
    struct relative relative = { .treatment = treatment, .build = build, .bins = bins_of(build) };
    size_t excused = 0;
    void *memory;
    int result;

    if (!relative.bins || (is_latency && !(build->quantile > 0 && build->quantile < 1)))
        return -EINVAL;
    if (!control->count || !treatment->count)
        return -ENODATA;
    memory = is_latency ? calloc(relative.bins, sizeof(double)) : calloc(treatment->count, sizeof(bool));
    if (!memory)
        return -ENOMEM;
    if (is_latency) {
        relative.level = memory;
        result = control_level(control, build, memory, relative.bins);
    } else {
        relative.excused = memory;
        result = excuse(treatment, control, build, memory, &excused);
    }
    if (result == 0)
        result = est_series_from_records(relative_at, &relative, treatment->count, build, ret_series);
    free(memory);
    if (result == 0 && ret_excused)
        *ret_excused = excused;
    return result;
}
