/* Between chain.c (bytes) and grip.c (which rules act). */
#ifndef PERTURB_INJECTOR_CHAIN_PRIV_H
#define PERTURB_INJECTOR_CHAIN_PRIV_H

#include "injector/chain.h"

static inline struct armed_rule *chain_rule(const struct chain *chain, const struct grip *grip)
{
    return &chain->armed->rules[grip->rule];
}

/* The stream id of draws: proxy, connection, and direction bits. */
static inline uint64_t chain_stream(const struct chain *chain, uint32_t directions)
{
    return rng_mix(rng_mix(chain->proxy_hash, chain->sequence), directions);
}

struct stream_view chain_view(const struct chain *chain, const struct grip *grip, int direction, uint64_t now_ns, bool fresh);

/* Everything the rule's stages hold goes on, in order; they end. */
void chain_flush_grip(struct chain *chain, uint32_t index);

/* What the stage holds is to be ruled on anew, in order. Not what a close has ended. */
void chain_rule_again(struct stage *stage);

/* The rule acts on the connection no more. */
void chain_leave_grip(const struct chain *chain, struct grip *grip);

/* Applies rulings of an occasion without bytes: opened, timer, released. */
void chain_apply_bare(struct chain *chain, uint32_t index, int direction, const struct rulings *rulings, uint64_t now_ns);

#endif
