/* A plan in force: the immutable image, and beside it the live counters of its rules.
 *
 * 1. The image never changes once published; loops read it, the control thread alone makes and frees it, after every loop
 *    acknowledged the next one.
 * 2. The deadline is the dead man's switch: each loop compares it with CLOCK_MONOTONIC by itself. 0 is "over": the first loop
 *    that finds it past writes 0, and from then on it cannot be renewed.
 * 3. A rule of the next plan that is the same, byte for byte, as one of this plan, in the same relative order and under the same
 *    seed, is carried over: its counters, its window's origin and what it holds go on undisturbed. One on streams that differs in its
 *    parameters alone is carried over as well, and its connections are told (stream.h, on_change).
 * Fields marked (atomic) are shared between loops and the control thread and touched through __atomic only. */
#ifndef PERTURB_INJECTOR_ARMED_H
#define PERTURB_INJECTOR_ARMED_H

#include "injector/datagram/datagram.h"
#include "injector/stream.h"
#include "scenarios/vocab/plan.h"

#define RULE_NONE UINT32_MAX

/* What the connections of one proxy under a rule share. */
struct rule_shared {
    struct rule_shared *next;
    uint64_t proxy_hash;
    uint64_t words[]; /* shared_size of the fault, for each direction; (atomic) */
};

/* Counters, shared with the next plan when the rule is carried over. */
struct rule_live {
    struct rule_counts counts; /* (atomic), each member */
    uint64_t held_bytes;       /* (atomic) */
    uint64_t active;           /* (atomic) connections that the rule acts on now; counted where it has a limit */
    struct rule_shared *shared; /* (atomic) owned; entries are only ever added, at the front */
    uint32_t references;       /* control thread */
};

/* The first effect of a rule in this epoch. */
struct rule_acted {
    uint64_t ns;               /* (atomic) 0 before; written last */
    uint64_t claimed;          /* (atomic) */
    uint64_t stream, position; /* connection's sequence number, byte offset */
    bool told;                 /* control thread: the event was handed out */
};

struct armed_rule {
    const struct plan_rule *plan; /* borrowed from the image */
    const struct stream_ops *ops;         /* NULL of a datagram fault */
    const struct datagram_ops *datagram; /* NULL of a stream fault */
    struct rule_live *live;
    uint64_t scope_hash; /* rng_hash(scope); 0 for every proxy */
    uint64_t armed_ns;
    uint32_t carried_from; /* its index in the plan before, RULE_NONE when new */
    bool changed;          /* carried over with other parameters */
    struct rule_acted acted;
};

struct armed {
    struct plan *plan; /* owned */
    uint64_t deadline_ns; /* (atomic) 0 is over */
    uint64_t expired_ns;  /* (atomic) when a loop found it over */
    bool expired_told;    /* control thread */
    int event_fd;         /* borrowed: written to when there is news for the control thread; -1 for none */
    uint32_t count;
    struct armed_rule rules[];
};

/* Returns new. `plan` is borrowed and was checked; `before` (may be NULL) is the plan in force, from which rules are carried
 * over. `registry` is stream_registry but in tests. 0, -ENOMEM. */
int armed_new(const struct plan *plan, const struct armed *before, const struct stream_ops *const *registry, uint64_t now_ns,
              uint64_t ttl_ns, int event_fd, struct armed **ret_armed);
void armed_free(struct armed *armed); /* accepts NULL */

/* Does the rule concern the stream proxy whose name hashes to `proxy_hash`? */
static inline bool armed_rule_concerns(const struct armed_rule *rule, uint64_t proxy_hash)
{
    return rule->ops && (!rule->scope_hash || rule->scope_hash == proxy_hash);
}

/* True while the lease runs. The call that first finds it over marks it so and wakes the control thread. */
bool armed_is_live(struct armed *armed, uint64_t now_ns);

/* Moves the deadline. 0; -ESTALE once it is over. */
int armed_renew(struct armed *armed, uint64_t now_ns, uint64_t ttl_ns);

/* The next instant after now_ns at which a rule's window opens or closes or its ramp rises a step; UINT64_MAX for none. */
uint64_t armed_next_boundary(const struct armed *armed, uint64_t now_ns);

/* What the proxy's connections share under the rule, made by the first that asks: borrowed. NULL without memory. */
void *armed_shared(struct armed_rule *rule, uint64_t proxy_hash);

/* When the rule's window opened, or will. */
static inline uint64_t armed_rule_began_ns(const struct armed_rule *rule)
{
    return rule->armed_ns + rule->plan->selector.from_ns;
}

/* Takes one of the rule's budget: false (and `skipped` counted) when it is spent. */
bool armed_take(struct armed_rule *rule);

/* Takes one of the places of connections acted on at a time, when those are limited; false (and `skipped` counted) when none is
 * left. Each taken is given back. */
bool armed_enter(struct armed_rule *rule);
void armed_leave(struct armed_rule *rule);

/* Notes an effect at `ns`; the first of the epoch wakes the control thread. */
void armed_stamp(struct armed *armed, uint32_t rule, uint64_t ns, uint64_t stream, uint64_t position);

#endif
