/* datagram.duplicate: some datagrams go on twice. */
#include "injector/datagram/datagram.h"

static void rule(const struct datagram_view *view, struct datagram_ruling *ruling)
{
    const struct params_DATAGRAM_duplicate *params = &view->params->DATAGRAM_duplicate;

    ruling->doubles = rng_chance(datagram_correlate(view->state, view->draw, params->correlation), (uint32_t)params->p);
    ruling->acts = ruling->doubles;
}

extern const struct datagram_ops datagram_duplicate;
const struct datagram_ops datagram_duplicate = {
    .state_size = sizeof(struct datagram_memory),
    .scope_slot = DATAGRAM_SLOT(duplicate, scope),
    .rule = rule,
};
