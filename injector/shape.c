/* Shapes of jitter. */
#include "injector/shape.h"

#include "scenarios/base/rng.h"

#include <math.h>
#include <sys/param.h>

#define SPREADS_MAX 4.0

static const double point_shares[SHAPE_POINTS] = { 0.5, 0.9, 0.99, 0.999, 1.0 };

/* Box-Muller over the two halves of one draw. */
static double normal(uint64_t draw)
{
    double radius = ((double)(draw >> 32) + 1.0) * 0x1p-32;
    double angle = (double)(draw & UINT32_MAX) * 0x1p-32;

    return sqrt(-2.0 * log(radius)) * cos(2.0 * M_PI * angle);
}

static double pareto(uint64_t draw)
{
    return (pow(1.0 - rng_unit(draw), -1.0 / 3.0) - 1.5) * (4.0 / 3.0);
}

double shape_spreads(int64_t shape, uint64_t draw)
{
    double value;

    switch (shape) {
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

double shape_from_table(const int64_t points[SHAPE_POINTS], uint64_t draw)
{
    double at = rng_unit(draw), share = 0, value = 0;

    for (int i = 0; i < SHAPE_POINTS; i++) {
        if (!points[i])
            continue;
        if (at < point_shares[i])
            return value + ((double)points[i] - value) * (at - share) / (point_shares[i] - share);
        share = point_shares[i];
        value = (double)points[i];
    }
    return value;
}
