/* stream.latency: every byte is held for latency plus jitter, in order.
 *
 * 1. The delay counts from when the byte came, so that chained delays add up and do not drift.
 * 2. Jitter is drawn once a cell of the byte grid. Order is kept, so a byte never overtakes one before it: under bulk traffic
 *    the delay is a running maximum of the draws.
 * 3. A correlated cell repeats the draw of the cell before it, with that chance: the distribution stays what it is, and two cells
 *    that lie k apart correlate by the k-th power. Which cell began a run follows from the draws alone.
 * 4. A wave runs from when the rule's window opened: all connections feel it in step.
 * 5. When the parameters change, what is held gets the delay that it would have had from the start.
 * The shapes of the jitter are shape.h's, mean `latency`, spread `jitter`. A negative sum is no delay. */
#include "injector/shape.h"
#include "injector/stream.h"

#include <math.h>
#include <sys/param.h>

enum wave { WAVE_NONE, WAVE_SINE, WAVE_SQUARE, WAVE_TRIANGLE, WAVE_SAW };

/* The cell whose draw the last cell asked about repeats. */
struct latency {
    uint64_t cell, origin; /* plus 1; 0 for none */
};

/* The wave's height at `ns` after its begin, -1 to 1. */
static double wave_at(int64_t wave, uint64_t ns, uint64_t period_ns)
{
    double phase = (double)(ns % period_ns) / (double)period_ns;

    switch (wave) {
    case WAVE_SINE:
        return sin(2.0 * M_PI * phase);
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

/* The cell whose draw counts for `cell`: back over cells that repeat the one before, down to one that does not. */
static uint64_t origin_of(const struct stream_view *view, uint64_t cell)
{
    uint32_t chance = (uint32_t)view->params->STREAM_latency.correlation;
    struct latency *latency = view->state;
    uint64_t origin = cell;

    if (!chance)
        return cell;
    while (origin && rng_chance(rng_mix(stream_draw(view, origin), 2), chance)) {
        if (latency->cell == origin + 1) {
            origin = latency->origin - 1;
            break;
        }
        origin--;
    }
    *latency = (struct latency){ .cell = cell + 1, .origin = origin + 1 };
    return origin;
}

static bool varies(const struct params_STREAM_latency *params)
{
    return params->jitter || params->distribution == SHAPE_TABLE;
}

static uint64_t delay_ns(const struct stream_view *view, uint64_t offset, uint64_t came_ns)
{
    const struct params_STREAM_latency *params = &view->params->STREAM_latency;
    double delay = (double)params->latency;

    if (!varies(params) && params->wave == WAVE_NONE)
        return (uint64_t)params->latency;
    if (varies(params)) {
        uint64_t draw = stream_draw(view, origin_of(view, offset / GRID_CELL_BYTES));

        if (params->distribution == SHAPE_TABLE)
            delay = shape_from_table((const int64_t[]){ params->p50, params->p90, params->p99, params->p999, params->p100 }, draw);
        else
            delay += (double)params->jitter * shape_spreads(params->distribution, draw);
    }
    if (came_ns > view->began_ns)
        delay += (double)params->amplitude * wave_at(params->wave, came_ns - view->began_ns, (uint64_t)params->period);
    return delay > 0 ? (uint64_t)delay : 0;
}

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    uint64_t offset = range->offset, end = range->offset + range->size;

    if (!varies(&view->params->STREAM_latency)) {
        rulings_add(rulings, RULING_HOLD, range->size, range->came_ns + delay_ns(view, offset, range->came_ns));
        return;
    }
    while (offset < end && !rulings_full(rulings)) {
        uint64_t cell_end = (offset / GRID_CELL_BYTES + 1) * GRID_CELL_BYTES;
        uint64_t size = MIN(cell_end, end) - offset;

        rulings_add(rulings, RULING_HOLD, size, range->came_ns + delay_ns(view, offset, range->came_ns));
        offset += size;
    }
}

static void on_eof(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    rulings_add(rulings, RULING_HOLD, 0, range->came_ns + delay_ns(view, range->offset, range->came_ns));
}

static void on_change(const struct stream_view *view, struct rulings *rulings)
{
    (void)rulings;
    *(struct latency *)view->state = (struct latency){ .cell = 0 };
}

extern const struct stream_ops stream_latency;
const struct stream_ops stream_latency = {
    .state_size = sizeof(struct latency),
    .on_bytes = on_bytes,
    .on_eof = on_eof,
    .on_change = on_change,
    .rules_again = true,
};
