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
#include "injector/stream.h"

#include "scenarios/base/shape.h"

#include <sys/param.h>

static uint64_t draw_of(const void *context, uint64_t cell)
{
    return stream_draw(context, cell);
}

static struct shape shape_of(const struct stream_view *view)
{
    const struct params_STREAM_latency *params = &view->params->STREAM_latency;

    return (struct shape){ SHAPE_JITTER(params), SHAPE_WAVE(params) };
}

static uint64_t delay_ns(const struct stream_view *view, uint64_t offset, uint64_t came_ns)
{
    const struct shape shape = shape_of(view);
    uint64_t draw = 0;

    if (shape_varies(&shape)) {
        uint32_t chance = (uint32_t)view->params->STREAM_latency.correlation;

        draw = stream_draw(view, shape_origin(draw_of, view, chance, offset / GRID_CELL_BYTES, view->state));
    }
    return shape_delay_ns(&shape, draw, came_ns > view->began_ns ? came_ns - view->began_ns : 0);
}

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    uint64_t offset = range->offset, end = range->offset + range->size;
    const struct shape shape = shape_of(view);

    if (!shape_varies(&shape)) {
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
    *(struct shape_memory *)view->state = (struct shape_memory){ .at = 0 };
}

extern const struct stream_ops stream_latency;
const struct stream_ops stream_latency = {
    .state_size = sizeof(struct shape_memory),
    .on_bytes = on_bytes,
    .on_eof = on_eof,
    .on_change = on_change,
    .rules_again = true,
};
