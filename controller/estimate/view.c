/* A signal with worse upwards and its prefix sums; see view.h. */
#include "controller/estimate/view.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define CLIP_REACHES 1.5
#define CLIP_BANDS 2.0

int view_init(struct view *view, const struct est_series *series)
{
    bool ratio_or_quantile = series->kind == EST_RATIO || (series->kind == EST_QUANTILE && series->event != NULL);

    *view = (struct view){
        .series = series,
        .bins = series->bins,
        .counted = ratio_or_quantile && series->planned != NULL,
        .level = NAN,
        .dispersion = 1.0,
        .bad_latency = EST_LATENCY_NEVER,
        .clip = INFINITY,
    };
    view->deviation = malloc(view->bins * sizeof(*view->deviation));
    view->bad = calloc(view->bins, sizeof(*view->bad));
    view->masked = calloc(view->bins, sizeof(*view->masked));
    view->sum = malloc((view->bins + 1) * sizeof(*view->sum));
    view->weight = malloc((view->bins + 1) * sizeof(*view->weight));
    view->clipped = malloc((view->bins + 1) * sizeof(*view->clipped));
    if (view->deviation == NULL || view->bad == NULL || view->masked == NULL || view->sum == NULL || view->weight == NULL ||
        view->clipped == NULL)
        return -ENOMEM;
    return 0;
}

void view_done(struct view *view)
{
    free(view->deviation);
    free(view->bad);
    free(view->masked);
    free(view->sum);
    free(view->weight);
    free(view->clipped);
    *view = (struct view){0};
}

static size_t clip(double bin, size_t bins)
{
    if (!(bin > 0.0))
        return 0;
    return bin > (double)bins ? bins : (size_t)bin;
}

struct span view_span(const struct est_series *series, double from_s, double to_s)
{
    struct span span = {
        .from = clip(ceil((from_s - series->start_s) / series->bin_s - 1e-6), series->bins),
        .to = clip(floor((to_s - series->start_s) / series->bin_s + 1e-6), series->bins),
    };

    if (span.to < span.from)
        span.to = span.from;
    return span;
}

double view_time_s(const struct view *view, size_t bin)
{
    return view->series->start_s + view->series->bin_s * (double)bin;
}

void view_set_level(struct view *view, double level)
{
    const struct est_series *series = view->series;
    double worse = series->direction == EST_HIGHER_BETTER ? -1.0 : 1.0;

    view->level = level;
    view->unit = series->kind == EST_RATIO ? 1.0 : fabs(level);
    view->quantum = view->unit > 0.0 ? series->quantum / view->unit : 0.0;
    for (size_t i = 0; i < view->bins; i++) /* a zero unit or an unknown value gives no finite deviation */
        view->deviation[i] = isfinite(series->value[i]) && view->unit > 0.0 ? worse * (series->value[i] - level) / view->unit : NAN;
}

bool view_event_bad(const struct view *view, const struct est_event *event)
{
    if (view->series->kind == EST_QUANTILE)
        return event->latency > view->bad_latency;
    return (event->tick & EST_EVENT_GOOD) == 0;
}

void view_count_bad(struct view *view, double bad_latency_s)
{
    const struct est_series *series = view->series;

    view->bad_latency = est_latency_code(bad_latency_s);
    for (size_t i = 0; i < view->bins; i++) {
        view->bad[i] = series->kind == EST_QUANTILE ? 0 : series->planned[i] - series->good[i];
        for (size_t j = 0; series->kind == EST_QUANTILE && j < series->planned[i]; j++)
            view->bad[i] += view_event_bad(view, &series->event[series->first[i] + j]);
    }
}

double view_clipped(double deviation, double clip)
{
    return fmin(fmax(deviation, -clip), clip);
}

void view_clip(struct view *view, double reach)
{
    view->clip = view->counted ? INFINITY : fmax(CLIP_REACHES * reach, CLIP_BANDS * view->band);
    view_index(view);
}

size_t view_bins_of(const struct view *view, double requests)
{
    if (!view->counted || !(view->planned_per_bin > 0.0))
        return 1;
    return (size_t)fmin(ceil(requests / view->planned_per_bin), (double)view->bins);
}

void view_index(struct view *view)
{
    view->sum[0] = view->weight[0] = view->clipped[0] = 0.0;
    for (size_t i = 0; i < view->bins; i++) {
        double sum = 0.0, weight = 0.0;

        if (!view->masked[i] && view->counted) {
            sum = (double)view->bad[i];
            weight = (double)view->series->planned[i];
        } else if (!view->masked[i] && !isnan(view->deviation[i])) {
            sum = view->deviation[i];
            weight = 1.0;
        }
        view->sum[i + 1] = view->sum[i] + sum;
        view->clipped[i + 1] = view->clipped[i] + view_clipped(sum, view->clip);
        view->weight[i + 1] = view->weight[i] + weight;
    }
}

double view_mean(const struct view *view, size_t from, size_t to, double share)
{
    double weight = view->weight[to] - view->weight[from];
    double full = (double)(to - from) * (view->counted ? view->planned_per_bin : 1.0);

    if (weight <= 0.0 || weight < share * full)
        return NAN;
    return (view->sum[to] - view->sum[from]) / weight - (view->counted ? view->bad_share : 0.0);
}

double view_excess(const struct view *view, size_t from, size_t to)
{
    double limit = view->band + (view->counted ? view->bad_share : 0.0);

    return view->sum[to] - view->sum[from] - limit * (view->weight[to] - view->weight[from]);
}

/* The last bin whose first event is at or before `event`. */
static size_t bin_of_event(const struct est_series *series, size_t event)
{
    size_t low = 0, high = series->bins;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (series->first[middle] <= event)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static double tick_s(const struct est_series *series, size_t bin, size_t event)
{
    double part = (double)(series->event[event].tick & (EST_TICKS_PER_BIN - 1)) / EST_TICKS_PER_BIN;

    return series->start_s + series->bin_s * ((double)bin + part);
}

double view_event_s(const struct est_series *series, size_t event)
{
    return tick_s(series, bin_of_event(series, event), event);
}

/* First event at or after `at_s`. */
static size_t event_at(const struct est_series *series, double at_s)
{
    double bin = floor((at_s - series->start_s) / series->bin_s);
    size_t from, event;

    if (!(bin >= 0.0))
        return 0;
    if (bin >= (double)series->bins)
        return series->events;
    from = bin > 0.0 ? (size_t)bin - 1 : 0; /* a bin early: the quotient is rounded */
    event = series->first[from];
    for (size_t i = from; i < series->bins && i < from + 3; i++) {
        for (; event < series->first[i + 1]; event++) {
            if (tick_s(series, i, event) >= at_s)
                return event;
        }
    }
    return event;
}

struct span view_events(const struct est_series *series, double from_s, double to_s)
{
    struct span span = {.from = event_at(series, from_s), .to = event_at(series, to_s)};

    if (span.to < span.from)
        span.to = span.from;
    return span;
}
