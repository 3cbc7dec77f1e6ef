/* stream.latency: every byte is held for latency plus jitter, in order.
 *
 * 1. The delay counts from when the byte came, so that chained delays add up and do not drift.
 * 2. Jitter is drawn once a cell of the byte grid. Order is kept, so a byte never overtakes one before it: under bulk traffic
 *    the delay is a running maximum of the draws.
 * The shapes are netem's (tc-netem(8); the tables' generators in iproute2's netem/ folder): mean `latency`, spread `jitter`;
 * pareto has shape 3, is moved to mean 0 and scaled by 4/3; paretonormal is a quarter normal, three quarters pareto; all are
 * cut at four spreads, as the tables are. A negative sum is no delay. */
#include "injector/stream.h"

#include <math.h>
#include <sys/param.h>

enum distribution { DISTRIBUTION_UNIFORM, DISTRIBUTION_NORMAL, DISTRIBUTION_PARETO, DISTRIBUTION_PARETONORMAL };

#define SPREADS_MAX 4.0

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

/* The draw as a number of spreads around the mean. */
static double spreads(int64_t distribution, uint64_t draw)
{
    double value;

    switch (distribution) {
    case DISTRIBUTION_NORMAL:
        value = normal(draw);
        break;
    case DISTRIBUTION_PARETO:
        value = pareto(draw);
        break;
    case DISTRIBUTION_PARETONORMAL:
        value = 0.25 * normal(draw) + 0.75 * pareto(rng_mix(draw, 1));
        break;
    default:
        value = 2.0 * rng_unit(draw) - 1.0;
    }
    return MAX(-SPREADS_MAX, MIN(SPREADS_MAX, value));
}

static uint64_t delay_ns(const struct stream_view *view, uint64_t offset)
{
    const struct params_STREAM_latency *params = &view->params->STREAM_latency;
    double delay = (double)params->latency;

    if (!params->jitter)
        return (uint64_t)params->latency;
    delay += (double)params->jitter * spreads(params->distribution, stream_draw(view, offset / GRID_CELL_BYTES));
    return delay > 0 ? (uint64_t)delay : 0;
}

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    uint64_t offset = range->offset, end = range->offset + range->size;

    if (!view->params->STREAM_latency.jitter) {
        rulings_add(rulings, RULING_HOLD, range->size, range->came_ns + delay_ns(view, offset));
        return;
    }
    while (offset < end && !rulings_full(rulings)) {
        uint64_t cell_end = (offset / GRID_CELL_BYTES + 1) * GRID_CELL_BYTES;
        uint64_t size = MIN(cell_end, end) - offset;

        rulings_add(rulings, RULING_HOLD, size, range->came_ns + delay_ns(view, offset));
        offset += size;
    }
}

static void on_eof(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    rulings_add(rulings, RULING_HOLD, 0, range->came_ns + delay_ns(view, range->offset));
}

extern const struct stream_ops stream_latency;
const struct stream_ops stream_latency = { .on_bytes = on_bytes, .on_eof = on_eof };
