/* Placing edges request by request; see edge.h. Values, and gradual recoveries of requests, are placed by tail.c.
 *
 * The isotonic crossing treats each lone failure near the edge as part of the excursion: with a band of 5 % one failure outweighs
 * the nineteen good requests before it. For a gradual recovery that is the definition. For a sudden one it is a bias of many
 * bins whenever the baseline has errors of its own, so the likelihood of a sudden change is asked too, and believed when the
 * requests between the two answers look like the baseline. */
#include "controller/estimate/edge.h"

#include "controller/estimate/stats.h"
#include "controller/estimate/tail.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define STRAY_TAIL 0.001 /* failures this unlikely in the baseline are part of the excursion */

enum { LOCAL_REQUESTS = 64 };

/* Largest cumulative score in [least, most]; the first of equals. */
static size_t best_prefix(const unsigned char *bad, size_t count, size_t least, size_t most, double score_bad, double score_good)
{
    double sum = 0.0, best = -INFINITY;
    size_t at = least;

    for (size_t k = 0; k <= count && k <= most; k++) {
        if (k >= least && sum > best) {
            best = sum;
            at = k;
        }
        if (k < count)
            sum += bad[k] ? score_bad : score_good;
    }
    return at;
}

/* The likeliest number of requests before a sudden change from one share to the other. */
static size_t likeliest(const unsigned char *bad, size_t count, size_t most, double share_out, double share_in)
{
    return best_prefix(bad, count, 0, most, log(share_out / share_in), log((1.0 - share_out) / (1.0 - share_in)));
}

/* Share of bad ones just before `end`, which lies behind a bad one: that one is left out. */
static double last_share(const unsigned char *bad, size_t end)
{
    size_t from = end > LOCAL_REQUESTS ? end - LOCAL_REQUESTS : 0;
    double seen = 0.0;

    for (size_t i = from; i + 1 < end; i++)
        seen += bad[i];
    return end > from + 1 ? seen / (double)(end - from - 1) : 1.0;
}

size_t edge_search(const unsigned char *bad, size_t count, size_t least, size_t most, const struct edge_model *model)
{
    size_t crossing = best_prefix(bad, count, least, most, 1.0 - model->limit, -model->limit), sudden;
    double stray = 0.0, local;

    if (model->share_out <= model->limit)
        return crossing;
    sudden = likeliest(bad, count, most, model->share_out, model->share_in);
    local = last_share(bad, sudden); /* it may have come back in steps: what counts is the last */
    if (local > model->limit && local < model->share_out)
        sudden = likeliest(bad, count, most, local, model->share_in);
    if (sudden >= crossing)
        return crossing;
    for (size_t i = sudden; i < crossing; i++)
        stray += bad[i];
    if (stats_binomial_tail(stray, (double)(crossing - sudden), model->share_in_high) > STRAY_TAIL)
        return sudden;
    return crossing;
}

struct edge_model edge_model_of(const struct view *view, const struct excursion *excursion)
{
    double planned = view->weight[excursion->to] - view->weight[excursion->from];
    double bad = view->sum[excursion->to] - view->sum[excursion->from];

    return (struct edge_model){
        .limit = view->bad_share + view->band,
        .share_out = (bad + 0.5) / (planned + 1.0),
        .share_in = fmax(0.5 * (view->bad_share + view->bad_share_high), 1e-9),
        .share_in_high = view->bad_share_high,
    };
}

/* The requests of an excursion and a little beyond, outwards from its far side. */
struct walk {
    unsigned char *bad; /* owned */
    struct span events;
    bool backwards;
};

static size_t walk_event(const struct walk *walk, size_t step)
{
    return walk->backwards ? walk->events.to - 1 - step : walk->events.from + step;
}

static int walk_begin(const struct view *view, double from_s, double to_s, bool backwards, struct walk *ret_walk)
{
    struct walk walk = {.events = view_events(view->series, from_s, to_s), .backwards = backwards};
    size_t count = walk.events.to - walk.events.from;

    walk.bad = malloc(count + 1);
    if (walk.bad == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        walk.bad[i] = view_event_bad(view, &view->series->event[walk_event(&walk, i)]);
    *ret_walk = walk;
    return 0;
}

/* Steps of the walk that lie before `at_s`, in the walk's direction. */
static size_t walk_steps_to(const struct view *view, const struct walk *walk, double at_s)
{
    struct span before = view_events(view->series, walk->backwards ? at_s : view_event_s(view->series, walk->events.from),
                                     walk->backwards ? INFINITY : at_s);
    size_t from = before.from > walk->events.from ? before.from : walk->events.from;
    size_t to = before.to < walk->events.to ? before.to : walk->events.to;

    return to > from ? to - from : 0;
}

/* One edge: bracketed by the last request that belongs to the excursion and the next that does not. */
static int place_one(const struct view *view, const struct excursion *excursion, double outer_s, bool backwards,
                     double ret_bracket[2])
{
    const struct est_series *series = view->series;
    double slack = series->bin_s * (1.0 + (double)view_bins_of(view, 1.0));
    double near_s = view_time_s(view, backwards ? excursion->from : excursion->to);
    double far_s = view_time_s(view, backwards ? excursion->to : excursion->from);
    double beyond_s = backwards ? fmax(near_s - slack, outer_s) : fmin(near_s + slack, outer_s);
    struct edge_model model = edge_model_of(view, excursion);
    struct walk walk;
    size_t count, taken, least;
    int rc = walk_begin(view, fmin(far_s, beyond_s), fmax(far_s, beyond_s), backwards, &walk);

    if (rc < 0)
        return rc;
    count = walk.events.to - walk.events.from;
    ret_bracket[0] = ret_bracket[1] = near_s;
    if (count > 0) {
        least = walk_steps_to(view, &walk, backwards ? near_s + slack : near_s - slack);
        taken = edge_search(walk.bad, count, least, count, &model);
        ret_bracket[0] = taken > 0 ? view_event_s(series, walk_event(&walk, taken - 1)) : far_s;
        if (taken < count)
            ret_bracket[1] = view_event_s(series, walk_event(&walk, taken));
        else if (!backwards && walk.events.to < series->events)
            ret_bracket[1] = fmin(view_event_s(series, walk.events.to), outer_s);
        else if (backwards && walk.events.from > 0)
            ret_bracket[1] = fmax(view_event_s(series, walk.events.from - 1), outer_s);
        else
            ret_bracket[1] = beyond_s;
    }
    free(walk.bad);
    return 0;
}

static int place_excursion(const struct view *view, struct excursion *excursion, double earliest_s, double latest_s)
{
    double bin = view->series->bin_s, right[2], left[2];
    int rc = 0;

    excursion->from_s = view_time_s(view, excursion->from);
    excursion->to_low_s = excursion->to_s - bin;
    excursion->to_high_s = excursion->to_s + bin;
    if (!view->counted || view->series->event == NULL)
        return 0;
    right[0] = right[1] = excursion->to_s;
    if (excursion->relax.law == RELAX_NONE)
        rc = place_one(view, excursion, latest_s, false, right);
    if (rc == 0)
        rc = place_one(view, excursion, earliest_s, true, left);
    if (rc < 0)
        return rc;
    excursion->from_s = fmax(0.5 * (left[0] + left[1]), earliest_s);
    excursion->to_s = fmin(fmax(0.5 * (right[0] + right[1]), excursion->from_s), latest_s);
    excursion->to_low_s = right[0];
    excursion->to_high_s = right[1];
    return 0;
}

int edges_place(const struct view *view, const struct noise *noise, struct excursions *found, struct span span)
{
    int rc = tails_place(view, noise, found, span.to);

    for (size_t i = 0; rc == 0 && i < found->count; i++) {
        double earliest_s = i > 0 ? found->item[i - 1].to_s : view_time_s(view, span.from);
        double latest_s = view_time_s(view, i + 1 < found->count ? found->item[i + 1].from : span.to);

        rc = place_excursion(view, &found->item[i], earliest_s, latest_s);
    }
    return rc;
}
