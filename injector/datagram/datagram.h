/* What a datagram fault is: a small pure decision about one datagram of one direction of one session.
 *
 * 1. A fault does no I/O, reads no clock, allocates nothing and never calls the next one: it fills a ruling, the flow (flow.h)
 *    applies it.
 * 2. It counts from `came_ns`: when the datagram came, or was due out of the rule before.
 * 3. Its one source of chance is `draw`, a pure function of (seed, rule, session and direction, the datagram's number among those
 *    that the rule's selectors match there). What it remembers from one datagram to the next is `state`: with `scope` proxy it is the
 *    link's, all sessions of that direction in order of arrival, with `scope` session it is that session's direction's.
 * Runs on the loop's thread. */
#ifndef PERTURB_INJECTOR_DATAGRAM_DATAGRAM_H
#define PERTURB_INJECTOR_DATAGRAM_DATAGRAM_H

#include "scenarios/base/rng.h"
#include "scenarios/vocab/fault.h"

/* The words of every `scope` parameter of the layer, in their order. */
enum datagram_scope { DATAGRAM_SCOPE_PROXY, DATAGRAM_SCOPE_SESSION };

struct datagram_view {
    const union fault_params *params;
    void *state;      /* state_size bytes, 0 at first */
    uint64_t draw;
    uint64_t came_ns; /* CLOCK_MONOTONIC */
    uint32_t size;    /* of the payload, 0 .. 65,527 bytes */
};

/* Zeroed before the fault is asked: as it is, the datagram passes untouched. */
struct datagram_ruling {
    bool acts;     /* it has an effect: takes one of the budget and counts as fired. Without, nothing below is looked at */
    bool drops;
    bool doubles;  /* a copy follows at once */
    bool flips;    /* the bit `bit`, counted from the payload's first */
    uint32_t bit;  /* below 8 * size */
    uint64_t at_ns; /* held until then; at or before came_ns it is not held */
};

struct datagram_ops {
    size_t state_size;
    size_t scope_slot; /* of the `scope` parameter; 0: it has none, and no state */
    void (*rule)(const struct datagram_view *view, struct datagram_ruling *ret_ruling);
    /* A datagram that it ruled to hold is held no more, or was not held after all. NULL: it does not care. The view has no draw. */
    void (*left)(const struct datagram_view *view);
};

/* The functions of a datagram fault; NULL for faults of other layers. A DATAGRAM row of faults.def without its
 * `injector/datagram/faults/NAME.c` is a link error. */
extern const struct datagram_ops *const datagram_registry[FAULT_COUNT];

/* The draw that counts for a datagram when it may repeat the one before. A repeat is drawn for by itself, so the distribution stays
 * what it is and two datagrams that lie k apart correlate by the k-th power. (netem's mixes draws instead, which bends the
 * distribution: its own manual page says so.) */
struct datagram_memory {
    uint64_t draw;
    bool any;
};

static inline uint64_t datagram_correlate(struct datagram_memory *memory, uint64_t draw, int64_t correlation)
{
    if (!memory->any || !rng_chance(rng_mix(draw, 2), (uint32_t)correlation))
        *memory = (struct datagram_memory){ .draw = draw, .any = true };
    return memory->draw;
}

#define DATAGRAM_SLOT(fault, name) (offsetof(struct params_DATAGRAM_##fault, name) / sizeof(int64_t))

#endif
