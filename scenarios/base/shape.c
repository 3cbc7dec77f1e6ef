/* Shapes of a delay. Nothing here calls libm: the shim may not pull a library into somebody else's program. */
#include "scenarios/base/shape.h"

#include "scenarios/base/rng.h"

#include <string.h>
#include <sys/param.h>

#define SPREADS_MAX 4.0
#define LN_2 0.69314718055994530942
#define HALF_PI 1.57079632679489661923

static const double point_shares[SHAPE_POINTS] = { 0.5, 0.9, 0.99, 0.999, 1.0 };

/* ---- elementary functions, on the ranges that are needed --------------------------------------------------------------- */

/* Mantissa in [1, 2) and exponent of a normal positive number. */
static double take_apart(double x, int *ret_exponent)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof(bits));
    *ret_exponent = (int)(bits >> 52) - 1023;
    bits = (bits & UINT64_C(0xfffffffffffff)) | UINT64_C(1023) << 52;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* ln x by atanh((m - 1) / (m + 1)); m between 3/4 and 3/2 keeps the argument below 1/5. x > 0. */
static double natural_log(double x)
{
    int exponent;
    double m = take_apart(x, &exponent), t, square, sum = 0;

    if (m > 1.5) {
        m /= 2;
        exponent++;
    }
    t = (m - 1) / (m + 1);
    square = t * t;
    for (int k = 19; k > 0; k -= 2)
        sum = sum * square + 1.0 / k;
    return 2 * t * sum + exponent * LN_2;
}

/* Newton's steps from above; x between 0 and 64. */
static double square_root(double x)
{
    double root = x > 1 ? x : 1;

    for (int step = 0; x > 0 && step < 12; step++)
        root = (root + x / root) / 2;
    return x > 0 ? root : 0;
}

/* x^(-1/3) for x in (0, 1], cut at 2^8: (1 / x)^(1/3) by Newton's steps from above. */
static double inverse_cube_root(double x)
{
    double wanted = 1 / MAX(x, 0x1p-24), root = 1;

    while (root * root * root < wanted)
        root *= 2;
    for (int step = 0; step < 6; step++)
        root = (2 * root + wanted / (root * root)) / 3;
    return root;
}

/* cos of `turns` full turns, in [0, 1): folded into the first quarter, then its series. */
static double cosine(double turns)
{
    double folded = turns > 0.5 ? 1 - turns : turns, x, square, sum = 0;
    bool negative = folded > 0.25;

    x = (negative ? 0.5 - folded : folded) * 4 * HALF_PI;
    square = x * x;
    for (int k = 20; k > 0; k -= 2)
        sum = (1 - sum) * square / (k * (k - 1));
    return negative ? sum - 1 : 1 - sum;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------------ */

/* Box-Muller over the two halves of one draw. */
static double normal(uint64_t draw)
{
    double radius = ((double)(draw >> 32) + 1.0) * 0x1p-32;

    return square_root(-2.0 * natural_log(radius)) * cosine((double)(draw & UINT32_MAX) * 0x1p-32);
}

static double pareto(uint64_t draw)
{
    return (inverse_cube_root(1.0 - rng_unit(draw)) - 1.5) * (4.0 / 3.0);
}

double shape_spreads(int64_t distribution, uint64_t draw)
{
    double value;

    switch (distribution) {
    case SHAPE_NORMAL:
        value = normal(draw);
        break;
    case SHAPE_PARETO:
        value = pareto(draw);
        break;
    case SHAPE_PARETONORMAL:
        value = 0.25 * normal(draw) + 0.75 * pareto(rng_mix(draw, 1));
        break;
    default:
        value = 2.0 * rng_unit(draw) - 1.0;
    }
    return MAX(-SPREADS_MAX, MIN(SPREADS_MAX, value));
}

double shape_from_table(const int64_t points_ns[SHAPE_POINTS], uint64_t draw)
{
    double at = rng_unit(draw), share = 0, value = 0;

    for (int i = 0; i < SHAPE_POINTS; i++) {
        if (!points_ns[i])
            continue;
        if (at < point_shares[i])
            return value + ((double)points_ns[i] - value) * (at - share) / (point_shares[i] - share);
        share = point_shares[i];
        value = (double)points_ns[i];
    }
    return value;
}

/* The wave's height, -1 to 1. */
static double wave_at(int64_t wave, double phase)
{
    switch (wave) {
    case WAVE_SINE:
        return cosine(phase < 0.25 ? phase + 0.75 : phase - 0.25);
    case WAVE_SQUARE:
        return phase < 0.5 ? 1.0 : -1.0;
    case WAVE_TRIANGLE:
        return phase < 0.25 ? 4.0 * phase : phase < 0.75 ? 2.0 - 4.0 * phase : 4.0 * phase - 4.0;
    case WAVE_SAW:
        return 2.0 * phase - 1.0;
    default:
        return 0;
    }
}

bool shape_varies(const struct shape *shape)
{
    return shape->spread_ns || shape->distribution == SHAPE_TABLE;
}

uint64_t shape_delay_ns(const struct shape *shape, uint64_t draw, uint64_t since_ns)
{
    double delay = (double)shape->mean_ns;

    if (!shape_varies(shape) && shape->wave == WAVE_NONE)
        return shape->mean_ns > 0 ? (uint64_t)shape->mean_ns : 0;
    if (shape->distribution == SHAPE_TABLE)
        delay = shape_from_table(shape->points_ns, draw);
    else if (shape->spread_ns)
        delay += (double)shape->spread_ns * shape_spreads(shape->distribution, draw);
    if (shape->wave != WAVE_NONE && shape->period_ns > 0 && since_ns) {
        uint64_t period_ns = (uint64_t)shape->period_ns;

        delay += (double)shape->amplitude_ns * wave_at(shape->wave, (double)(since_ns % period_ns) / (double)period_ns);
    }
    return delay > 0 ? (uint64_t)MIN(delay, 0x1p62) : 0;
}

uint64_t shape_origin(uint64_t (*draw)(const void *context, uint64_t at), const void *context, uint32_t chance_ppm, uint64_t at,
                      struct shape_memory *memory)
{
    uint64_t origin = at;

    if (!chance_ppm)
        return at;
    while (origin && rng_chance(rng_mix(draw(context, origin), 2), chance_ppm)) {
        if (memory && memory->at == origin + 1) {
            origin = memory->origin - 1;
            break;
        }
        origin--;
    }
    if (memory)
        *memory = (struct shape_memory){ .at = at + 1, .origin = origin + 1 };
    return origin;
}
