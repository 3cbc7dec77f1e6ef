/* datagram.corrupt: one bit of some datagrams flips. An empty datagram has none. */
#include "injector/datagram/datagram.h"

static void rule(const struct datagram_view *view, struct datagram_ruling *ruling)
{
    const struct params_DATAGRAM_corrupt *params = &view->params->DATAGRAM_corrupt;
    uint64_t draw = datagram_correlate(view->state, view->draw, params->correlation);

    if (!view->size || !rng_chance(draw, (uint32_t)params->p))
        return;
    ruling->acts = ruling->flips = true;
    ruling->bit = (uint32_t)rng_below(rng_mix(view->draw, 1), (uint64_t)view->size * 8);
}

extern const struct datagram_ops datagram_corrupt;
const struct datagram_ops datagram_corrupt = {
    .state_size = sizeof(struct datagram_memory),
    .scope_slot = DATAGRAM_SLOT(corrupt, scope),
    .rule = rule,
};
