/* Level, noise and fitness of a baseline; see baseline.h.
 *
 * A baseline is unfit when it is too short for the rigour, has holes, has no level (zero), drifts by more than the band, or
 * contains an excursion of its own. */
#include "controller/estimate/baseline.h"

#include "controller/estimate/excursion.h"
#include "controller/estimate/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define QUIET_BINS 200.0
#define KNOWN_SHARE_MIN 0.9
#define LENGTH_SLACK 0.95   /* of the length asked for: planned instants never fill the window to the brim */
#define DRIFT_SIGMAS 3.3    /* two-sided 0.1 % */
#define EDGE_TRIM 0.02      /* requests planned just before the injection may already be its victims */
#define RESOLVABLE_STEP 1.25 /* grid on which the smallest resolvable band of a quantile is sought */
#define RESOLVABLE_MAX 1000.0
#define SHARE_Z 1.645       /* Wilson bound of the baseline's bad share, one-sided 95 % */
#define SHARE_IN_BAND 0.2   /* of the band: so many failures are well in band, even after a baseline without any */

double est_baseline_needed_s(enum est_rigour rigour, double bin_s, double hold_s)
{
    if (rigour == EST_QUICK)
        return fmax(QUIET_BINS * bin_s, 4.0 * hold_s);
    return fmax(60.0, fmax(10.0 * hold_s, QUIET_BINS * bin_s));
}

/* Share of bins known; a bin without requests is only unknown inside a gap far longer than chance leaves between requests. */
static size_t count_known(const struct view *view, struct span span)
{
    size_t longest = view_bins_of(view, GAP_REQUESTS), run = 0, known = span.to - span.from;

    for (size_t i = span.from; i <= span.to; i++) {
        bool empty = i < span.to && (view->counted ? view->series->planned[i] == 0 : isnan(view->deviation[i]));

        if (empty) {
            run++;
            continue;
        }
        if (run >= longest)
            known -= run;
        run = 0;
    }
    return known;
}

/* The share of bad requests that a window must be too bad for. A spotless baseline would else make an excursion of any cluster of
 * failures in a signal that came back slightly worse but well inside its band. */
static double share_high(const struct view *view, double bad, double planned, double band)
{
    double low, high;

    stats_wilson(bad, planned, SHARE_Z, &low, &high);
    return view->series->kind == EST_RATIO ? fmax(high, SHARE_IN_BAND * band) : high;
}

/* The pooled quantile (nearest rank) from a histogram of codes. */
static int pooled_latency(struct view *view, struct span span, double band, struct est_baseline *baseline)
{
    struct span events = view_events(view->series, view_time_s(view, span.from), view_time_s(view, span.to));
    uint32_t *codes = calloc((size_t)EST_LATENCY_NEVER + 1, sizeof(*codes));
    double rank = ceil(view->series->quantile * (double)(events.to - events.from)), seen = 0.0;

    if (codes == NULL)
        return -ENOMEM;
    for (size_t i = events.from; i < events.to; i++)
        codes[view->series->event[i].latency]++;
    baseline->level = NAN;
    for (size_t code = 0; code <= EST_LATENCY_NEVER && events.to > events.from; code++) {
        seen += (double)codes[code];
        if (seen >= rank) {
            baseline->level = est_latency_of((uint16_t)code);
            break;
        }
    }
    free(codes);
    view_count_bad(view, baseline->level * (1.0 + band));
    return 0;
}

/* Variance of the bad counts of neighbouring windows over the binomial one, at the width that tells most; 1 when it cannot be told
 * from 1. Failures that come in bursts would else look like excursions. */
static double measure_dispersion(const struct view *view, struct span span)
{
    double worst = 1.0;

    for (size_t width = 1; 10 * width <= span.to - span.from; width *= 2) {
        double expected = view->bad_share * view->planned_per_bin * (double)width, chi = 0.0, freedom = -1.0, value;

        if (expected < 1.0)
            continue;
        for (size_t i = span.from; i + width <= span.to; i += width) {
            double n = view->weight[i + width] - view->weight[i], bad = view->sum[i + width] - view->sum[i];
            double variance = n * view->bad_share * (1.0 - view->bad_share);

            if (variance <= 0.0)
                continue;
            chi += (bad - n * view->bad_share) * (bad - n * view->bad_share) / variance;
            freedom += 1.0;
        }
        value = freedom > 0.0 ? chi / freedom : 1.0;
        if (value > 1.0 + 3.3 * sqrt(2.0 / freedom))
            worst = fmax(worst, value);
    }
    return worst;
}

static int measure_counts(struct view *view, const struct est_pins *pins, struct span span, struct est_baseline *baseline)
{
    const struct est_series *series = view->series;
    double planned = 0.0, bad = 0.0;

    if (series->kind == EST_QUANTILE) {
        int rc = pooled_latency(view, span, pins->band, baseline);

        if (rc < 0)
            return rc;
    } else {
        view_count_bad(view, NAN);
    }
    for (size_t i = span.from; i < span.to; i++) {
        planned += (double)series->planned[i];
        bad += (double)view->bad[i];
    }
    baseline->planned = (uint64_t)planned;
    baseline->bad = (uint64_t)bad;
    view->bad_share = planned > 0.0 ? bad / planned : NAN;
    view->planned_per_bin = span.to > span.from ? planned / (double)(span.to - span.from) : 0.0;
    view->baseline_planned = planned;
    view->bad_share_high = share_high(view, bad, planned, pins->band);
    view->band = series->kind == EST_QUANTILE ? 1.0 - series->quantile - view->bad_share : pins->band;
    if (series->kind == EST_RATIO)
        baseline->level = series->direction == EST_HIGHER_BETTER ? 1.0 - view->bad_share : view->bad_share;
    view_set_level(view, baseline->level);
    view_index(view);
    view->dispersion = measure_dispersion(view, span);
    return 0;
}

static int measure_values(struct view *view, const struct est_pins *pins, struct span span, struct est_baseline *baseline)
{
    double *value = malloc((span.to - span.from + 1) * sizeof(*value));
    size_t known = 0;

    if (value == NULL)
        return -ENOMEM;
    for (size_t i = span.from; i < span.to; i++) {
        if (isfinite(view->series->value[i]))
            value[known++] = view->series->value[i];
    }
    baseline->level = stats_median(value, known);
    free(value);
    view->band = pins->band;
    view_set_level(view, baseline->level);
    view_index(view);
    return 0;
}

/* Variance of a base bin about the trend times what autocorrelation makes of it: the trend itself must not count as noise. */
static int trend_variance(const struct view *view, struct span span, double slope, double centre, double *ret_variance)
{
    size_t count = span.to - span.from;
    double *flat = malloc((count + 1) * sizeof(*flat));
    struct noise noise;
    int rc;

    if (flat == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        flat[i] = view->deviation[span.from + i] - slope * ((double)(span.from + i) + 0.5 - centre);
    rc = noise_measure(flat, count, &noise);
    free(flat);
    if (rc < 0)
        return rc;
    *ret_variance = noise.sigma * noise.sigma * noise_shrink(&noise, count) * (double)count;
    noise_done(&noise);
    return 0;
}

/* Change over the window by least squares, in the band's unit (counted: share of bad requests), and whether chance explains it. */
static int measure_drift(const struct view *view, struct span span, double *ret_drift, bool *ret_certain)
{
    double weight = 0.0, centre = 0.0, cross = 0.0, square = 0.0, length = (double)(span.to - span.from), variance;

    for (size_t i = span.from; i < span.to; i++) {
        double one = view->weight[i + 1] - view->weight[i];

        weight += one;
        centre += one * ((double)i + 0.5);
    }
    centre /= weight;
    for (size_t i = span.from; i < span.to; i++) {
        double one = view->weight[i + 1] - view->weight[i], at = (double)i + 0.5 - centre;
        double up = view->sum[i + 1] - view->sum[i] - (view->counted ? view->bad_share * one : 0.0);

        cross += up * at;
        square += one * at * at;
    }
    *ret_drift = 0.0;
    *ret_certain = false;
    if (!(square > 0.0))
        return 0;
    *ret_drift = length * cross / square;
    variance = view->bad_share_high * (1.0 - view->bad_share_high) * view->dispersion;
    if (!view->counted) {
        int rc = trend_variance(view, span, cross / square, centre, &variance);

        if (rc < 0)
            return rc;
    }
    *ret_certain = fabs(*ret_drift) > DRIFT_SIGMAS * length * sqrt(variance / square);
    return 0;
}

/* Does `half` leave the band, as judged by the noise of `other`? A dip must not be excused by the noise that it makes itself, so
 * each half is judged by the far quarter: no single dip lies in both. */
static int half_leaves_band(const struct view *view, struct span half, struct span other, bool *ret_leaves)
{
    struct view trial = *view; /* borrows the arrays: only shares, clip and what is indexed from them change */
    size_t limit = (half.to - half.from) / 4;
    struct excursions excursions;
    struct noise noise;
    struct band band;
    double planned, bad;
    int rc = noise_measure(view->deviation + other.from, other.to - other.from, &noise);

    if (rc < 0)
        return rc;
    view_clip(&trial, noise_reach(view, &noise));
    noise.clip = trial.clip;
    if (view->counted) {
        planned = view->weight[other.to] - view->weight[other.from];
        bad = view->sum[other.to] - view->sum[other.from];
        trial.band += trial.bad_share - bad / planned; /* the limit stays where it was */
        trial.bad_share = bad / planned;
        trial.bad_share_high = share_high(view, bad, planned, trial.band);
        trial.dispersion = measure_dispersion(&trial, other);
    }
    rc = band_find(&trial, &noise, half.to - half.from, limit > 0 ? limit : 1, &band);
    if (rc == 0)
        rc = excursions_find(&trial, &noise, &band, half, &excursions);
    noise_done(&noise);
    if (rc < 0)
        return rc;
    *ret_leaves = excursions.count > 0;
    excursions_done(&excursions);
    return 0;
}

static const char *find_fault(const struct view *view, const struct est_pins *pins, struct span span,
                              struct est_baseline *baseline, int *rc)
{
    double length = (double)(span.to - span.from);
    double needed = est_baseline_needed_s(pins->rigour, view->series->bin_s, pins->hold_s);
    struct span first = {.from = span.from, .to = span.from + (span.to - span.from) / 2};
    struct span second = {.from = first.to, .to = span.to};
    size_t quarter = (span.to - span.from) / 4;
    struct span head = {.from = span.from, .to = span.from + quarter}, tail = {.from = span.to - quarter, .to = span.to};
    bool certain, early = false, late = false;

    if (length * view->series->bin_s < LENGTH_SLACK * needed)
        return "the baseline is too short for this rigour and hold";
    if ((double)baseline->known < KNOWN_SHARE_MIN * length)
        return "the baseline has holes: more than a tenth of it is unknown";
    if (!(view->unit > 0.0) || !isfinite(view->unit))
        return "the baseline level is zero or unknown, so a relative band means nothing";
    if (view->counted && view->series->kind == EST_RATIO && view->bad_share + view->band >= 1.0)
        return "nearly every request already fails in the baseline";
    *rc = measure_drift(view, span, &baseline->drift, &certain);
    if (*rc < 0)
        return NULL;
    if (fabs(baseline->drift) > view->band && certain)
        return "the baseline drifts by more than the band";
    *rc = half_leaves_band(view, first, tail, &early);
    if (*rc == 0)
        *rc = half_leaves_band(view, second, head, &late);
    return *rc == 0 && (early || late) ? "the baseline leaves its own band" : NULL;
}

int baseline_resolvable(const struct view *view, const struct noise *noise, const struct est_baseline *baseline, double band,
                        size_t observed, size_t limit, double *ret_band)
{
    struct view wider = *view; /* borrows all arrays: only the limits change */
    struct span events = view_events(view->series, baseline->start_s, baseline->end_s);
    struct band found = {.resolved = false};

    while (!found.resolved && band < RESOLVABLE_MAX) {
        double bad = 0.0;
        int rc;

        band *= RESOLVABLE_STEP;
        wider.bad_latency = est_latency_code(view->level * (1.0 + band));
        for (size_t i = events.from; i < events.to; i++)
            bad += view_event_bad(&wider, &view->series->event[i]) ? 1.0 : 0.0;
        wider.bad_share = bad / view->baseline_planned;
        wider.band = 1.0 - view->series->quantile - wider.bad_share;
        wider.bad_share_high = share_high(view, bad, view->baseline_planned, band);
        rc = band_find(&wider, noise, observed, limit, &found);
        if (rc < 0)
            return rc;
    }
    *ret_band = found.resolved ? band : NAN;
    return 0;
}

int baseline_measure(struct view *view, const struct est_pins *pins, const struct est_instants *instants,
                     struct est_baseline *ret_baseline, struct noise *ret_noise, const char **ret_reason)
{
    struct est_baseline baseline = {.level = NAN, .sigma = NAN, .drift = NAN, .start_s = instants->baseline_start_s};
    struct noise noise;
    struct span span;
    const char *reason;
    int rc;

    baseline.end_s = instants->baseline_end_s;
    if (isnan(baseline.end_s))
        baseline.end_s = instants->inject_s - fmin(1.0, EDGE_TRIM * (instants->inject_s - baseline.start_s));
    span = view_span(view->series, baseline.start_s, baseline.end_s);
    baseline.bins = span.to - span.from;
    rc = view->counted ? measure_counts(view, pins, span, &baseline) : measure_values(view, pins, span, &baseline);
    if (rc < 0)
        return rc;
    baseline.known = count_known(view, span);
    rc = noise_measure(view->deviation + span.from, baseline.bins, &noise);
    if (rc < 0)
        return rc;
    view_clip(view, noise_reach(view, &noise));
    noise.clip = view->clip;
    baseline.sigma = noise.sigma;
    if (view->counted && view->planned_per_bin > 0.0)
        baseline.sigma = sqrt(view->bad_share_high * (1.0 - view->bad_share_high) / view->planned_per_bin);
    baseline.block_bins = noise.lags;
    reason = find_fault(view, pins, span, &baseline, &rc);
    view_index(view);
    if (rc < 0) {
        noise_done(&noise);
        return rc;
    }
    *ret_baseline = baseline;
    *ret_noise = noise;
    *ret_reason = reason;
    return 0;
}
