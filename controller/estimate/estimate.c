/* The judge: baseline, band, excursions, hold, sizes, verdict, in this order. See estimate.h. */
#include "controller/estimate/estimate.h"

#include "controller/estimate/band.h"
#include "controller/estimate/baseline.h"
#include "controller/estimate/bootstrap.h"
#include "controller/estimate/edge.h"
#include "controller/estimate/excursion.h"
#include "controller/estimate/hold.h"
#include "controller/estimate/loss.h"
#include "controller/estimate/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define UNKNOWN_SHARE_MAX 0.1
#define HOLDS_PER_WINDOW 4.0       /* widest window for requests: baseline noise is binomial, so it needs no windows of its own */
#define BASELINE_WINDOWS_MIN 8     /* narrowest baseline for values, in windows */
#define GAP_PER_HOLD 20.0          /* a run of unknown bins longer than hold / this breaks a hold */
#define OFFERED_SAME 1.02          /* load no more than this times the baseline's is "back to baseline" */
#define AMPLIFICATION_SUSTAINED 1.1
#define WILSON_Z 1.96 /* 95 % */
#define UNFIT_BINS_MIN 40 /* fewer show no noise */

/* One judgement in progress. */
struct judge {
    const struct est_series *series;
    const struct est_pins *pins;
    struct est_instants instants; /* end_s clipped to the series */
    const struct est_context *context;
    struct view view;
    struct noise noise;
    struct band band;
    struct span span; /* of the observation, from injection */
    struct excursions found;
    struct gaps gaps;
    struct hold hold;
    size_t gap_bins;
    bool out_at_end;
    struct est_result result;
};

static int check_input(const struct est_series *series, const struct est_pins *pins, const struct est_instants *instants)
{
    if (!(pins->band > 0.0 && pins->band < 1.0) || !(pins->hold_s > 0.0) || !isfinite(pins->hold_s))
        return -EINVAL;
    if (!isfinite(instants->baseline_start_s) || !isfinite(instants->inject_s) || !isfinite(instants->end_s))
        return -EINVAL;
    if (instants->baseline_start_s >= instants->inject_s || instants->inject_s >= instants->end_s)
        return -EINVAL;
    if (instants->release_s < instants->inject_s || instants->release_s > instants->end_s)
        return -EINVAL; /* NaN compares false: never released */
    if (instants->baseline_end_s > instants->inject_s || instants->baseline_end_s <= instants->baseline_start_s)
        return -EINVAL;
    return series->bins > 0 ? 0 : -EINVAL;
}

static void result_clear(struct est_result *result)
{
    const struct est_interval none = {NAN, NAN};

    *result = (struct est_result){
        .verdict = EST_INDETERMINATE,
        .reason = "",
        .deviated_s = NAN,
        .first_return_s = NAN,
        .converged_s = NAN,
        .validated_s = NAN,
        .converged_interval = none,
        .time_to_deviation_s = NAN,
        .convergence_from_release_s = NAN,
        .convergence_from_inject_s = NAN,
        .from_release_interval = none,
        .from_inject_interval = none,
        .loss_to_hold_s = NAN,
        .loss_to_hold_interval = none,
        .loss_to_end_s = NAN,
        .loss_to_end_interval = none,
        .dip_depth = NAN,
        .overshoot = NAN,
        .residual = NAN,
        .level_worst_ok = NAN,
        .threshold = NAN,
        .bin_s = NAN,
        .resolvable_band = NAN,
        .smallest_dip = NAN,
        .smallest_outage_s = NAN,
        .unknown_share = NAN,
    };
}

/* The widest window worth trying, in base bins. A recovery must be able to hold two of them before the observation ends. */
static size_t width_limit(const struct judge *judge)
{
    const struct view *view = &judge->view;
    double bin = judge->series->bin_s, from_s = judge->instants.inject_s, limit;

    if (!isnan(judge->instants.release_s))
        from_s = judge->instants.release_s;
    limit = fmin(judge->pins->hold_s, (double)judge->noise.count * bin / BASELINE_WINDOWS_MIN);
    if (view->counted)
        limit = fmin(HOLDS_PER_WINDOW * judge->pins->hold_s, (double)judge->noise.count * bin);
    limit = floor(fmin(limit, 0.5 * (judge->instants.end_s - from_s)) / bin + 1e-6);
    return limit < 1.0 ? 1 : (size_t)limit;
}

static void describe_band(struct judge *judge)
{
    const struct view *view = &judge->view;
    const struct band *band = &judge->band;
    const struct scale *chosen = &band->scale[band->scales - 1];
    struct est_result *result = &judge->result;
    bool quantile = view->counted && judge->series->kind == EST_QUANTILE;
    double worse = judge->series->direction == EST_HIGHER_BETTER ? -1.0 : 1.0;

    result->bin_s = (double)band->chosen * judge->series->bin_s;
    result->threshold = quantile ? judge->pins->band : chosen->threshold;
    result->resolvable_band = quantile ? (band->resolved ? judge->pins->band : NAN) : band->resolvable;
    result->smallest_dip = fmax(result->threshold, quantile ? 0.0 : chosen->noise);
    result->level_worst_ok = view->level + worse * result->threshold * view->unit;
    for (size_t i = band->scales; i > 0; i--) {
        double noise = band->scale[i - 1].noise + (view->counted ? view->bad_share : 0.0);

        if (noise < fmin(1.0, view->clip))
            result->smallest_outage_s = 2.0 * (double)band->scale[i - 1].width * judge->series->bin_s;
    }
}

/* A signal that is not known to be good again when the observation ends is out at the end. */
static void close_tail(struct judge *judge)
{
    struct excursion *last;

    if (judge->found.count == 0)
        return;
    last = &judge->found.item[judge->found.count - 1];
    if ((double)(judge->span.to - last->to) * judge->series->bin_s >= judge->pins->hold_s)
        return;
    if (excursion_gap_is_good(&judge->view, &judge->noise, last->to, judge->span.to))
        return;
    last->to = judge->span.to;
    judge->out_at_end = true;
}

/* At which width noise lets the band be told, and what could be told at best. */
static int measure_band(struct judge *judge)
{
    size_t observed = judge->span.to - judge->span.from;
    int rc = band_find(&judge->view, &judge->noise, observed, width_limit(judge), &judge->band);

    if (rc < 0)
        return rc;
    describe_band(judge);
    if (isnan(judge->result.resolvable_band))
        rc = baseline_resolvable(&judge->view, &judge->noise, &judge->result.baseline, judge->pins->band, observed, width_limit(judge),
                                 &judge->result.resolvable_band);
    return rc;
}

/* An unfit baseline tells what could be resolved over it all the same, where it has a level and enough bins to show its noise. */
static bool shows_noise(const struct judge *judge)
{
    const struct view *view = &judge->view;

    return judge->noise.count >= UNFIT_BINS_MIN && judge->result.baseline.known >= UNFIT_BINS_MIN && view->unit > 0.0 && isfinite(view->unit) &&
           (!view->counted || view->bad_share + view->band < 1.0);
}

static int find_story(struct judge *judge)
{
    double bin = judge->series->bin_s;
    int rc = measure_band(judge);

    if (rc < 0)
        return rc;
    judge->gap_bins = judge->band.chosen > 2 ? judge->band.chosen : 2;
    if (judge->pins->hold_s / GAP_PER_HOLD / bin > (double)judge->gap_bins)
        judge->gap_bins = (size_t)(judge->pins->hold_s / GAP_PER_HOLD / bin);
    rc = gaps_find(&judge->view, judge->span, judge->gap_bins, &judge->gaps);
    if (rc < 0)
        return rc;
    judge->result.unknown_share = judge->gaps.unknown_share;
    rc = excursions_find(&judge->view, &judge->noise, &judge->band, judge->span, &judge->found);
    if (rc < 0)
        return rc;
    close_tail(judge);
    rc = edges_place(&judge->view, &judge->noise, &judge->found, judge->span);
    if (rc < 0)
        return rc;
    if (judge->found.count > 0) {
        struct excursion *first = &judge->found.item[0];

        first->from_s = fmax(first->from_s, judge->instants.inject_s);
        judge->hold = hold_find(&judge->view, &judge->found, &judge->gaps, &judge->instants, judge->pins->hold_s);
    }
    return 0;
}

/* Mean deviation of [from_s, to_s). */
static double mean_between(const struct judge *judge, double from_s, double to_s)
{
    struct span span = view_span(judge->series, from_s, to_s);

    return span.to > span.from ? view_mean(&judge->view, span.from, span.to, 0.5) : NAN;
}

/* Largest sum of what exceeds `level` + band from `span.from` on: where an isotonic recovery to that level is complete. */
static size_t reached_level(const struct view *view, struct span span, double level)
{
    double limit = level + view->band + (view->counted ? view->bad_share : 0.0), sum = 0.0, most = 0.0;
    size_t reached = span.from;

    for (size_t i = span.from; i < span.to; i++) {
        sum += view->sum[i + 1] - view->sum[i] - limit * (view->weight[i + 1] - view->weight[i]);
        if (sum > most) {
            most = sum;
            reached = i + 1;
        }
    }
    return reached;
}

/* Standard deviation of the mean of `bins` bins at mean deviation `level`. */
static double mean_error(const struct judge *judge, double level, double bins)
{
    const struct view *view = &judge->view;
    double share = fmin(fmax(level + view->bad_share, 0.0), 1.0);

    if (bins < 1.0)
        return INFINITY;
    if (view->counted)
        return sqrt(view->dispersion * share * (1.0 - share) / fmax(view->planned_per_bin * bins, 1.0));
    return judge->noise.sigma * sqrt(noise_shrink(&judge->noise, (size_t)bins));
}

/* Has a signal that never came back settled at another level, better than it had under the fault? Then when did it get there?
 * Judged on the last third after the release (at least two holds): its halves agree within half a band and chance, and before it got there
 * it was worse by two bands and more than chance. A signal that merely stayed down has not converged to anything. */
static bool settled_elsewhere(const struct judge *judge, double *ret_level, size_t *ret_reached)
{
    const struct excursion *last = &judge->found.item[judge->found.count - 1];
    const struct view *view = &judge->view;
    double release_s = isnan(judge->instants.release_s) ? judge->instants.inject_s : judge->instants.release_s;
    double end_s = judge->instants.end_s, since_s = end_s - fmax(release_s, last->from_s);
    double tail_s = fmax(2.0 * judge->pins->hold_s, since_s / 3.0);
    double early, late, level, before, error, chance;
    size_t reached;

    if (since_s < tail_s)
        return false;
    early = mean_between(judge, end_s - tail_s, end_s - 0.5 * tail_s);
    late = mean_between(judge, end_s - 0.5 * tail_s, end_s);
    level = 0.5 * (early + late);
    chance = 2.0 * sqrt(2.0) * mean_error(judge, level, 0.5 * tail_s / judge->series->bin_s);
    if (isnan(level) || fabs(early - late) > 0.5 * view->band + chance)
        return false;
    reached = reached_level(view, (struct span){.from = last->from, .to = judge->span.to}, level);
    if (reached == last->from)
        return false;
    before = view_mean(view, last->from, reached, 0.5);
    error = mean_error(judge, level, (double)(reached - last->from));
    if (!(before - level > 2.0 * view->band + 4.0 * error))
        return false;
    *ret_level = level;
    *ret_reached = reached;
    return end_s - view_time_s(view, reached) >= judge->pins->hold_s;
}

/* When it got to the level where it settled: the edge and the interval of a recovery to a baseline of that level. */
static int tell_new_level(struct judge *judge, double level, size_t reached)
{
    struct excursion until = {.from = judge->found.item[judge->found.count - 1].from, .to = reached};
    struct excursions one = {.item = &until, .count = 1, .capacity = 1};
    struct view view = judge->view; /* borrows the arrays */
    struct est_result *result = &judge->result;
    double low, planned;
    int rc;

    if (view.counted) {
        planned = (view.weight[judge->span.to] - view.weight[reached]) / view.dispersion;
        view.bad_share = fmin(fmax(view.bad_share + level, 0.0), 1.0);
        stats_wilson(view.bad_share * planned, planned, WILSON_Z, &low, &view.bad_share_high);
    } else {
        view.band += level;
    }
    rc = edges_place(&view, &judge->noise, &one, judge->span);
    result->converged_s = until.to_s;
    if (rc == 0)
        rc = bootstrap_end(&view, &judge->noise, &until, judge->instants.end_s, judge->pins->seed, &result->converged_interval);
    return rc;
}

static bool is_metastable(const struct judge *judge)
{
    const struct est_context *context = judge->context;

    return context != NULL && !isnan(judge->instants.release_s) && context->offered_ratio <= OFFERED_SAME &&
           context->amplification_ratio >= AMPLIFICATION_SUSTAINED;
}

static int decide_unconverged(struct judge *judge)
{
    const struct excursion *last = &judge->found.item[judge->found.count - 1];
    struct est_result *result = &judge->result;
    size_t reached;
    double level;
    int rc = 0;

    if (judge->hold.flaps >= 2 && last->to_s - last->from_s < judge->pins->hold_s) {
        result->verdict = EST_FLAPPING;
        result->reason = "it left its band again and again and never stayed in it for the hold";
    } else if (!judge->out_at_end) {
        result->verdict = EST_CENSORED;
        result->reason = "it was back in its band when the observation ended, but not yet for the hold";
    } else if (settled_elsewhere(judge, &level, &reached)) {
        result->verdict = EST_CONVERGED_TO_NEW_LEVEL;
        result->reason = "it settled, but outside the band of its baseline";
        rc = tell_new_level(judge, level, reached);
    } else if (is_metastable(judge)) {
        result->verdict = EST_METASTABLE;
        result->reason = "the fault is gone and the load is as before, but retries keep it down";
    } else {
        result->verdict = EST_NOT_CONVERGED;
        result->reason = "it was still outside its band when the observation ended";
    }
    return rc;
}

static int decide_converged(struct judge *judge)
{
    struct est_result *result = &judge->result;
    const struct hold *hold = &judge->hold;
    const struct excursion *last = &judge->found.item[hold->last];
    double until_s = hold->converged_s + judge->pins->hold_s;
    int rc;

    result->converged_s = hold->converged_s;
    if (hold->last + 1 < judge->found.count)
        until_s = fmin(until_s, judge->found.item[hold->last + 1].from_s);
    rc = bootstrap_end(&judge->view, &judge->noise, last, fmin(until_s, judge->instants.end_s), judge->pins->seed,
                       &result->converged_interval);
    if (rc < 0)
        return rc;
    if (hold->after_gap) {
        result->converged_interval.low = fmin(result->converged_interval.low, hold->earliest_s - judge->series->bin_s);
        result->converged_interval.high = hold->converged_s + judge->series->bin_s;
        result->reason = "data was missing around the recovery: the interval covers the gap";
    }
    if (hold->redegradations > 0) {
        result->verdict = EST_CONVERGED_THEN_REDEGRADED;
        result->reason = "it held, then left its band again before the observation ended";
    } else if (result->converged_s < judge->instants.release_s - judge->series->bin_s) { /* false when never released */
        result->verdict = EST_RECOVERED_UNDER_FAULT;
    } else {
        result->verdict = EST_CONVERGED;
    }
    return 0;
}

static int decide(struct judge *judge)
{
    struct est_result *result = &judge->result;
    int rc = 0;

    if (judge->found.count == 0) {
        result->verdict = EST_ABSORBED;
    } else if (judge->hold.converged) {
        rc = decide_converged(judge);
    } else {
        rc = decide_unconverged(judge);
    }
    if (!judge->band.resolved) {
        result->verdict = EST_INDETERMINATE;
        result->reason = "the noise of the baseline hides the pinned band: pin a wider band, a longer hold or more load";
    } else if (result->unknown_share > UNKNOWN_SHARE_MAX) {
        result->verdict = EST_INDETERMINATE;
        result->reason = "more than a tenth of the observation is unknown";
    }
    return rc;
}

static struct est_interval shifted(struct est_interval interval, double by)
{
    return (struct est_interval){interval.low - by, interval.high - by};
}

static void tell_instants(struct judge *judge)
{
    struct est_result *result = &judge->result;
    const struct excursion *first = judge->found.item;

    if (judge->found.count == 0)
        return;
    result->deviated_s = first->from_s;
    result->time_to_deviation_s = result->deviated_s - judge->instants.inject_s;
    if (judge->found.count > 1 || !judge->out_at_end)
        result->first_return_s = first->to_s;
    if (judge->found.count > 1 || judge->hold.converged) {
        result->flaps = judge->hold.flaps;
        result->redegradations = judge->hold.redegradations;
        result->longest_exit_s = judge->hold.longest_exit_s;
    }
    result->longest_good_s = judge->hold.longest_good_s;
    if (isnan(result->converged_s))
        return;
    result->validated_s = result->converged_s + judge->pins->hold_s;
    result->convergence_from_inject_s = result->converged_s - judge->instants.inject_s;
    result->from_inject_interval = shifted(result->converged_interval, judge->instants.inject_s);
    result->convergence_from_release_s = result->converged_s - judge->instants.release_s;
    result->from_release_interval = shifted(result->converged_interval, judge->instants.release_s);
}

static int tell_sizes(struct judge *judge)
{
    struct est_result *result = &judge->result;
    const struct view *view = &judge->view;
    double inject_s = judge->instants.inject_s, end_s = judge->instants.end_s;
    double tail_s = fmax(judge->instants.inject_s, end_s - judge->pins->hold_s);
    struct span after = judge->span, last = view_span(judge->series, tail_s, end_s);
    size_t bridge = judge->gap_bins;

    if (view_bins_of(view, GAP_REQUESTS) > bridge)
        bridge = view_bins_of(view, GAP_REQUESTS);
    result->loss_to_end_s = loss_between(view, &judge->noise, inject_s, end_s, bridge, &result->loss_to_end_interval);
    if (!isnan(result->validated_s)) {
        last = view_span(judge->series, result->converged_s, result->validated_s);
        result->loss_to_hold_s = loss_between(view, &judge->noise, inject_s, fmin(result->validated_s, end_s), bridge,
                                              &result->loss_to_hold_interval);
    }
    result->dip_depth = loss_extreme(view, judge->span, judge->band.chosen, true);
    if (!isnan(result->first_return_s)) {
        after.from = judge->found.item[0].to;
        result->overshoot = -loss_extreme(view, after, judge->band.chosen, false);
    }
    return loss_typical(view, last, &result->residual);
}

static int judge_fit(struct judge *judge)
{
    int rc = find_story(judge);

    if (rc == 0)
        rc = decide(judge);
    if (rc < 0)
        return rc;
    tell_instants(judge);
    return tell_sizes(judge);
}

int est_judge(const struct est_series *series, const struct est_pins *pins, const struct est_instants *instants,
              const struct est_context *context, struct est_result *ret_result)
{
    struct judge judge = {.series = series, .pins = pins, .instants = *instants, .context = context};
    const char *reason = NULL;
    int rc = check_input(series, pins, instants);

    if (rc < 0)
        return rc;
    result_clear(&judge.result);
    judge.instants.end_s = fmin(instants->end_s, est_series_end_s(series));
    judge.span = view_span(series, instants->inject_s - series->bin_s * (1.0 - 1e-6), judge.instants.end_s);
    rc = view_init(&judge.view, series);
    if (rc == 0)
        rc = baseline_measure(&judge.view, pins, instants, &judge.result.baseline, &judge.noise, &reason);
    if (rc == 0 && reason != NULL) {
        judge.result.verdict = EST_BASELINE_UNFIT;
        judge.result.reason = reason;
        rc = judge.span.to > judge.span.from && shows_noise(&judge) ? measure_band(&judge) : 0;
    } else if (rc == 0 && judge.span.to < judge.span.from + 2) {
        judge.result.reason = "there is no data after the injection";
    } else if (rc == 0) {
        rc = judge_fit(&judge);
    }
    gaps_done(&judge.gaps);
    excursions_done(&judge.found);
    noise_done(&judge.noise);
    view_done(&judge.view);
    if (rc == 0)
        *ret_result = judge.result;
    return rc;
}

bool est_baseline_fit(const struct est_series *series, const struct est_pins *pins, const struct est_instants *instants,
                      struct est_baseline *ret_baseline, const char **ret_reason)
{
    struct view view;
    struct noise noise = {0};
    const char *reason = NULL;
    int rc = view_init(&view, series);

    if (rc == 0)
        rc = baseline_measure(&view, pins, instants, ret_baseline, &noise, &reason);
    noise_done(&noise);
    view_done(&view);
    if (rc < 0)
        reason = "out of memory";
    if (reason != NULL)
        *ret_reason = reason;
    return reason == NULL;
}
