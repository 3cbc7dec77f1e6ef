/* The faults on one connection, and the bytes they hold, in both directions. No I/O and no clock: the connection pushes what
 * came in, pumps, and takes from `out` what may be sent; tests do the same on virtual time.
 *
 *   push -> [inbox | held] -> [inbox | held] -> ... -> out        one stage a rule and direction, in plan order
 *
 * 1. Bytes leave a stage in the order they entered it. Only a ruling makes bytes vanish.
 * 2. A stage rules lazily: at most STAGE_HELD_MAX segments of it wait at a time, so that tiny slices bound memory; rulings
 *    count from when bytes came and so are none the later.
 * 3. When a rule ends, what its stages hold goes to the next stage, or out, in order.
 * 4. A rule that observes, or whose budget is spent, passes everything.
 * 5. A rule takes one of its budget at its first effect on a connection, and counts as fired once a connection. */
#ifndef PERTURB_INJECTOR_CHAIN_H
#define PERTURB_INJECTOR_CHAIN_H

#include "injector/armed.h"
#include "injector/pool.h"

#include <sys/socket.h>

enum { TO_UPSTREAM, TO_CLIENT, DIRECTIONS }; /* index of a direction; its bit is 1 << index */
enum { STAGE_HELD_MAX = 256 };

struct stage {
    struct queue inbox; /* not ruled on yet */
    struct queue held;  /* ruled on, waiting for at_ns, which rises */
    uint64_t due_last_ns;
    uint64_t timer_ns; /* 0 for none */
    uint64_t told_bytes; /* what the rule's live counter knows of held bytes */
    bool active;
    bool stalled;  /* ruled STALL: takes no more */
    bool finished; /* ruled a close: what comes is thrown away */
    void *state;
};

enum grip_flags {
    GRIP_SEEN = 1,         /* the predicates were tried */
    GRIP_MATCHED = 2,      /* and held */
    GRIP_ELIGIBLE = 4,
    GRIP_ACTIVE = 8,       /* its stages rule */
    GRIP_FIRED = 16,
    GRIP_OVER = 32,        /* window closed, budget spent */
    GRIP_OPEN_STALLED = 64, /* it asked not to dial */
    GRIP_ENTERED = 128,    /* it stands among the connections acted on at a time */
};

/* One rule's hold on one connection. */
struct grip {
    uint32_t rule; /* index in the plan */
    uint32_t flags;
    uint64_t ordinal; /* of the connection among the rule's matches, from 1 */
    uint64_t open_ns; /* no dial before */
    char *shared;     /* borrowed from the rule: what the proxy's connections share; NULL for none */
    struct stage stages[DIRECTIONS];
};

struct chain {
    struct pool *pool;   /* borrowed */
    struct armed *armed; /* borrowed until the next chain_adopt; NULL for none */
    struct grip *grips;  /* owned; `count` of them, in plan order */
    uint32_t count;
    uint32_t close_rule; /* the rule that closes or resets the connection, RULE_NONE */
    bool reset;          /* a fault wants the connection reset at once */
    bool ordinals_are_older;
    bool end_discarded[DIRECTIONS];
    uint64_t now_ns;     /* of the operation under way */
    uint64_t retry_ns;   /* memory was out: try again then; 0 for none */
    const struct sockaddr *client; /* borrowed, NULL when unknown */
    const uint64_t *ordinals;      /* borrowed: of chain_counted; NULL for none */
    uint64_t proxy_hash, sequence;
    uint64_t offset[DIRECTIONS]; /* bytes pushed so far */
    struct queue out[DIRECTIONS];
};

/* `sequence` is the connection's number at its listener, from 1: with the proxy's name it is the stream id of all draws. */
void chain_init(struct chain *chain, struct pool *pool, uint64_t proxy_hash, uint64_t sequence);
void chain_done(struct chain *chain);

/* Counts the connection into those rules of a plan that it matches, in the order of the calls: of each rule its ordinal, 0 where it
 * does not match. Returns new (free), NULL when no rule concerns the proxy or memory is out. */
uint64_t *chain_count_in(const struct chain *chain, struct armed *armed, uint64_t now_ns);

/* It was counted so, into the plan that the next chain_adopt takes up or (`older`) the one that it carries rules over from. Borrowed
 * until the next call, NULL for none: the adoption then counts by itself. */
void chain_counted(struct chain *chain, const uint64_t *ordinals, bool older);

/* Puts the connection under a plan (NULL: none): rules not carried over end, new ones begin. `fresh`: just accepted.
 * 0; -ENOMEM: the connection is under no rule, and each that would have acted counts it as skipped. */
int chain_adopt(struct chain *chain, struct armed *armed, uint64_t now_ns, bool fresh);

/* Looks at the windows again: rules may begin or end. */
void chain_consider(struct chain *chain, uint64_t now_ns, bool fresh);

/* Bytes or an end came (takes the segment, whose came_ns is set). */
void chain_push(struct chain *chain, int direction, struct segment *segment);

/* Rules on what came and moves what is due, up to `out`. */
void chain_pump(struct chain *chain, int direction, uint64_t now_ns);

uint64_t chain_next_ns(const struct chain *chain);                            /* when to pump again; UINT64_MAX for never */
bool chain_stalled(const struct chain *chain, int direction);                 /* something came and is stalled: stop reading */
bool chain_open_stalled(const struct chain *chain);                           /* do not dial yet */
bool chain_is_staged(const struct chain *chain, int direction);               /* a stage rules on this direction */
bool chain_watches(const struct chain *chain, int direction);                 /* a rule may look at bytes, or has some */
void chain_held(const struct chain *chain, int direction, uint64_t *ret_bytes, uint64_t *ret_cost); /* in stages */

/* The close or reset the chain asked for was carried out at `ns`. */
void chain_closed(struct chain *chain, int direction, uint64_t ns);

#endif
