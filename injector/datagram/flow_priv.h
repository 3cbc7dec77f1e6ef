/* Between flow.c (datagrams) and flow_plan.c (which rules there are). */
#ifndef PERTURB_INJECTOR_DATAGRAM_FLOW_PRIV_H
#define PERTURB_INJECTOR_DATAGRAM_FLOW_PRIV_H

#include "injector/datagram/flow.h"

enum { FLOW_STATE_ALIGN = 16 };

static inline struct armed_rule *flow_armed_rule(const struct flow *flow, uint32_t stage)
{
    return &flow->armed->rules[flow->rules[stage].rule];
}

/* Of one direction, with what keeps the next one aligned. */
static inline size_t flow_state_size(const struct datagram_ops *ops)
{
    return (ops->state_size + FLOW_STATE_ALIGN - 1) / FLOW_STATE_ALIGN * FLOW_STATE_ALIGN;
}

/* The stream id of draws: proxy, session, and direction bit. */
static inline uint64_t flow_stream(uint64_t proxy_hash, uint64_t sequence, int direction)
{
    return rng_mix(rng_mix(proxy_hash, sequence), UINT64_C(1) << direction);
}

void flow_sink(struct flow *flow, uint32_t place); /* restores the heap below a place */

/* A packet that was taken off the heap goes on behind the rule that held it; or is lost with its session. */
void flow_go_on(struct flow *flow, struct packet *packet, uint64_t came_ns);
void flow_lose(struct flow *flow, struct packet *packet);

#endif
