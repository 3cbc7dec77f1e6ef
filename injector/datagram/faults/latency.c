/* datagram.latency: a datagram is held for latency plus jitter.
 *
 * 1. The delay counts from when it came, so that chained delays add up and do not drift.
 * 2. Each goes at its own instant, so that jitter reorders, as in netem; with `order: keep` none goes before an earlier one, and
 *    under dense traffic the delay is then a running maximum of the draws.
 * The shapes of the jitter are shape.h's. A negative sum is no delay. */
#include "injector/datagram/datagram.h"
#include "injector/shape.h"

#include <sys/param.h>

enum order { ORDER_FREE, ORDER_KEEP };

struct latency {
    struct datagram_memory memory;
    uint64_t last_ns; /* no later one before that */
};

static uint64_t delay_ns(const struct params_DATAGRAM_latency *params, uint64_t draw)
{
    double delay = (double)params->latency;

    if (params->distribution == SHAPE_TABLE)
        delay = shape_from_table((const int64_t[]){ params->p50, params->p90, params->p99, params->p999, params->p100 }, draw);
    else if (params->jitter)
        delay += (double)params->jitter * shape_spreads(params->distribution, draw);
    else
        return (uint64_t)params->latency;
    return delay > 0 ? (uint64_t)delay : 0;
}

static void rule(const struct datagram_view *view, struct datagram_ruling *ruling)
{
    const struct params_DATAGRAM_latency *params = &view->params->DATAGRAM_latency;
    struct latency *latency = view->state;

    ruling->at_ns = view->came_ns + delay_ns(params, datagram_correlate(&latency->memory, view->draw, params->correlation));
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
