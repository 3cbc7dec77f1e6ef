/* A signal as it is drawn: no finer than a tenth of a second, no more points than a page has room for. */
#include "controller/run/run_priv.h"

#include "controller/base/json.h"
#include "scenarios/base/cleanup.h"

#include <math.h>
#include <stdlib.h>

#define POINT_S 0.1

enum { POINTS_MAX = 1200 };

/* How many bins make a point. */
static size_t bins_together(double end_s, double bin_s)
{
    size_t together = (size_t)fmax(1, ceil(POINT_S / bin_s - 1e-9));

    while (end_s / (bin_s * (double)together) > POINTS_MAX)
        together *= 2;
    return together;
}

static cJSON *describe(const struct est_series *series, const double *value, size_t together)
{
    cJSON *object = cJSON_CreateObject(), *values;

    json_put_number(object, "start_s", series->start_s);
    json_put_number(object, "bin_s", series->bin_s * (double)together);
    values = cJSON_AddArrayToObject(object, "values");
    for (size_t i = 0; i * together < series->bins; i++)
        cJSON_AddItemToArray(values, isfinite(value[i]) ? cJSON_CreateNumber(round(value[i] * 1e6) / 1e6) : cJSON_CreateNull());
    return object;
}

/* From the requests that were judged, which need not be gone through again. NULL where there are none to be had in bins that fit. */
static cJSON *plot_judged(const struct run *run, const struct signal *signal, double end_s)
{
    const struct est_series *series = NULL;
    double bin_s = run_signal_bin_s(run, signal);
    AUTO_FREE double *value = NULL;
    size_t together = bins_together(end_s, bin_s);
    cJSON *object = NULL;

    if (!signal_is_of_load(signal) || run_control_of(run, signal) || signal->kind == SIGNAL_RATE || bin_s > POINT_S ||
        run_series(run, signal, bin_s, &series) < 0)
        return NULL;
    value = malloc((series->bins / together + 1) * sizeof(*value));
    if (value && est_series_values(series, together, value) == 0)
        object = describe(series, value, together);
    return object;
}

cJSON *run_describe_plot(const struct run *run, const struct signal *signal, bool alone)
{
    double end_s = run_seconds(run, run->end_ns), bin_s = fmax(POINT_S, signal_is_of_load(signal) ? 0 : run_signal_bin_s(run, signal));
    struct est_series *series = NULL;
    cJSON *object = end_s > 0 && !alone ? plot_judged(run, signal, end_s) : NULL;

    if (object)
        return object;
    bin_s *= end_s > 0 ? (double)bins_together(end_s, bin_s) : 1;
    if (!(end_s > 0) || (alone ? run_series_alone : run_series_new)(run, signal, bin_s, &series) < 0)
        return cJSON_CreateNull();
    object = describe(series, series->value, 1);
    est_series_free(series);
    return object;
}
