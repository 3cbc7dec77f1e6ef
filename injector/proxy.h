/* A proxy: one listener (or UDP socket), one upstream, its counters.
 * Made and listed by the control thread; each loop that serves it holds a reference, and so does each connection. The fields
 * but the shares, the sequence and the references never change while a loop knows it. */
#ifndef PERTURB_INJECTOR_PROXY_H
#define PERTURB_INJECTOR_PROXY_H

#include "scenarios/vocab/message.h"

#include <stdbool.h>
#include <sys/socket.h>

/* One loop's counters: written by that loop alone, read by the control thread, through __atomic. */
struct proxy_share {
    uint64_t connections, connections_open, connects_failed;
    uint64_t bytes[2]; /* by direction index, passed on */
    uint64_t received[2]; /* by direction index */
    uint64_t bulks; /* times a direction began to be spliced */
    uint64_t exchanges; /* times a client began to speak: first, or after its upstream had */
    uint64_t hold_full, hold_full_ns, hold_full_bytes;
    uint64_t hold_full_epoch; /* of the last one that woke the control thread */
    struct histogram lateness; /* of released bytes */
    struct datagram_counts datagrams[2]; /* UDP, by direction index */
    uint64_t sessions_expired, sessions_evicted, upstream_refused, overrun;
    bool careful;             /* the loop's own: near the bound, receives come one at a time */
};

struct proxy {
    struct proxy_spec spec; /* with the address really listened on */
    uint32_t index;         /* in the injector's table */
    uint64_t hash;          /* rng_hash(spec.name) */
    int listen_fd;
    char unlink_path[ADDRESS_TEXT_MAX]; /* control thread: of a Unix socket we bound, "" for none */
    struct sockaddr_storage upstream;
    socklen_t upstream_size;   /* 0: a name, looked up at each dial; or captured, asked of each connection */
    uint16_t capture_port;     /* host order, of a listener for captured connections; else 0 */
    uint64_t sequence;         /* (atomic) of the last connection */
    uint64_t held_bytes, held_cost, held_bytes_peak; /* (atomic) by faults, in all loops */
    uint32_t references;       /* (atomic) */
    uint64_t hold_full_told;   /* control thread: epoch whose event was handed out */
    struct proxy_share shares[]; /* one a loop */
};

void proxy_unref(struct proxy *proxy); /* the last one closes the listener and frees */

static inline uint64_t proxy_held_cost(const struct proxy *proxy)
{
    return __atomic_load_n(&proxy->held_cost, __ATOMIC_RELAXED);
}

/* So many more are held by one connection; differences wrap. */
static inline void proxy_hold(struct proxy *proxy, uint64_t bytes, uint64_t cost)
{
    uint64_t held = __atomic_add_fetch(&proxy->held_bytes, bytes, __ATOMIC_RELAXED);
    uint64_t peak = __atomic_load_n(&proxy->held_bytes_peak, __ATOMIC_RELAXED);

    __atomic_fetch_add(&proxy->held_cost, cost, __ATOMIC_RELAXED);
    while (held > peak && !__atomic_compare_exchange_n(&proxy->held_bytes_peak, &peak, held, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

static inline void share_add(uint64_t *counter, uint64_t amount)
{
    __atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

static inline void share_set(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

#endif
