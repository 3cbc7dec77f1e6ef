/* What a stream fault is: a small pure decision about bytes of one direction of one connection.
 *
 * 1. A fault does no I/O, reads no clock, allocates nothing and never calls the next fault: it fills rulings, the chain
 *    (chain.h) applies them.
 * 2. It counts from `range.came_ns`, never from the instant it is asked at: the chain may ask late, about bytes that wait.
 * 3. Draws are keyed on byte offsets (stream_draw), never on how TCP cut the stream into reads.
 * Runs on the loop's thread. */
#ifndef PERTURB_INJECTOR_STREAM_H
#define PERTURB_INJECTOR_STREAM_H

#include "scenarios/base/rng.h"
#include "scenarios/vocab/fault.h"

enum ruling_kind {
    RULING_PASS,      /* `size` bytes go on, after those before them */
    RULING_HOLD,      /* `size` bytes go on at at_ns; never before bytes ruled on earlier. From on_open: do not dial before */
    RULING_SPLIT,     /* as HOLD, and the segment ends behind them: what follows travels apart */
    RULING_REPLACE,   /* `size` bytes vanish; `bytes` go on in `direction` instead, at at_ns */
    RULING_DISCARD,   /* `size` bytes vanish */
    RULING_STALL,     /* nothing more is taken until the fault ends; what has come waits. From on_open: do not dial */
    RULING_CLOSE_FIN, /* close in order, behind what was passed on */
    RULING_CLOSE_RST, /* reset: in order from on_bytes and on_eof, at once from on_open and on_timer */
    RULING_END,       /* the direction ends in order, the rest of it vanishes; the other direction lives */
};

enum { RULINGS_MAX = 16, GRID_CELL_BYTES = 1024 };

struct ruling {
    enum ruling_kind kind;
    uint32_t direction; /* REPLACE: where the bytes go, one enum direction; 0 is the fault's own */
    uint64_t size;
    uint64_t at_ns; /* CLOCK_MONOTONIC; 0 is at once */
    const void *bytes; /* REPLACE: borrowed until the operation's rulings are applied, at most CHUNK_BYTES */
    uint32_t bytes_size;
};

/* Rulings on one occasion, in the order of the bytes. They may cover only the front of the range: the rest is asked about
 * again. They must take at least one byte, stall or close. */
struct rulings {
    uint32_t count;
    uint64_t timer_ns; /* when to call on_timer, absolute; 0 leaves the timer as it is */
    struct ruling list[RULINGS_MAX];
};

/* Bytes on which a ruling is asked. */
struct range {
    uint64_t offset; /* of the first byte, absolute in the direction's stream */
    uint64_t size;   /* 0 for the end of the stream */
    uint64_t came_ns;
    const uint8_t *bytes; /* borrowed until return */
};

/* Where a fault stands when asked. */
struct stream_view {
    const union fault_params *params;
    void *state;             /* this direction's, state_size bytes, zeroed before on_open */
    void *other;             /* the other direction's state of the same fault on the same connection */
    void *shared;            /* shared_size bytes of this direction, of all the proxy's connections under the rule; 0 at first */
    uint64_t now_ns;
    uint64_t began_ns;       /* when the rule's window opened, the same for every connection */
    uint32_t direction;      /* one enum direction */
    bool fresh;              /* on_open: the connection was just accepted; else the fault was armed on an open one */
    uint64_t seed, name_hash, stream;
    uint64_t epoch;          /* of the plan */
};

/* Any may be NULL: bytes and end pass on, nothing happens. */
struct stream_ops {
    size_t state_size;
    size_t shared_size; /* loops run at once: touched through __atomic only */
    void (*on_open)(const struct stream_view *view, struct rulings *ret_rulings);
    void (*on_bytes)(const struct stream_view *view, const struct range *range, struct rulings *ret_rulings);
    void (*on_eof)(const struct stream_view *view, const struct range *range, struct rulings *ret_rulings);
    void (*on_timer)(const struct stream_view *view, struct rulings *ret_rulings);
    /* The parameters are others from here on; the state stays as it was, the timer is off. Rulings mean what they do from on_open. */
    void (*on_change)(const struct stream_view *view, struct rulings *ret_rulings);
    bool rules_again; /* after a change, what is held is ruled on anew: its instants follow from what the state now says */
    void (*end)(const struct stream_view *view, struct rulings *ret_rulings); /* released: only CLOSE_* means anything */
};

/* The functions of a stream fault; NULL for faults of other layers. A STREAM row of faults.def without its
 * `injector/faults/NAME.c` is a link error. */
extern const struct stream_ops *const stream_registry[FAULT_COUNT];

static inline bool rulings_full(const struct rulings *rulings)
{
    return rulings->count == RULINGS_MAX;
}

/* Adds one; the caller looks at rulings_full() first when it adds in a loop. */
static inline void rulings_add(struct rulings *rulings, enum ruling_kind kind, uint64_t size, uint64_t at_ns)
{
    rulings->list[rulings->count++] = (struct ruling){ .kind = kind, .size = size, .at_ns = at_ns };
}

/* A draw of this fault on this direction. Position 0 belongs to the choice of the connection; byte positions follow it. */
static inline uint64_t stream_draw(const struct stream_view *view, uint64_t position)
{
    return rng_draw(view->seed, view->name_hash, view->stream, position + 1);
}

#endif
