/* Least squares of the laws; see relax.h. Given its length each law is linear in rest and height, so one search over the length
 * does: a grid in ratios, then golden sections. Sums of the polynomials come from prefix sums; an exponential is summed until
 * it has vanished. */
#include "controller/estimate/relax.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define LENGTH_RATIO 1.7     /* of the grid */
#define VANISHED 12.0        /* e^-12 */
#define WORTH_A_PARAMETER 0.52 /* 2 of 3.84, which is what `chance` is in variances */
#define GOLDEN 0.6180339887498949
#define LENGTH_TOLERANCE 2e-3

enum { SUMS = 8, SECTIONS = 40, KNOWN_MIN = 4 };

/* Weighted prefix sums [count + 1] over known bins. */
struct prefix {
    const double *n, *x, *x2, *x3, *x4, *y, *xy, *x2y;
    size_t count, known;
    const double *value, *weight;
};

struct line {
    double rest, height, gain;
};

int relax_work_init(struct relax_work *work, size_t capacity)
{
    work->capacity = capacity;
    work->sums = malloc(SUMS * (capacity + 1) * sizeof(*work->sums));
    return work->sums != NULL ? 0 : -ENOMEM;
}

void relax_work_done(struct relax_work *work)
{
    free(work->sums);
    *work = (struct relax_work){0};
}

static double weight_of(const double *weight, size_t i)
{
    return weight != NULL ? weight[i] : 1.0;
}

static struct prefix prefix_of(struct relax_work *work, const double *value, const double *weight, size_t count)
{
    size_t stride = work->capacity + 1, seen = 0;
    double *sum[SUMS];

    for (size_t k = 0; k < SUMS; k++) {
        sum[k] = work->sums + k * stride;
        sum[k][0] = 0.0;
    }
    for (size_t i = 0; i < count; i++) {
        double known = isnan(value[i]) ? 0.0 : weight_of(weight, i), up = isnan(value[i]) ? 0.0 : known * value[i], at = (double)i + 0.5;
        double term[SUMS] = {known, known * at, known * at * at, known * at * at * at, known * at * at * at * at, up, up * at, up * at * at};

        seen += known > 0.0;
        for (size_t k = 0; k < SUMS; k++)
            sum[k][i + 1] = sum[k][i] + term[k];
    }
    return (struct prefix){.n = sum[0], .x = sum[1], .x2 = sum[2], .x3 = sum[3], .x4 = sum[4], .y = sum[5], .xy = sum[6], .x2y = sum[7],
                           .count = count, .known = seen, .value = value, .weight = weight};
}

/* Least squares of y on a constant and a shape with the sums given. */
static struct line solve(const struct prefix *prefix, double shape, double square, double cross)
{
    double n = prefix->n[prefix->count], y = prefix->y[prefix->count];
    double spread = square - shape * shape / n, joint = cross - shape * y / n;
    struct line line = {.rest = NAN};

    if (prefix->known < KNOWN_MIN || !(spread > 1e-12 * n) || joint <= 0.0)
        return line;
    line.height = joint / spread;
    line.rest = (y - line.height * shape) / n;
    line.gain = joint * line.height;
    return line;
}

static struct line solve_line(const struct prefix *prefix, double length)
{
    size_t k = (size_t)fmin(ceil(length - 0.5), (double)prefix->count);
    double n = prefix->n[k], x = prefix->x[k] / length, x2 = prefix->x2[k] / (length * length);

    return solve(prefix, n - x, n - 2.0 * x + x2, prefix->y[k] - prefix->xy[k] / length);
}

static struct line solve_parabola(const struct prefix *prefix, double length)
{
    size_t k = (size_t)fmin(ceil(length - 0.5), (double)prefix->count);
    double one = 1.0 / length, n = prefix->n[k], x = prefix->x[k] * one, x2 = prefix->x2[k] * one * one;
    double x3 = prefix->x3[k] * one * one * one, x4 = prefix->x4[k] * one * one * one * one;

    return solve(prefix, n - 2.0 * x + x2, n - 4.0 * x + 6.0 * x2 - 4.0 * x3 + x4,
                 prefix->y[k] - 2.0 * prefix->xy[k] * one + prefix->x2y[k] * one * one);
}

/* Of a shape over the known values: its sum, the sum of its squares, and that of its products with the values. */
struct sums {
    double shape, square, cross;
};

static void add_term(struct sums *sums, const struct prefix *prefix, size_t i, double term)
{
    double value = prefix->value[i], weighted = term * weight_of(prefix->weight, i);

    if (isnan(value))
        return;
    sums->shape += weighted;
    sums->square += weighted * term;
    sums->cross += weighted * value;
}

static struct line solve_exponential(const struct prefix *prefix, double length)
{
    double term = exp(-0.5 / length), step = exp(-1.0 / length);
    struct sums sums = {0};
    size_t most = (size_t)fmin(ceil(VANISHED * length), (double)prefix->count);

    for (size_t i = 0; i < most; i++, term *= step)
        add_term(&sums, prefix, i, term);
    return solve(prefix, sums.shape, sums.square, sums.cross);
}

static struct line solve_hyperbola(const struct prefix *prefix, double length)
{
    double one = 1.0 / length;
    struct sums sums = {0};

    for (size_t i = 0; i < prefix->count; i++) {
        double base = 1.0 / (1.0 + ((double)i + 0.5) * one), term = base * base;

        add_term(&sums, prefix, i, term);
    }
    return solve(prefix, sums.shape, sums.square, sums.cross);
}

static struct line solve_slow(const struct prefix *prefix, double length)
{
    double one = 1.0 / length;
    struct sums sums = {0};

    for (size_t i = 0; i < prefix->count; i++) {
        double term = 1.0 / (1.0 + ((double)i + 0.5) * one);

        add_term(&sums, prefix, i, term);
    }
    return solve(prefix, sums.shape, sums.square, sums.cross);
}

static const struct {
    enum relax_law law;
    struct line (*solve)(const struct prefix *prefix, double length);
    double longest; /* of what is fitted: the rest must still be told from the fall */
} laws[] = {
    {RELAX_LINE, solve_line, 0.75},
    {RELAX_PARABOLA, solve_parabola, 1.0},
    {RELAX_EXPONENTIAL, solve_exponential, 0.25},
    {RELAX_HYPERBOLA, solve_hyperbola, 0.25},
    {RELAX_SLOW, solve_slow, 0.25},
};

enum { LAWS = sizeof(laws) / sizeof(laws[0]) };

/* The best length in [low, high] by golden sections (Kiefer, "Sequential minimax search for a maximum", 1953). */
static double golden_section(const struct prefix *prefix, size_t law, double low, double high, struct line *ret_line)
{
    double left = high - GOLDEN * (high - low), right = low + GOLDEN * (high - low);
    struct line at_left = laws[law].solve(prefix, left), at_right = laws[law].solve(prefix, right);

    for (int i = 0; i < SECTIONS && high - low > LENGTH_TOLERANCE * high; i++) {
        if (at_left.gain >= at_right.gain) {
            high = right;
            right = left;
            at_right = at_left;
            left = high - GOLDEN * (high - low);
            at_left = laws[law].solve(prefix, left);
        } else {
            low = left;
            left = right;
            at_left = at_right;
            right = low + GOLDEN * (high - low);
            at_right = laws[law].solve(prefix, right);
        }
    }
    *ret_line = at_left.gain >= at_right.gain ? at_left : at_right;
    return at_left.gain >= at_right.gain ? left : right;
}

/* The length that explains most, and what it explains. */
static double best_length(const struct prefix *prefix, size_t law, struct line *ret_line)
{
    double most = laws[law].longest * (double)prefix->count, best = 1.0, low, high;

    *ret_line = (struct line){.rest = NAN};
    for (double length = 1.0; length <= most; length *= LENGTH_RATIO) {
        struct line line = laws[law].solve(prefix, length);

        if (line.gain > ret_line->gain) {
            *ret_line = line;
            best = length;
        }
    }
    low = fmax(best / LENGTH_RATIO, 0.75);
    high = fmin(best * LENGTH_RATIO, fmax(most, 1.0));
    return golden_section(prefix, law, low, high, ret_line);
}

static double crossing_of(const struct relax *relax, double band)
{
    double left = (band - relax->rest) / relax->height;

    if (!(left > 0.0)) /* it comes to rest outside the band, or is no number */
        return NAN;
    if (left >= 1.0)
        return 0.0;
    switch (relax->law) {
    case RELAX_LINE:
        return relax->length * (1.0 - left);
    case RELAX_PARABOLA:
        return relax->length * (1.0 - sqrt(left));
    case RELAX_EXPONENTIAL:
        return -relax->length * log(left);
    case RELAX_HYPERBOLA:
        return relax->length * (1.0 / sqrt(left) - 1.0);
    default:
        return relax->length * (1.0 / left - 1.0);
    }
}

double relax_value(const struct relax *relax, double at)
{
    double z = at / relax->length, left = fmax(0.0, 1.0 - z);

    switch (relax->law) {
    case RELAX_LINE:
        return relax->rest + relax->height * left;
    case RELAX_PARABOLA:
        return relax->rest + relax->height * left * left;
    case RELAX_EXPONENTIAL:
        return relax->rest + relax->height * exp(-z);
    case RELAX_HYPERBOLA:
        return relax->rest + relax->height / ((1.0 + z) * (1.0 + z));
    case RELAX_SLOW:
        return relax->rest + relax->height / (1.0 + z);
    default:
        return relax->rest;
    }
}

/* Distance of two fitted curves over the known bins. */
static double distance(const struct prefix *prefix, const struct relax *a, const struct relax *b)
{
    double sum = 0.0;

    for (size_t i = 0; i < prefix->count; i++) {
        double apart = relax_value(a, (double)i + 0.5) - relax_value(b, (double)i + 0.5);

        sum += isnan(prefix->value[i]) ? 0.0 : weight_of(prefix->weight, i) * apart * apart;
    }
    return sqrt(sum);
}

/* A true exponent mostly lies between two laws. Along the line from one neighbouring curve over the middle one to the other, what is explained
 * is a parabola of the distance; its top is the best curve between them, and the crossing is read off a parabola at the same place. The best
 * law is the middle one, or at an end of the family the outer one: between it and its neighbour the top may lie all the same. Taken only
 * where it explains enough more to be worth a parameter (Akaike, "A new look at the statistical model identification", 1974). */
static double between_laws(const struct prefix *prefix, const struct relax *fit, const double *gain, size_t best, double chance)
{
    size_t i = best == 0 ? 1 : best == LAWS - 1 ? LAWS - 2 : best;
    double crossing = fit[best].crossing, left, right, slope_left, slope_right, bend, at;

    if (isnan(fit[i - 1].crossing) || isnan(fit[i].crossing) || isnan(fit[i + 1].crossing))
        return crossing;
    left = distance(prefix, &fit[i - 1], &fit[i]);
    right = distance(prefix, &fit[i + 1], &fit[i]);
    if (!(left > 0.0 && right > 0.0))
        return crossing;
    slope_left = (gain[i] - gain[i - 1]) / left;
    slope_right = (gain[i + 1] - gain[i]) / right;
    bend = (slope_right - slope_left) / (left + right);
    if (!(bend < 0.0))
        return crossing;
    at = fmin(fmax(-(slope_left + bend * left) / (2.0 * bend), -left), right);
    if (gain[i] + at * (slope_left + bend * left + bend * at) - gain[best] <= WORTH_A_PARAMETER * chance)
        return crossing;
    slope_left = (fit[i].crossing - fit[i - 1].crossing) / left;
    slope_right = (fit[i + 1].crossing - fit[i].crossing) / right;
    bend = (slope_right - slope_left) / (left + right);
    return fit[i].crossing + at * (slope_left + bend * left + bend * at);
}

struct relax relax_fit(struct relax_work *work, const struct relax_data *data, double band, double chance, double *ret_gain)
{
    size_t count = data->count;
    struct prefix prefix = prefix_of(work, data->deviation, data->weight, count);
    struct relax fit[LAWS], best = {.law = RELAX_NONE, .chance = chance};
    double gain[LAWS], most = 0.0;
    size_t chosen = 0;

    *ret_gain = 0.0;
    for (size_t i = 0; i < LAWS; i++) {
        struct line line;

        fit[i] = (struct relax){.law = laws[i].law, .chance = chance};
        fit[i].length = best_length(&prefix, i, &line);
        fit[i].rest = line.rest;
        fit[i].height = line.height;
        fit[i].crossing = crossing_of(&fit[i], band);
        gain[i] = line.gain;
        *ret_gain = fmax(*ret_gain, line.gain);
        if (gain[i] > most && fit[i].crossing < (double)count) { /* false for NaN */
            most = gain[i];
            best = fit[i];
            chosen = i;
        }
    }
    best.own = best.crossing;
    if (best.law != RELAX_NONE)
        best.crossing = between_laws(&prefix, fit, gain, chosen, chance);
    if (!(best.crossing >= 0.0 && best.crossing < (double)count)) /* neighbours too far apart to read between */
        best.crossing = best.own;
    best.crossing_low = best.crossing_high = best.crossing;
    for (size_t i = 0; i < LAWS; i++) {
        if (best.law == RELAX_NONE || !(fit[i].crossing < (double)count) || gain[i] < most - chance)
            continue;
        best.crossing_low = fmin(best.crossing_low, fit[i].crossing);
        best.crossing_high = fmax(best.crossing_high, fit[i].crossing);
    }
    return best;
}
