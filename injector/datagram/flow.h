/* The faults on the datagrams of one proxy, and those they hold. No I/O and no clock: the hub (udp.h) pushes what came in, runs what
 * is due and sends what is emitted; tests do the same on virtual time.
 *
 *   push -> rule -> rule -> ... -> emit      in plan order; a datagram held by a rule goes on behind that rule when it is due
 *
 * 1. Each datagram goes at its own instant: order is kept only where the instants keep it.
 * 2. What came or was doubled is emitted, dropped, found no room, failed (its session ended), or is held: counted, all of it.
 * 3. When a rule ends, what it holds goes on at once, in the order it came to the rule; rules behind it that live on rule on it.
 * 4. A rule takes one of its budget for each datagram it acts on; one that observes, or whose budget is spent, passes everything.
 * 5. Held memory is bounded, a datagram's overhead included. What comes on top of the bound is lost, counted and told.
 * On the loop's thread. */
#ifndef PERTURB_INJECTOR_DATAGRAM_FLOW_H
#define PERTURB_INJECTOR_DATAGRAM_FLOW_H

#include "injector/armed.h"
#include "scenarios/vocab/message.h"

#include <sys/socket.h>

/* A datagram with memory of its own. */
struct packet {
    struct packet *next; /* the owner's */
    uint64_t at_ns, arrival; /* held until; number of its coming to the rule */
    struct flow_session *session;
    uint32_t stage; /* index of the rule that holds it */
    uint32_t size;
    uint8_t direction;
    bool copy;
    uint8_t bytes[];
};

/* A session's part of each rule. */
struct flow_grip {
    uint64_t ordinal[2]; /* matches so far, by direction index */
};

/* What the flow knows of a session; lies in the hub's. */
struct flow_session {
    struct flow_session *newer, *older;
    const struct sockaddr *client; /* borrowed */
    uint64_t sequence; /* number of the session at its proxy, from 1 */
    uint64_t held_cost[2];
    struct flow_grip *grips; /* owned: one a rule, their states behind them. NULL: under no rule */
};

struct flow_rule {
    uint32_t rule;  /* index in the plan */
    uint32_t next;  /* while a plan is taken up: its index under the new one */
    bool over;      /* window closed, or ended: passes everything */
    uint8_t *state; /* owned: both directions', where they are the link's */
    size_t session_offset; /* where they are the session's: behind the grips */
};

/* Takes `packet` (free()) when there is one, and `bytes` lie in it; else they are borrowed until the push returns control. */
typedef void flow_emit(void *context, struct flow_session *session, int direction, uint8_t *bytes, uint32_t size, struct packet *packet);

struct flow {
    uint64_t proxy_hash;
    struct armed *armed; /* borrowed until the next flow_adopt; NULL for none */
    struct flow_rule *rules; /* owned */
    uint32_t count;
    size_t session_size; /* bytes of a session's grips and states */
    struct flow_session *oldest, *newest; /* by use */
    struct packet **heap; /* owned; by at_ns, then arrival */
    uint32_t heap_count, heap_capacity;
    uint64_t arrivals;
    uint64_t now_ns; /* of the operation under way */
    uint64_t held_bytes, held_cost; /* payload; and with what a datagram costs beside it */
    uint64_t held_cost_max, session_cost_max; /* of all; of one session's direction */
    struct datagram_counts *counts; /* borrowed: [2] */
    flow_emit *emit;
    void *context;
};

/* The members from held_cost_max on are the caller's to set, before. */
void flow_init(struct flow *flow, uint64_t proxy_hash);
void flow_done(struct flow *flow); /* every session has ended */

/* A session begins, its `client` and `sequence` set; without memory it is under no rule. And ends: what is held of it is lost. */
void flow_begin(struct flow *flow, struct flow_session *session);
void flow_end(struct flow *flow, struct flow_session *session);
void flow_touch(struct flow *flow, struct flow_session *session); /* becomes the newest */

/* Puts the proxy under a plan (NULL: none): rules not carried over end, new ones begin. 0; -ENOMEM: it is under no rule, and each that
 * would have acted counts as skipped. */
int flow_adopt(struct flow *flow, struct armed *armed, uint64_t now_ns);

/* Looks at the windows again: rules may end. */
void flow_consider(struct flow *flow, uint64_t now_ns);

/* A datagram came at now_ns. `bytes`: borrowed, and may be changed. */
void flow_push(struct flow *flow, struct flow_session *session, int direction, uint8_t *bytes, uint32_t size, uint64_t now_ns);

void flow_run(struct flow *flow, uint64_t now_ns); /* what is due goes on */
uint64_t flow_next_ns(const struct flow *flow);   /* UINT64_MAX for never */

/* A datagram with memory of its own, within the bounds; NULL and counted when there is no room. packet_release gives the room back,
 * and the packet is the caller's alone then. */
struct packet *flow_keep(struct flow *flow, struct flow_session *session, int direction, const uint8_t *bytes, uint32_t size);
void flow_release(struct flow *flow, struct packet *packet);

#endif
