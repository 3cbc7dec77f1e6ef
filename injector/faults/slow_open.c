/* stream.slow_open: a new connection is dialled on late, or each direction's first byte goes late. Connections that were open
 * before are left alone. */
#include "injector/stream.h"

enum hold { HOLD_DIAL, HOLD_FIRST_BYTE };

struct slow_open {
    bool fresh;
    uint64_t until_ns; /* nothing goes before; 0 until the first byte came */
};

static void on_open(const struct stream_view *view, struct rulings *rulings)
{
    const struct params_STREAM_slow_open *params = &view->params->STREAM_slow_open;
    struct slow_open *slow_open = view->state;

    slow_open->fresh = view->fresh && params->hold == HOLD_FIRST_BYTE;
    if (view->fresh && params->hold == HOLD_DIAL && view->direction == DIRECTION_TO_UPSTREAM)
        rulings_add(rulings, RULING_HOLD, 0, view->now_ns + (uint64_t)params->delay);
}

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    struct slow_open *slow_open = view->state;

    if (!slow_open->fresh)
        return;
    if (!slow_open->until_ns)
        slow_open->until_ns = range->came_ns + (uint64_t)view->params->STREAM_slow_open.delay;
    rulings_add(rulings, RULING_HOLD, range->size, slow_open->until_ns);
}

extern const struct stream_ops stream_slow_open;
const struct stream_ops stream_slow_open = {
    .state_size = sizeof(struct slow_open),
    .on_open = on_open,
    .on_bytes = on_bytes,
};
