/* The hold; see hold.h. */
#include "controller/estimate/hold.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

void gaps_done(struct gaps *gaps)
{
    free(gaps->item);
    *gaps = (struct gaps){0};
}

int gaps_find(const struct view *view, struct span span, size_t shortest, struct gaps *ret_gaps)
{
    struct gaps gaps = {.item = malloc(((span.to - span.from) / shortest + 1) * sizeof(*gaps.item))};
    size_t run = 0, unknown = 0;
    size_t tolerated = view_bins_of(view, GAP_REQUESTS);

    if (gaps.item == NULL)
        return -ENOMEM;
    for (size_t i = span.from; i <= span.to; i++) {
        bool empty = i < span.to && (view->counted ? view->series->planned[i] == 0 : isnan(view->deviation[i]));

        if (empty) {
            run++;
            continue;
        }
        if (run >= tolerated)
            unknown += run;
        if (run >= shortest && run >= tolerated)
            gaps.item[gaps.count++] = (struct span){.from = i - run, .to = i};
        run = 0;
    }
    gaps.unknown_share = span.to > span.from ? (double)unknown / (double)(span.to - span.from) : 1.0;
    *ret_gaps = gaps;
    return 0;
}

/* The next stretch that cannot be good, an excursion or a gap, whichever starts first. */
struct blocker {
    double from_s, to_s;
    bool is_gap;
    size_t excursion;
};

struct cursor {
    size_t excursion, gap;
};

static bool next_blocker(const struct view *view, const struct excursions *found, const struct gaps *gaps, struct cursor *cursor,
                         struct blocker *ret_blocker)
{
    bool has_excursion = cursor->excursion < found->count, has_gap = cursor->gap < gaps->count;
    double gap_s = has_gap ? view_time_s(view, gaps->item[cursor->gap].from) : INFINITY;

    if (!has_excursion && !has_gap)
        return false;
    if (has_excursion && found->item[cursor->excursion].from_s <= gap_s) {
        const struct excursion *excursion = &found->item[cursor->excursion];

        *ret_blocker = (struct blocker){excursion->from_s, excursion->to_s, false, cursor->excursion};
        cursor->excursion++;
        return true;
    }
    *ret_blocker = (struct blocker){gap_s, view_time_s(view, gaps->item[cursor->gap].to), true, 0};
    cursor->gap++;
    return true;
}

/* Would this stretch be a recovery under a fault whose release then disturbed the signal again? */
static bool is_provisional(const struct excursions *found, size_t next, double start_s, const struct est_instants *instants,
                           double hold_s)
{
    return !isnan(instants->release_s) && start_s < instants->release_s && next < found->count &&
           found->item[next].from_s < instants->release_s + hold_s;
}

static void count_exits(const struct excursions *found, double hold_s, struct hold *hold)
{
    for (size_t i = 1; i < found->count; i++) {
        const struct excursion *excursion = &found->item[i];

        hold->longest_exit_s = fmax(hold->longest_exit_s, excursion->to_s - excursion->from_s);
        if (!hold->converged || i <= hold->last)
            hold->flaps++;
        else if (excursion->from_s >= hold->converged_s + hold_s - 1e-9)
            hold->redegradations++;
    }
}

struct hold hold_find(const struct view *view, const struct excursions *found, const struct gaps *gaps,
                      const struct est_instants *instants, double hold_s)
{
    struct hold hold = {.converged_s = NAN, .earliest_s = NAN};
    double slack = view->series->bin_s, start_s = -INFINITY, last_end_s = NAN;
    struct cursor cursor = {0};
    bool more = true, after_gap = false;
    size_t seen = 0;

    while (more) {
        struct blocker blocker = {.from_s = instants->end_s, .to_s = instants->end_s};
        double good_s;

        more = next_blocker(view, found, gaps, &cursor, &blocker);
        good_s = blocker.from_s - start_s;
        if (seen > 0)
            hold.longest_good_s = fmax(hold.longest_good_s, good_s);
        if (seen > 0 && !hold.converged && good_s >= hold_s - slack && !is_provisional(found, seen, start_s, instants, hold_s)) {
            hold.converged = true;
            hold.converged_s = start_s;
            hold.earliest_s = after_gap ? last_end_s : start_s;
            hold.after_gap = after_gap;
            hold.last = seen - 1;
        }
        if (!more)
            break;
        start_s = fmax(start_s, blocker.to_s);
        after_gap = blocker.is_gap && seen > 0;
        if (!blocker.is_gap) {
            seen = blocker.excursion + 1;
            last_end_s = blocker.to_s;
        }
    }
    count_exits(found, hold_s, &hold);
    return hold;
}
