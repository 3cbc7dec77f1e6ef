/* A proxied connection: two sockets, two one-way links, the faults between.
 *
 *   DIALLING --connected--> OPEN --both ends passed on--> CLOSING --nothing in flight--> free
 *       |                     |---a fault closes--> LINGER --both peers done, or 2 s--> CLOSING
 *       |                     |---a reset in order--> FLUSH --sent bytes acknowledged, or 1 s--> RESETTING
 *       +-------refused-------+---reset--> RESETTING --nothing in flight--> RST to both, free
 *
 * 1. While an operation is in flight the descriptors and the slot belong to the kernel: both are given up at `inflight` 0 only.
 * 2. One send is in flight per direction at most. Bytes go out in the order they came in.
 * 3. A receive is armed only while the link may hold more; bytes that come nevertheless (a cancel takes a turn) are kept. The
 *    bounds shrink with the memory left, and receives come one at a time when it is low, so that links whose readers are stuck
 *    cannot starve those that move. A link that holds nothing may always read.
 * 4. An end travels behind the bytes before it; a peer's reset too. The other direction lives on (half-close).
 * 5. A reset is SO_LINGER {1, 0} and close, after the last operation has ended: otherwise the kernel sends a FIN.
 * 6. A close by a fault shuts both sides down and reads on for a while, so that no reset of the kernel's destroys bytes that
 *    the peer has not read yet.
 * 7. Where the proxy knows no half-close (PROXY_ENDS_WHOLE), an end passed on is taken for the end of the other source as well.
 * conn.c is the life of it, link.c moves the bytes, bulk.c those that nobody looks at. All on the loop's thread. */
#ifndef PERTURB_INJECTOR_CONN_H
#define PERTURB_INJECTOR_CONN_H

#include "injector/bulk.h"
#include "injector/chain.h"
#include "injector/io.h"
#include "injector/proxy.h"
#include "injector/timer.h"

#include <netinet/in.h>

struct handed;
struct loop;
struct resolved;

enum conn_state { CONN_FREE, CONN_DIALLING, CONN_OPEN, CONN_LINGER, CONN_FLUSH, CONN_CLOSING, CONN_RESETTING };

/* One direction: reads from fds[direction], writes to fds[!direction]. */
struct link {
    struct queue sending; /* bytes given to the kernel, or the next to be */
    struct chunk *tail;   /* its rest takes the next small receive; one reference is ours. NULL for none */
    bool recv_busy, recv_cancelled, recv_repeats, recv_large, send_busy;
    bool large;         /* it brings streams, not messages: large chunks serve it better */
    uint8_t size_run;   /* receives in a row that say otherwise */
    bool came_end; /* the source has ended */
    bool ended;    /* and the destination was told */
    bool broken;   /* the destination takes no more */
    bool reset_behind; /* its end is to be a reset: the source was found dead by the other link */
    bool paused, full;
    uint64_t free_ns; /* since when the destination has taken all that was sent */
    uint64_t sent_bytes; /* passed on */
    struct bulk bulk; /* while it is on, no receive is armed and no send in flight */
};

union client_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

struct conn {
    struct loop *loop;
    struct proxy *proxy; /* one reference */
    uint32_t slot, generation;
    uint8_t state, inflight;
    bool connected, connecting, dirty, starved;
    bool resolving; /* the upstream's name is being looked up; the answer carries the tag of the connect */
    bool client_spoke; /* the client, and not its upstream, was the last whose bytes came */
    int fds[2]; /* client, upstream; -1 for none */
    struct link links[DIRECTIONS];
    struct chain chain;
    uint64_t began_ns;    /* when it was accepted */
    uint64_t deadline_ns; /* of LINGER and FLUSH */
    uint64_t told_bytes, told_cost; /* what the proxy's share knows of held bytes */
    struct timer_node timer;
    struct conn *next_dirty, *next_starved;
    union client_address client;
    int flush_fd; /* FLUSH: borrowed from fds; whose sent bytes are to arrive before the reset */
    union client_address *destination; /* owned: where a captured one was going, until it is dialled; NULL when unknown */
};

/* A descriptor was accepted (takes it), as the proxy's connection number `sequence`. `handed`: by another loop, else NULL. */
void conn_accepted(struct loop *loop, struct proxy *proxy, int fd, uint64_t sequence, const struct handed *handed);

/* Counts a connection that another loop will serve into the rules of this loop's plan: returns new, NULL when none concerns it. */
uint64_t *conn_count_in(const struct loop *loop, const struct proxy *proxy, int fd, uint64_t sequence);

/* Completions. */
void conn_resolved(struct conn *conn, const struct resolved *resolved);
void conn_connect_done(struct conn *conn, int result);
void link_received(struct conn *conn, int direction, const struct io_completion *completion);
void link_sent(struct conn *conn, int direction, int result);

/* Does everything that can be done now; called once a turn for each connection that something happened to. */
void conn_advance(struct conn *conn);

/* The plan changed: NULL is none. Or only time has passed a window's edge. */
void conn_adopt(struct conn *conn, struct armed *armed);
void conn_consider(struct conn *conn);

void conn_end(struct conn *conn); /* closes it in order, with a FIN to both */
void conn_cut(struct conn *conn); /* closes it now: the loop stops */

/* For link.c. */
void conn_touch(struct conn *conn);
void conn_starve(struct conn *conn);
void conn_reset(struct conn *conn);
void conn_stream_ended(struct conn *conn, int direction, uint32_t segment_flags);

/* For bulk.c. */
void link_count_received(struct conn *conn, int direction, uint64_t bytes);
void link_count_sent(struct conn *conn, int direction, uint64_t bytes);
void link_source_ended(struct conn *conn, int direction, uint32_t segment_flags);
void link_count_exchange(struct conn *conn, bool is_client);
void link_break(struct conn *conn, int direction); /* the destination takes no more */

/* For conn.c. */
void link_send(struct conn *conn, int direction);
void link_read(struct conn *conn, int direction);
void link_drop(struct conn *conn, int direction); /* forgets what is not in the kernel's hands */

/* Request tags: operation, direction, generation, slot. */
enum operation {
    OPERATION_NONE,
    OPERATION_WAKE,
    OPERATION_ACCEPT,
    OPERATION_CONNECT,
    OPERATION_RECV,
    OPERATION_SEND,
    OPERATION_READABLE,
    OPERATION_WRITABLE,
    OPERATION_DATAGRAM, /* the set of UDP sockets is readable; a session's upstream was looked up */
};
enum { GENERATION_MASK = 0xffffff };

static inline uint64_t tag_of(enum operation operation, int direction, uint32_t generation, uint32_t slot)
{
    return (uint64_t)operation << 60 | (uint64_t)direction << 56 | (uint64_t)(generation & GENERATION_MASK) << 32 | slot;
}

static inline uint64_t conn_tag(const struct conn *conn, enum operation operation, int direction)
{
    return tag_of(operation, direction, conn->generation, conn->slot);
}

#endif
