/* E-Divisive: the split with the largest energy statistic over all segments, kept when few random orders of the values within the segments
 * reach as much, and so on until one is not. See change.h. */
#include "controller/estimate/change.h"

#include "controller/estimate/stats.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PERMUTATIONS = 199 };

struct search {
    const double *value; /* of the caller */
    double *order;       /* [count], a permutation of the values */
    double *work;        /* [count] */
    size_t *edge;        /* [edges + 1]: segments are [edge[i], edge[i + 1]) */
    double *p;           /* of the change at edge[i] */
    size_t edges, count;
    double alpha;
    uint64_t seed;
};

struct split {
    size_t at;
    double statistic;
};

/* Best split of [from, to): q = n m / (n + m) (2 E|X - Y| - E|X - X'| - E|Y - Y'|). Moving a value from the right part to the left moves
 * its distances between three sums, so all splits take O(n^2). */
static struct split best_split(const double *value, size_t from, size_t to)
{
    struct split best = {.at = from, .statistic = -INFINITY};
    double across = 0.0, left = 0.0, right = 0.0;

    for (size_t i = from; i < to; i++) {
        for (size_t j = i + 1; j < to; j++)
            right += fabs(value[i] - value[j]);
    }
    for (size_t k = from; k + 1 < to; k++) {
        double before = 0.0, after = 0.0, n = (double)(k + 1 - from), m = (double)(to - k - 1), statistic;

        for (size_t i = from; i < k; i++)
            before += fabs(value[k] - value[i]);
        for (size_t i = k + 1; i < to; i++)
            after += fabs(value[k] - value[i]);
        across += after - before;
        left += before;
        right -= after;
        if (n < CHANGE_REGIME_MIN || m < CHANGE_REGIME_MIN)
            continue;
        statistic = 2.0 * across / (n * m) - 2.0 * left / (n * (n - 1.0)) - 2.0 * right / (m * (m - 1.0));
        statistic *= n * m / (n + m);
        if (statistic > best.statistic)
            best = (struct split){.at = k + 1, .statistic = statistic};
    }
    return best;
}

static struct split best_of_segments(const struct search *search, const double *value)
{
    struct split best = {.at = 0, .statistic = -INFINITY};

    for (size_t i = 0; i < search->edges; i++) {
        struct split split = best_split(value, search->edge[i], search->edge[i + 1]);

        if (split.statistic > best.statistic)
            best = split;
    }
    return best;
}

/* Fisher and Yates, within each segment. */
static void shuffle(struct search *search, uint64_t round)
{
    uint64_t hash = rng_hash("estimate.change"), draws = 0;

    memcpy(search->order, search->value, search->count * sizeof(*search->order));
    for (size_t s = 0; s < search->edges; s++) {
        for (size_t i = search->edge[s + 1]; i > search->edge[s] + 1; i--) {
            size_t from = search->edge[s] + (size_t)rng_below(rng_draw(search->seed, hash, round, draws++), i - search->edge[s]);
            double moving = search->order[i - 1];

            search->order[i - 1] = search->order[from];
            search->order[from] = moving;
        }
    }
}

static void insert(struct search *search, size_t at, double p)
{
    size_t i = search->edges;

    for (; search->edge[i] > at; i--) {
        search->edge[i + 1] = search->edge[i];
        search->p[i + 1] = search->p[i];
    }
    search->edge[i + 1] = at;
    search->p[i + 1] = p;
    search->edges++;
}

/* False when the best split that is left is one that chance makes. */
static bool add_change(struct search *search)
{
    struct split best = best_of_segments(search, search->value);
    size_t reached = 0;
    double p;

    if (!isfinite(best.statistic))
        return false;
    for (uint64_t i = 0; i < PERMUTATIONS; i++) {
        shuffle(search, search->edges * PERMUTATIONS + i);
        reached += best_of_segments(search, search->order).statistic >= best.statistic;
        if ((double)(reached + 1) / (PERMUTATIONS + 1) > search->alpha)
            return false;
    }
    p = (double)(reached + 1) / (PERMUTATIONS + 1);
    insert(search, best.at, p);
    return true;
}

static double median_between(struct search *search, size_t from, size_t to)
{
    memcpy(search->work, search->value + from, (to - from) * sizeof(*search->work));
    return stats_median(search->work, to - from);
}

static int tell(struct search *search, struct changes *ret_changes)
{
    struct changes changes = {.item = malloc(search->edges * sizeof(*changes.item))};

    if (changes.item == NULL)
        return -ENOMEM;
    for (size_t i = 1; i < search->edges; i++)
        changes.item[changes.count++] = (struct change){
            .first = search->edge[i],
            .before = median_between(search, search->edge[i - 1], search->edge[i]),
            .after = median_between(search, search->edge[i], search->edge[i + 1]),
            .p = search->p[i],
        };
    *ret_changes = changes;
    return 0;
}

void changes_done(struct changes *changes)
{
    free(changes->item);
    *changes = (struct changes){0};
}

int changes_find(const double *value, size_t count, double alpha, uint64_t seed, struct changes *ret_changes)
{
    AUTO_FREE double *memory = malloc((3 * count + 4) * sizeof(*memory));
    AUTO_FREE size_t *edge = calloc(count + 3, sizeof(*edge));
    struct search search = {.value = value, .order = memory, .count = count, .edge = edge, .edges = 1, .alpha = alpha, .seed = seed};

    if (memory == NULL || edge == NULL)
        return -ENOMEM;
    search.work = memory + count;
    search.p = memory + 2 * count;
    if (count > CHANGE_VALUES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(value[i]))
            return -EINVAL;
    }
    edge[1] = count;
    while (add_change(&search))
        ;
    return tell(&search, ret_changes);
}
