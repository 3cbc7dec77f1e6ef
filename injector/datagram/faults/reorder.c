/* datagram.reorder: every datagram is held for the same time, but some, which go at once and so overtake those.
 *
 * 1. One may go at once when gap - 1 were held since the last that did, and does with chance p; with p at 100 % that is exactly every
 *    gap-th, the gap-th first.
 * 2. Those held keep their order among themselves. */
#include "injector/datagram/datagram.h"

struct reorder {
    struct datagram_memory memory;
    int64_t held; /* since the last that went at once */
};

static void rule(const struct datagram_view *view, struct datagram_ruling *ruling)
{
    const struct params_DATAGRAM_reorder *params = &view->params->DATAGRAM_reorder;
    struct reorder *reorder = view->state;

    if (reorder->held >= params->gap - 1 &&
        rng_chance(datagram_correlate(&reorder->memory, view->draw, params->correlation), (uint32_t)params->p)) {
        reorder->held = 0;
        return;
    }
    reorder->held++;
    ruling->acts = true;
    ruling->at_ns = view->came_ns + (uint64_t)params->delay;
}

extern const struct datagram_ops datagram_reorder;
const struct datagram_ops datagram_reorder = {
    .state_size = sizeof(struct reorder),
    .scope_slot = DATAGRAM_SLOT(reorder, scope),
    .rule = rule,
};
