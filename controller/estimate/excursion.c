/* Finding excursions; see excursion.h.
 *
 * Where a zone of pairs of windows beyond the threshold was found, the excursion is the part of it with the largest sum of
 * (deviation - band), carried on to both sides while that sum still grows. The end of that part is where an isotonic fit of the
 * recovery crosses the band (the switch relation: the inverse of an isotonic fit at c is the extreme point of the cumulative sum
 * of x - c; tests/unit/test_estimate_stats.c checks it against the fit), and its start is the CUSUM's last zero. */
#include "controller/estimate/excursion.h"

#include "controller/estimate/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GOOD_TAIL 0.01 /* a gap is good when a signal at the edge of the band would look so good with at most this probability */
#define REACH_REQUESTS 6.0 /* neighbours of an edge to look at when requests are rarer than bins */

void excursions_done(struct excursions *excursions)
{
    free(excursions->item);
    *excursions = (struct excursions){0};
}

static int append(struct excursions *excursions, struct span span)
{
    if (excursions->count == EXCURSIONS_MAX) {
        struct excursion *last = &excursions->item[EXCURSIONS_MAX - 1];

        last->from = span.from < last->from ? span.from : last->from;
        last->to = span.to > last->to ? span.to : last->to;
        return 0;
    }
    if (excursions->count == excursions->capacity) {
        size_t capacity = excursions->capacity == 0 ? 16 : 2 * excursions->capacity;
        struct excursion *grown = realloc(excursions->item, capacity * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        excursions->item = grown;
        excursions->capacity = capacity;
    }
    excursions->item[excursions->count++] = (struct excursion){.from = span.from, .to = span.to};
    return 0;
}

bool excursion_gap_is_good(const struct view *view, const struct noise *noise, size_t from, size_t to)
{
    double weight, limit, mean;

    if (to < from + 2)
        return false;
    weight = view->weight[to] - view->weight[from];
    if (weight <= 0.0)
        return false;
    if (view->counted) {
        double bad = view->sum[to] - view->sum[from];

        limit = view->bad_share + view->band;
        return 1.0 - stats_binomial_tail(bad + 1.0, weight, limit) <= GOOD_TAIL;
    }
    mean = view_mean(view, from, to, 0.5);
    limit = noise->sigma * noise->sigma * noise_shrink(noise, to - from);
    limit += view->band * (1.0 - view->band) * view->quantum / weight; /* shot noise of a signal at the edge of the band */
    return !isnan(mean) && mean + 2.0 * sqrt(limit) < view->band;
}

/* The part of `zone` with the largest excess; the whole zone when nothing in it exceeds the band. */
static struct span densest(const struct view *view, struct span zone)
{
    struct span best = zone;
    double sum = 0.0, most = 0.0;
    size_t from = zone.from;

    for (size_t i = zone.from; i < zone.to; i++) {
        if (sum <= 0.0) {
            sum = 0.0;
            from = i;
        }
        sum += view_excess(view, i, i + 1);
        if (sum > most) {
            most = sum;
            best = (struct span){.from = from, .to = i + 1};
        }
    }
    return best;
}

/* Carries both edges on while the excess still reaches new heights within `reach` bins. */
static struct span carry_on(const struct view *view, struct span found, struct span within, size_t reach)
{
    double sum = 0.0, most = 0.0;

    for (size_t i = found.to; i < within.to && i - found.to < reach && !view->masked[i]; i++) {
        sum += view_excess(view, i, i + 1);
        if (sum > most) {
            most = sum;
            found.to = i + 1;
        }
    }
    sum = most = 0.0;
    for (size_t i = found.from; i > within.from && found.from - i < reach && !view->masked[i - 1]; i--) {
        sum += view_excess(view, i - 1, i);
        if (sum > most) {
            most = sum;
            found.from = i - 1;
        }
    }
    return found;
}

static int by_start(const void *left, const void *right)
{
    const struct excursion *a = left, *b = right;

    return (a->from > b->from) - (a->from < b->from);
}

/* Orders the excursions and joins neighbours whose gap shows no evidence of being good. */
static void join(const struct view *view, const struct noise *noise, struct excursions *excursions)
{
    size_t kept = 0;

    if (excursions->count < 2)
        return;
    qsort(excursions->item, excursions->count, sizeof(*excursions->item), by_start);
    for (size_t i = 1; i < excursions->count; i++) {
        struct excursion *last = &excursions->item[kept], *next = &excursions->item[i];

        if (next->from <= last->to || !excursion_gap_is_good(view, noise, last->to, next->from))
            last->to = next->to > last->to ? next->to : last->to;
        else
            excursions->item[++kept] = *next;
    }
    excursions->count = kept + 1;
}

static void mask(struct view *view, const struct excursions *excursions)
{
    for (size_t i = 0; i < excursions->count; i++)
        memset(view->masked + excursions->item[i].from, 1, excursions->item[i].to - excursions->item[i].from);
    view_index(view);
}

/* The next zone at or after `from` where neighbouring windows are out together; empty at the end of `span`. */
static struct span next_zone(const struct view *view, const struct scale *scale, struct span span, size_t from)
{
    struct span zone = {.from = span.to, .to = span.to};
    size_t width = scale->width;

    for (size_t i = from; i + 2 * width <= span.to; i++) {
        if (zone.from < zone.to && i > zone.to)
            break;
        if (!band_is_out(view, scale, i) || !band_is_out(view, scale, i + width))
            continue;
        if (zone.from == zone.to)
            zone.from = i;
        zone.to = i + 2 * width;
    }
    return zone;
}

static int scan(const struct view *view, const struct scale *scale, struct span span, struct excursions *excursions)
{
    struct span zone = next_zone(view, scale, span, span.from);
    size_t apart = view_bins_of(view, REACH_REQUESTS);
    size_t reach = 2 * scale->width > apart ? 2 * scale->width : apart;

    while (zone.from < zone.to) {
        int rc = append(excursions, carry_on(view, densest(view, zone), span, reach));

        if (rc < 0)
            return rc;
        zone = next_zone(view, scale, span, zone.to);
    }
    return 0;
}

int excursions_find(struct view *view, const struct noise *noise, const struct band *band, struct span span,
                    struct excursions *ret_excursions)
{
    struct excursions found = {0};
    int rc = 0;

    memset(view->masked, 0, view->bins);
    view_index(view);
    for (size_t i = 0; i < band->scales && rc == 0; i++) {
        size_t before = found.count;

        rc = scan(view, &band->scale[i], span, &found);
        if (rc < 0 || found.count == before)
            continue;
        memset(view->masked, 0, view->bins);
        view_index(view);
        join(view, noise, &found);
        mask(view, &found);
    }
    memset(view->masked, 0, view->bins);
    view_index(view);
    if (rc < 0) {
        excursions_done(&found);
        return rc;
    }
    *ret_excursions = found;
    return 0;
}
