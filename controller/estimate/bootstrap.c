/* Block bootstrap of the convergence instant; see bootstrap.h. */
#include "controller/estimate/bootstrap.h"

#include "controller/estimate/counts.h"
#include "controller/estimate/isotonic.h"
#include "controller/estimate/stats.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define COARSE_BINS_MIN 200.0  /* a law is fitted as well to this many bins ... */
#define COARSE_CROSSING 12.0   /* ... when this many of them lie before its crossing */

#define COUNTS_REACH 1.15      /* the same requests chose where the fit starts, which the draws do not repeat: calibrated on other seeds than the suite's */
#define GAUSSIAN_FROM 100.0    /* expected of the rarer outcome */

enum { REPLICATES = 400, REACH_MAX = 1500 }; /* bins or requests on either side of the edge */

static void interval_of(double *instant, const struct view *view, double estimate_s, struct est_interval *ret_interval)
{
    double bin = view->series->bin_s;

    ret_interval->low = stats_quantile(instant, REPLICATES, 0.025);
    ret_interval->high = instant[REPLICATES - (size_t)(0.025 * REPLICATES)];
    ret_interval->low = fmin(ret_interval->low, estimate_s - bin);
    ret_interval->high = fmax(ret_interval->high, estimate_s + bin);
}

/* Lays blocks of baseline noise over `fit`. */
static void draw_values(const struct noise *noise, const double *fit, size_t count, uint64_t seed, uint64_t replicate,
                        double *drawn)
{
    uint64_t hash = rng_hash("estimate.bootstrap");
    size_t block = noise->lags < noise->count ? noise->lags : noise->count, at = 0;

    for (size_t i = 0; i < count; i++) {
        if (i % block == 0)
            at = (size_t)rng_below(rng_draw(seed, hash, replicate, i / block), noise->count);
        drawn[i] = fit[i] + noise->value[(at + i % block) % noise->count]; /* NaN stays NaN: a hole in the noise is a hole here */
    }
}

/* A standard normal draw (Box and Muller): number `at` of a stream of its own. */
static double draw_normal(uint64_t seed, uint64_t replicate, uint64_t at)
{
    uint64_t hash = rng_hash("estimate.bootstrap.level");
    double radius = sqrt(-2.0 * log1p(-rng_unit(rng_draw(seed, hash, replicate, 2 * at))));

    return radius * cos(6.283185307179586 * rng_unit(rng_draw(seed, hash, replicate, 2 * at + 1)));
}

/* What is estimated again from each drawn recovery: bins [from, from + count) about a fit. */
struct recovery {
    size_t from, count;
    double *fit, *drawn;      /* [count] each, inside one block */
    struct relax_work *relax; /* NULL: by the isotonic crossing */
    size_t coarse;            /* bins that are drawn together into one for the laws, >= 1 */
    double chance;            /* of a coarse fit; see relax_fit */
    double shift;             /* in bins, from what the fit crosses at to the estimate */
};

/* Replaces each `coarse` values by the mean of the known ones, in place. Returns how many are left. */
static size_t coarsen(double *value, size_t count, size_t coarse)
{
    size_t left = count / coarse;

    for (size_t i = 0; coarse > 1 && i < left; i++) {
        double sum = 0.0, known = 0.0;

        for (size_t j = i * coarse; j < (i + 1) * coarse; j++) {
            if (isnan(value[j]))
                continue;
            sum += value[j];
            known += 1.0;
        }
        value[i] = known > 0.0 ? sum / known : NAN;
    }
    return left;
}

static double instant_of(const struct view *view, const struct recovery *recovery)
{
    double gain, at = (double)isotonic_crossing(recovery->drawn, recovery->count, view->band);

    if (recovery->relax != NULL) {
        const struct relax_data data = {.deviation = recovery->drawn,
                                        .count = coarsen(recovery->drawn, recovery->count, recovery->coarse)};
        struct relax relax = relax_fit(recovery->relax, &data, view->band, recovery->chance, &gain);

        if (relax.law != RELAX_NONE)
            at = relax.crossing * (double)recovery->coarse;
    }
    return view->series->start_s + ((double)recovery->from + at + recovery->shift) * view->series->bin_s;
}

/* The level is known to its standard error only: each replicate has one of its own. */
static void replicate(const struct view *view, const struct noise *noise, const struct recovery *recovery, uint64_t seed, double *instant)
{
    for (size_t i = 0; i < REPLICATES; i++) {
        double shift = noise->se_level * draw_normal(seed, i, 0);

        draw_values(noise, recovery->fit, recovery->count, seed, i, recovery->drawn);
        for (size_t j = 0; j < recovery->count; j++)
            recovery->drawn[j] += shift;
        instant[i] = instant_of(view, recovery);
    }
}

/* The isotonic fit from the worst bin on. */
static int bootstrap_isotonic(const struct view *view, const struct noise *noise, const struct excursion *excursion, size_t until,
                              uint64_t seed, double *instant)
{
    size_t from = excursion->to - excursion->from > REACH_MAX ? excursion->to - REACH_MAX : excursion->from;
    size_t to = until - excursion->to > REACH_MAX ? excursion->to + REACH_MAX : until;
    struct recovery recovery = {.from = from};
    AUTO_FREE double *memory = NULL;

    for (size_t i = from; i < excursion->to; i++) {
        if (view->deviation[i] > view->deviation[recovery.from] || isnan(view->deviation[recovery.from]))
            recovery.from = i;
    }
    recovery.count = to - recovery.from;
    memory = malloc(4 * (recovery.count + 1) * sizeof(*memory));
    if (memory == NULL)
        return -ENOMEM;
    recovery.fit = memory;
    recovery.drawn = memory + recovery.count;
    isotonic_falling(view->deviation + recovery.from, recovery.count, memory + 2 * recovery.count, recovery.fit);
    replicate(view, noise, &recovery, seed, instant);
    return 0;
}

static int bootstrap_law(const struct view *view, const struct noise *noise, const struct excursion *excursion, uint64_t seed,
                         double *instant)
{
    struct recovery recovery = {.from = excursion->fitted.from, .count = excursion->fitted.to - excursion->fitted.from};
    AUTO_FREE double *memory = NULL;
    struct relax_work work;

    memory = malloc(2 * (recovery.count + 1) * sizeof(*memory));
    if (memory == NULL || relax_work_init(&work, recovery.count) < 0)
        return -ENOMEM;
    recovery.fit = memory;
    recovery.drawn = memory + recovery.count;
    recovery.relax = &work;
    recovery.coarse = (size_t)fmax(fmin((double)recovery.count / COARSE_BINS_MIN, excursion->relax.crossing / COARSE_CROSSING), 1.0);
    recovery.chance = excursion->relax.chance / (double)recovery.coarse;
    recovery.shift = excursion->relax.crossing - excursion->relax.own;
    for (size_t i = 0; i < recovery.count; i++) {
        bool known = !isnan(view->deviation[recovery.from + i]);

        recovery.fit[i] = known ? relax_value(&excursion->relax, (double)i + 0.5) : NAN;
    }
    replicate(view, noise, &recovery, seed, instant);
    relax_work_done(&work);
    return 0;
}

/* The share of `n` requests that are bad when each is with probability `share`: their number by leaps from one of the rarer outcome to the
 * next, or where that takes long by its Gaussian limit. `draws` counts what was taken from the stream. */
static double draw_share(double n, double share, uint64_t seed, uint64_t replicate, uint64_t *draws)
{
    uint64_t hash = rng_hash("estimate.bootstrap");
    double rare = fmin(share, 1.0 - share), leap = log1p(-rare), seen = 0.0, at = 0.0;

    if (!(n > 0.0) || rare <= 0.0)
        return share;
    if (n * rare > GAUSSIAN_FROM)
        return share + sqrt(share * (1.0 - share) / n) * draw_normal(seed, replicate, ++*draws);
    for (;; seen += 1.0) {
        at += 1.0 + floor(log1p(-rng_unit(rng_draw(seed, hash, replicate, (*draws)++))) / leap);
        if (at > n)
            break;
    }
    return share > 0.5 ? 1.0 - seen / n : seen / n;
}

/* Requests drawn afresh from the shares of their law, and the law fitted again; the baseline's share has its own error. */
static int bootstrap_counts(const struct view *view, const struct excursion *excursion, uint64_t seed, double *instant)
{
    const struct relax *law = &excursion->relax;
    double bins = (double)(excursion->fitted.to - excursion->fitted.from);
    double width = fmax(fmin(bins / COARSE_BINS_MIN, law->crossing / COARSE_CROSSING), 1.0);
    double level = sqrt(view->dispersion * view->bad_share * (1.0 - view->bad_share) / fmax(view->baseline_planned, 1.0));
    double from_s = view_time_s(view, excursion->fitted.from), over = sqrt(view->dispersion);
    struct counts counts;

    width = fmax(width, bins / COUNTS_GROUPS_MAX);
    if (counts_init(&counts) < 0) {
        counts_done(&counts);
        return -ENOMEM;
    }
    counts_group(&counts, view, excursion->fitted, (size_t)ceil(width));
    counts_weigh(&counts, view, law);
    for (size_t r = 0; r < REPLICATES; r++) {
        double shift = level * draw_normal(seed, r, 0) - view->bad_share, gain;
        uint64_t draws = 0;
        struct relax relax;

        for (size_t i = 0; i < counts.groups; i++) {
            double share = counts.share[i], drawn = draw_share(counts.planned[i], share, seed, r, &draws);

            counts.deviation[i] = counts.planned[i] > 0.0 ? share + over * (drawn - share) + shift : NAN;
        }
        relax = counts_fit(&counts, view, &gain);
        instant[r] = excursion->to_s;
        if (relax.law != RELAX_NONE)
            instant[r] += COUNTS_REACH * (from_s + (relax.crossing + law->crossing - law->own) * view->series->bin_s - excursion->to_s);
    }
    counts_done(&counts);
    return 0;
}

/* Which law it is errs beside what the noise does to one: the two are independent, so their reaches add as squares. Not where a line was
 * chosen, the end of the family: there it was this noise that hid the tail of a rounded fall, and the reaches add as they are. */
static void span_laws(const struct view *view, const struct excursion *excursion, struct est_interval *interval)
{
    const struct relax *law = &excursion->relax;
    double bin = view->series->bin_s, estimate_s = excursion->to_s;
    double low = bin * (law->crossing - law->crossing_low), high = bin * (law->crossing_high - law->crossing);

    if (law->law == RELAX_LINE) {
        interval->low -= low;
        interval->high += high;
        return;
    }
    interval->low = estimate_s - hypot(estimate_s - interval->low, low);
    interval->high = estimate_s + hypot(interval->high - estimate_s, high);
}

static int bootstrap_values(const struct view *view, const struct noise *noise, const struct excursion *excursion, size_t until,
                            uint64_t seed, struct est_interval *ret_interval)
{
    bool law = excursion->relax.law > RELAX_SUDDEN;
    double instant[REPLICATES];
    int rc;

    if (law && view->counted)
        rc = bootstrap_counts(view, excursion, seed, instant);
    else if (law)
        rc = bootstrap_law(view, noise, excursion, seed, instant);
    else
        rc = bootstrap_isotonic(view, noise, excursion, until, seed, instant);
    if (rc == 0)
        interval_of(instant, view, excursion->to_s, ret_interval);
    if (rc == 0 && law)
        span_laws(view, excursion, ret_interval);
    return rc;
}

/* Shares of bad requests along the recovery: the isotonic fit, which a sudden edge leaves with two levels. */
static void fit_shares(const unsigned char *bad, size_t count, double *memory, double *ret_share)
{
    double *value = memory + 2 * count;

    for (size_t i = 0; i < count; i++)
        value[i] = (double)bad[i];
    isotonic_falling(value, count, memory, ret_share);
}

/* Draws each request bad with its share. A fit is constant over long blocks, so the rarer outcome is found by geometric leaps. */
static void draw_requests(const double *share, size_t count, uint64_t seed, uint64_t replicate, unsigned char *bad)
{
    uint64_t hash = rng_hash("estimate.bootstrap"), draws = 0;

    for (size_t from = 0, to; from < count; from = to) {
        bool mostly_bad = share[from] > 0.5;
        double rare = mostly_bad ? 1.0 - share[from] : share[from], at = (double)from;

        for (to = from; to < count && share[to] == share[from]; to++)
            bad[to] = mostly_bad;
        while (rare > 0.0) {
            at += floor(log1p(-rng_unit(rng_draw(seed, hash, replicate, draws++))) / log1p(-rare));
            if (at >= (double)to)
                break;
            bad[(size_t)at] = !mostly_bad;
            at += 1.0;
        }
    }
}

static int bootstrap_requests(const struct view *view, const struct excursion *excursion, double until_s, uint64_t seed,
                              struct est_interval *ret_interval)
{
    const struct est_series *series = view->series;
    struct edge_model model = edge_model_of(view, excursion);
    struct span before = view_events(series, excursion->from_s, excursion->to_s);
    struct span after = view_events(series, excursion->to_s, until_s);
    size_t from = before.to - before.from > REACH_MAX ? before.to - REACH_MAX : before.from;
    size_t to = after.to - after.from > REACH_MAX ? after.from + REACH_MAX : after.to, count = to - from;
    AUTO_FREE unsigned char *bad = malloc(count + 1);
    AUTO_FREE double *memory = malloc((4 * count + 1) * sizeof(*memory));
    double instant[REPLICATES], *share;

    if (bad == NULL || memory == NULL)
        return -ENOMEM;
    share = memory + 3 * count;
    for (size_t i = 0; i < count; i++)
        bad[i] = view_event_bad(view, &series->event[from + i]);
    fit_shares(bad, count, memory, share);
    for (size_t r = 0; r < REPLICATES; r++) {
        size_t taken;

        draw_requests(share, count, seed, r, bad);
        taken = edge_search(bad, count, 0, count, &model);
        instant[r] = excursion->to_s;
        if (taken > 0 && taken < count)
            instant[r] = 0.5 * (view_event_s(series, from + taken - 1) + view_event_s(series, from + taken));
    }
    interval_of(instant, view, excursion->to_s, ret_interval);
    ret_interval->low = fmin(ret_interval->low, excursion->to_low_s);
    ret_interval->high = fmax(ret_interval->high, excursion->to_high_s);
    return 0;
}

int bootstrap_end(const struct view *view, const struct noise *noise, const struct excursion *excursion, double until_s,
                  uint64_t seed, struct est_interval *ret_interval)
{
    size_t until = view_span(view->series, view->series->start_s, until_s).to;

    if (view->counted && view->series->event != NULL && excursion->relax.law == RELAX_NONE)
        return bootstrap_requests(view, excursion, until_s, seed, ret_interval);
    return bootstrap_values(view, noise, excursion, until > excursion->to ? until : excursion->to, seed, ret_interval);
}
