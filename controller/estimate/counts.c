/* Laws for requests; see counts.h. */
#include "controller/estimate/counts.h"

#include "controller/estimate/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define GROUP_REQUESTS 4.0  /* fewer tell a law no finer where it crosses */
#define FALL_GROUPS 32.0    /* a fall of fewer groups than this is looked at more finely */
#define CHI2_2_UPPER 13.8   /* chi-squared of two degrees of freedom, upper 0.1 %: a sudden return must not seem gradual for one failure more */
#define CHI2_1_UPPER 3.84   /* of one, upper 5 % */
#define MISFIT_LOOKS 2.0

enum { ROUNDS = 2, GROUPS_MIN = 8, SHORTER = 4, BIN_MIN = 8 };

int counts_init(struct counts *counts)
{
    *counts = (struct counts){0};
    counts->deviation = malloc(4 * COUNTS_GROUPS_MAX * sizeof(*counts->deviation));
    if (counts->deviation == NULL || relax_work_init(&counts->work, COUNTS_GROUPS_MAX) < 0)
        return -ENOMEM;
    counts->weight = counts->deviation + COUNTS_GROUPS_MAX;
    counts->planned = counts->weight + COUNTS_GROUPS_MAX;
    counts->share = counts->planned + COUNTS_GROUPS_MAX;
    return 0;
}

void counts_done(struct counts *counts)
{
    free(counts->deviation);
    relax_work_done(&counts->work);
    *counts = (struct counts){0};
}

void counts_group(struct counts *counts, const struct view *view, struct span span, size_t width)
{
    size_t groups = (span.to - span.from) / width;

    counts->width = width;
    counts->groups = groups < COUNTS_GROUPS_MAX ? groups : COUNTS_GROUPS_MAX;
    for (size_t i = 0; i < counts->groups; i++) {
        size_t from = span.from + i * width, to = from + width;

        counts->planned[i] = view->weight[to] - view->weight[from];
        counts->deviation[i] = view_mean(view, from, to, 0.0); /* NaN without a request */
    }
}

void counts_weigh(struct counts *counts, const struct view *view, const struct relax *relax)
{
    double least = fmax(view->bad_share, 0.25 * view->band);

    for (size_t i = 0; i < counts->groups; i++) {
        double at = ((double)i + 0.5) * (double)counts->width;
        double share = relax != NULL ? relax_value(relax, at) + view->bad_share : 0.5;

        counts->share[i] = fmin(fmax(share, 0.0), 1.0);
        share = fmin(fmax(share, least), 1.0 - least);
        counts->weight[i] = counts->planned[i] / (view->dispersion * share * (1.0 - share));
    }
}

struct relax counts_fit(struct counts *counts, const struct view *view, double *ret_gain)
{
    const struct relax_data data = {.deviation = counts->deviation, .weight = counts->weight, .count = counts->groups};
    struct relax relax = relax_fit(&counts->work, &data, view->band, CHI2_1_UPPER, ret_gain);
    double width = (double)counts->width;

    relax.length *= width;
    relax.crossing *= width;
    relax.own *= width;
    relax.crossing_low *= width;
    relax.crossing_high *= width;
    return relax;
}

bool counts_fall(struct counts *counts, const struct view *view, struct span span, struct relax *ret_relax, struct span *ret_fitted)
{
    size_t finest = view_bins_of(view, GROUP_REQUESTS), count = span.to > span.from ? span.to - span.from : 0;
    struct relax relax = {.law = RELAX_NONE};
    double gain = 0.0;

    for (;; count /= SHORTER) {
        size_t width = count / COUNTS_GROUPS_MAX + 1;

        width = width < finest ? finest : width;
        if (count / width < GROUPS_MIN)
            break;
        *ret_fitted = (struct span){.from = span.from, .to = span.from + count / width * width};
        counts_group(counts, view, *ret_fitted, width);
        counts_weigh(counts, view, NULL);
        relax = counts_fit(counts, view, &gain);
        for (int i = 0; i < ROUNDS && relax.law != RELAX_NONE; i++) {
            counts_weigh(counts, view, &relax);
            relax = counts_fit(counts, view, &gain);
        }
        if (width == finest || (relax.law != RELAX_NONE && relax.crossing >= FALL_GROUPS * (double)width))
            break;
    }
    *ret_relax = relax;
    return gain > CHI2_2_UPPER;
}

/* Would so many bad ones of `n`, or more (fewer), be rarer than `tail`? */
static bool is_rare(const struct view *view, double bad, double n, double share, double tail)
{
    double few = bad / view->dispersion, of = n / view->dispersion;

    if (few > of * share)
        return stats_binomial_tail(few, of, share) < tail;
    return 1.0 - stats_binomial_tail(few + 1.0, of, share) < tail;
}

bool counts_misfit(const struct view *view, const struct relax *relax, struct span span, size_t through, double alpha)
{
    size_t reach = (size_t)fmin(fmax(fmax(1.5 * relax->crossing, (double)through), BIN_MIN), (double)(span.to - span.from));
    size_t finest = view_bins_of(view, GROUP_REQUESTS);
    double scales = floor(log2(fmax((double)reach / (double)finest, 1.0))) + 1.0, least = 0.5 * (view->bad_share + view->bad_share_high);

    for (size_t width = finest; width <= reach; width *= 2) {
        double tail = 0.5 * alpha / scales / fmax(MISFIT_LOOKS * (double)reach / (double)width, 1.0);
        size_t step = width > 1 ? width / 2 : 1;

        for (size_t from = 0; from + width <= reach; from += step) {
            size_t begin = span.from + from;
            double n = view->weight[begin + width] - view->weight[begin], bad = view->sum[begin + width] - view->sum[begin], expected = 0.0;

            for (size_t i = 0; i < width; i++) {
                double share = relax_value(relax, (double)(from + i) + 0.5) + view->bad_share;

                expected += fmin(fmax(share, least), 1.0) * (view->weight[begin + i + 1] - view->weight[begin + i]);
            }
            if (n > 0.0 && is_rare(view, bad, n, fmin(expected / n, 1.0), tail))
                return true;
        }
    }
    return false;
}
