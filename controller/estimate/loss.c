/* Sizes; see loss.h. */
#include "controller/estimate/loss.h"

#include "controller/estimate/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define Z95 1.96

/* Deviation of a bin as a number to add up: of requests where they are the measure, else of the value. */
static bool by_requests(const struct view *view)
{
    return view->counted && view->series->kind == EST_RATIO;
}

/* A deviation of how much is a full outage: 1 for a relative signal, the level itself for a ratio. */
static double full_outage(const struct view *view)
{
    double full;

    if (view->series->kind != EST_RATIO)
        return 1.0;
    full = view->series->direction == EST_HIGHER_BETTER ? view->level : 1.0 - view->level;
    return full > 0.0 ? full : 1.0;
}

/* Each known bin stands for itself and for half of the unknown run on either side, where that run is short. */
static double area(const struct view *view, struct span span, size_t bridge, size_t *ret_known)
{
    double sum = 0.0, last = NAN;
    size_t run = 0, known = 0;

    for (size_t i = span.from; i < span.to; i++) {
        double deviation = view->deviation[i];

        if (isnan(deviation)) {
            run++;
            continue;
        }
        if (run > 0 && run <= bridge) {
            sum += (double)run * (isnan(last) ? deviation : 0.5 * (last + deviation));
            known += run;
        }
        sum += deviation;
        known++;
        last = deviation;
        run = 0;
    }
    if (run > 0 && run <= bridge && !isnan(last)) {
        sum += (double)run * last;
        known += run;
    }
    *ret_known = known;
    return sum;
}

/* Binomial variance of the area, from blocks wide enough to tell a share. In bins squared. */
static double count_variance(const struct view *view, struct span span, size_t known)
{
    size_t width = view->planned_per_bin > 0.0 ? (size_t)ceil(20.0 / view->planned_per_bin) : 1;
    double level = (double)known, sum = 0.0;

    for (size_t i = span.from; i < span.to; i += width) {
        size_t to = i + width < span.to ? i + width : span.to;
        double n = view->weight[to] - view->weight[i], share;

        if (n <= 0.0)
            continue;
        share = (view->sum[to] - view->sum[i]) / n;
        sum += (double)((to - i) * (to - i)) * share * (1.0 - share) / n;
    }
    level *= level * view->bad_share_high * (1.0 - view->bad_share_high);
    return view->dispersion * (sum + level / fmax(1.0, view->baseline_planned));
}

double loss_between(const struct view *view, const struct noise *noise, double from_s, double to_s, size_t bridge,
                    struct est_interval *ret_interval)
{
    double bin = view->series->bin_s, full = full_outage(view), sum, deviation;
    struct span span = view_span(view->series, from_s - bin * (1.0 - 1e-6), to_s + bin * (1.0 - 1e-6));
    size_t known;

    sum = area(view, span, bridge, &known);
    if (!by_requests(view))
        sum -= noise->mean * (double)known;
    sum *= bin / full;
    if (by_requests(view))
        deviation = sqrt(count_variance(view, span, known));
    else
        deviation = (double)known * hypot(noise->sigma * sqrt(noise_shrink(noise, known > 0 ? known : 1)), noise->se_level);
    deviation *= Z95 * bin / full;
    *ret_interval = (struct est_interval){.low = sum - deviation, .high = sum + deviation};
    return sum;
}

double loss_extreme(const struct view *view, struct span span, size_t width, bool worst)
{
    double extreme = NAN, sum = 0.0;
    size_t known = 0;

    for (size_t i = span.from; i < span.to; i++) {
        double mean;

        if (by_requests(view)) {
            mean = i + width <= span.to ? view_mean(view, i, i + width, 0.5) : NAN;
        } else {
            if (!isnan(view->deviation[i])) {
                sum += view->deviation[i];
                known++;
            }
            if (i >= span.from + width && !isnan(view->deviation[i - width])) {
                sum -= view->deviation[i - width];
                known--;
            }
            mean = i + 1 >= span.from + width && 2 * known >= width ? sum / (double)known : NAN;
        }
        if (!isnan(mean) && (isnan(extreme) || (worst ? mean > extreme : mean < extreme)))
            extreme = mean;
    }
    return extreme;
}

int loss_typical(const struct view *view, struct span span, double *ret_deviation)
{
    double *value;
    size_t known = 0;

    if (by_requests(view)) {
        *ret_deviation = view_mean(view, span.from, span.to, 0.0);
        return 0;
    }
    value = malloc((span.to - span.from + 1) * sizeof(*value));
    if (value == NULL)
        return -ENOMEM;
    for (size_t i = span.from; i < span.to; i++) {
        if (!isnan(view->deviation[i]))
            value[known++] = view->deviation[i];
    }
    *ret_deviation = stats_median(value, known);
    free(value);
    return 0;
}
