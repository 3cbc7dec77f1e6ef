/* The end of an excursion of values; see tail.h and relax.h. */
#include "controller/estimate/tail.h"

#include "controller/estimate/counts.h"
#include "controller/estimate/stats.h"

#include <errno.h>
#include <math.h>

#define STRAY_SIGMAS 3.1 /* a tail this weak is noise after a sudden return */
#define CHI2_2_UPPER 9.21 /* chi-squared of two degrees of freedom, upper 1 % */
#define CHI2_1_UPPER 3.84 /* of one, upper 5 % */
enum { LAW_BINS_MIN = 4, SETTLED_BINS = 5 };

#define RESIDUAL_SIGMAS 4.0 /* times the root of the width: beyond this, one outlier alone would make a stretch */
#define CROSSING_REQUESTS 20.0
#define MISFIT_LOOKS 2.0  /* independent looks per window of a scan by half windows */

double tail_variance(const struct view *view, const struct noise *noise, size_t width, double level)
{
    double shot = view->quantum * fmin(fmax(level * (1.0 - level), 0.0), 0.25) / (double)width;

    return fmax(noise->sigma * noise->sigma, noise->variance) * noise_shrink(noise, width) + shot;
}

/* Where the isotonic fit of the excursion falls below `share` of its level (at a half: where a sudden return would be likeliest). */
static size_t fallen_to(const struct view *view, const struct excursion *excursion, double share)
{
    double limit = share * view_mean(view, excursion->from, excursion->to, 0.0) + (view->counted ? view->bad_share : 0.0);
    double sum = 0.0, most = 0.0;
    size_t end = excursion->from;

    for (size_t i = excursion->from; i < excursion->to; i++) {
        sum += view->sum[i + 1] - view->sum[i] - limit * (view->weight[i + 1] - view->weight[i]);
        if (sum > most) {
            most = sum;
            end = i + 1;
        }
    }
    return end;
}

/* Does the law leave a stretch of residuals in `span` that noise would not? Looked at over `through` bins, and half as far again as
 * the crossing. */
static bool misfits(const struct view *view, const struct noise *noise, const struct relax *relax, struct span span, size_t through,
                    double alpha)
{
    const double *deviation = view->deviation + span.from;
    size_t reach = (size_t)fmin(fmax(fmax(1.5 * relax->crossing, (double)through), 8.0), (double)(span.to - span.from));
    double scales = floor(log2((double)reach)) + 1.0;

    for (size_t width = 1; width <= reach; width *= 2) {
        double looks = fmax(MISFIT_LOOKS * (double)reach / (double)width, 1.0);
        double z = stats_normal_upper(0.5 * alpha / scales / looks);
        double clip = RESIDUAL_SIGMAS * noise->sigma * sqrt((double)width);
        size_t step = width > 1 ? width / 2 : 1;

        for (size_t from = 0; from + width <= reach; from += step) {
            double sum = 0.0, known = 0.0, level = relax_value(relax, (double)from + 0.5 * (double)width);

            for (size_t i = from; i < from + width; i++) {
                if (isnan(deviation[i]))
                    continue;
                sum += view_clipped(deviation[i] - relax_value(relax, (double)i + 0.5), clip);
                known += 1.0;
            }
            if (known >= 0.5 * (double)width && fabs(sum / known) > z * sqrt(tail_variance(view, noise, width, level)))
                return true;
        }
    }
    return false;
}

static bool stray(const struct view *view, const struct noise *noise, size_t from, size_t to)
{
    double rest = view_mean(view, from, to, 0.0), length = (double)(to - from);

    return rest <= STRAY_SIGMAS * hypot(noise->sigma * sqrt(noise_shrink(noise, to - from)), view->quantum / length);
}

static void end_at(const struct view *view, struct excursion *excursion, double at)
{
    excursion->to = (size_t)ceil(at - 1e-9);
    excursion->to_s = view->series->start_s + at * view->series->bin_s;
}

/* A sudden return inside a bin leaves it with a part of the depth: that part says where in the two bins about half depth it was. */
static void end_suddenly(const struct view *view, struct excursion *excursion, size_t half)
{
    size_t first = half - 1, after = half + 1 + SETTLED_BINS;
    size_t before = first > excursion->from + SETTLED_BINS ? first - SETTLED_BINS : excursion->from;
    double level = view_mean(view, before, first > before ? first : half, 0.0);
    double left = view->deviation[first] + (half < view->bins ? view->deviation[half] : NAN);
    double rest = after <= view->bins ? view_mean(view, half + 1, after, 0.5) : 0.0;

    excursion->relax.law = RELAX_SUDDEN;
    if (isnan(left) || !(level > rest)) /* false for NaN */
        end_at(view, excursion, (double)half);
    else
        end_at(view, excursion, (double)first + fmin(fmax((left - 2.0 * rest) / (level - rest), 0.0), 2.0));
}

struct tail {
    const struct view *view;
    const struct noise *noise;
    struct relax_work work; /* values */
    struct counts counts;   /* requests */
};

/* Fits the laws to the bins of `span`, and cuts it to what was fitted. Returns whether there is more of a fall in it than chance would show. */
static bool fit_laws(struct tail *tail, struct span *span, struct relax *ret_relax)
{
    struct relax_data data = {.deviation = tail->view->deviation + span->from};
    double gain, noise;

    *ret_relax = (struct relax){.law = RELAX_NONE};
    if (span->to < span->from + LAW_BINS_MIN)
        return false;
    if (tail->view->counted)
        return counts_fall(&tail->counts, tail->view, *span, ret_relax, span);
    if (span->to - span->from > tail->work.capacity)
        span->to = span->from + tail->work.capacity;
    data.count = span->to - span->from;
    noise = tail_variance(tail->view, tail->noise, data.count, 0.5) * (double)data.count;
    *ret_relax = relax_fit(&tail->work, &data, tail->view->band, CHI2_1_UPPER * noise, &gain);
    return gain > CHI2_2_UPPER * noise;
}

/* A law that has crossed within a few requests tells nothing that these do not. */
static bool is_believed(const struct tail *tail, const struct relax *relax, struct span span, size_t through, double alpha)
{
    if (relax->law == RELAX_NONE || through > span.to - span.from)
        return false;
    if (!tail->view->counted)
        return !misfits(tail->view, tail->noise, relax, span, through, alpha);
    return relax->crossing >= (double)(1 + view_bins_of(tail->view, CROSSING_REQUESTS)) &&
           !counts_misfit(tail->view, relax, span, through, alpha);
}

static struct span part_of(const struct tail *tail, const struct excursion *excursion, double share, size_t until)
{
    return (struct span){.from = fallen_to(tail->view, excursion, share) + 1, .to = until};
}

/* The interval reaches the isotonic crossing too, at bin `through`. */
static void doubt(struct excursion *placed, size_t through)
{
    double crossing = (double)through - (double)placed->fitted.from;

    placed->relax.crossing_low = fmin(placed->relax.crossing_low, crossing);
    placed->relax.crossing_high = fmax(placed->relax.crossing_high, crossing);
}

/* The longest part of the fall that a law explains, up to bin `through` at least; what follows is in band up to bin `until`. */
static bool law_explains(struct tail *tail, const struct excursion *excursion, size_t through, size_t until, struct excursion *ret_placed)
{
    static const struct {
        double share, alpha; /* of the depth at which the part begins; of calling a true law a misfit */
    } parts[] = {{0.9, 0.2}, {0.5, 0.01}}; /* the longer part tells more, and is taken only when it fits well */

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct span span = part_of(tail, excursion, parts[i].share, until);
        struct relax relax;

        if (through < span.from || !fit_laws(tail, &span, &relax) || !is_believed(tail, &relax, span, through - span.from, parts[i].alpha))
            continue;
        *ret_placed = *excursion;
        ret_placed->relax = relax;
        ret_placed->fitted = span;
        end_at(tail->view, ret_placed, (double)span.from + relax.crossing);
        if (i > 0) /* no law explains the whole fall */
            doubt(ret_placed, through);
        return true;
    }
    return false;
}

/* Places the end of the first of `list`, and returns how many excursions after it its law explains too: noise about the edge of the
 * band cuts a slow recovery into pieces. */
static size_t place_first(struct tail *tail, struct excursion *list, size_t count, size_t end)
{
    struct excursion first = list[0];
    size_t half = fallen_to(tail->view, &first, 0.5), until = count > 1 ? list[1].from : end, absorbed = 0;
    struct span span = {.from = half + 1, .to = until};
    struct relax relax;

    if (half == first.from)
        return 0;
    if (!fit_laws(tail, &span, &relax)) {
        if (!tail->view->counted && (first.to <= half + 1 || stray(tail->view, tail->noise, half + 1, first.to)))
            end_suddenly(tail->view, list, half);
        return 0;
    }
    law_explains(tail, &first, first.to, until, list);
    while (absorbed + 1 < count) {
        until = absorbed + 2 < count ? list[absorbed + 2].from : end;
        if (!law_explains(tail, &first, list[absorbed + 1].to, until, list))
            break;
        absorbed++;
    }
    return absorbed;
}

int tails_place(const struct view *view, const struct noise *noise, struct excursions *found, size_t end)
{
    struct tail tail = {.view = view, .noise = noise};
    size_t kept = 0;
    int rc = view->counted ? counts_init(&tail.counts) : relax_work_init(&tail.work, TAIL_BINS_MAX);

    for (size_t i = 0, absorbed; rc == 0 && i < found->count; i += 1 + absorbed) {
        struct excursion *item = &found->item[i];

        item->relax = (struct relax){.law = RELAX_NONE};
        item->to_s = view_time_s(view, item->to);
        absorbed = item->to < end ? place_first(&tail, item, found->count - i, end) : 0;
        found->item[kept++] = *item;
    }
    if (rc == 0)
        found->count = kept;
    relax_work_done(&tail.work);
    counts_done(&tail.counts);
    return rc;
}
