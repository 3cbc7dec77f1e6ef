/* datagram.latency: a datagram is held for latency plus jitter.
 *
 * 1. The delay counts from when it came, so that chained delays add up and do not drift.
 * 2. Each goes at its own instant, so that jitter reorders, as in netem; with `order: keep` none goes before an earlier one, and
 *    under dense traffic the delay is then a running maximum of the draws.
 * The shapes of the jitter are shape.h's. A negative sum is no delay. */
#include "injector/datagram/datagram.h"

#include "scenarios/base/shape.h"

#include <sys/param.h>

enum order { ORDER_FREE, ORDER_KEEP };

struct latency {
    struct datagram_memory memory;
    uint64_t last_ns; /* no later one before that */
};

static void rule(const struct datagram_view *view, struct datagram_ruling *ruling)
{
    const struct params_DATAGRAM_latency *params = &view->params->DATAGRAM_latency;
    const struct shape shape = { SHAPE_JITTER(params) };
    struct latency *latency = view->state;

    ruling->at_ns = view->came_ns + shape_delay_ns(&shape, datagram_correlate(&latency->memory, view->draw, params->correlation), 0);
    if (params->order == ORDER_KEEP)
        ruling->at_ns = latency->last_ns = MAX(ruling->at_ns, latency->last_ns);
    ruling->acts = ruling->at_ns > view->came_ns;
}

extern const struct datagram_ops datagram_latency;
const struct datagram_ops datagram_latency = {
    .state_size = sizeof(struct latency),
    .scope_slot = DATAGRAM_SLOT(latency, scope),
    .rule = rule,
};
