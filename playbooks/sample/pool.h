/* A fixed number of connections to the store, lent one at a time.
 * An idle connection that the store has closed meanwhile is noticed when it is next lent, and replaced. */
#ifndef PERTURB_PLAYBOOKS_SAMPLE_POOL_H
#define PERTURB_PLAYBOOKS_SAMPLE_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "playbooks/sample/net.h"

enum { POOL_MAX = 256 };

struct pool_slot {
    int fd; /* -1: not connected */
    bool lent;
};

struct pool {
    struct net_address address;
    pthread_mutex_t lock;
    pthread_cond_t returned;
    struct pool_slot slots[POOL_MAX];
    unsigned size, in_use;
    bool closed;
    uint64_t waits;    /* borrowings that found no free slot */
    uint64_t connects; /* connections begun */
};

void pool_init(struct pool *pool, const struct net_address *address, unsigned size);

/* Lends a connected slot, connecting if need be, by the deadline (0 = for ever).
 * 0; -ETIMEDOUT (no slot, or connecting took too long), -ECANCELED (closed), connect's -errno. */
int pool_borrow(struct pool *pool, uint64_t deadline_ns, unsigned *ret_slot);
int pool_fd(const struct pool *pool, unsigned slot); /* valid while lent */

/* Takes the slot back; `broken` closes its connection (a late answer would be taken for the next one's). */
void pool_return(struct pool *pool, unsigned slot, bool broken);

/* Fails all present and future borrowings and wakes their waiters, those inside recv included. */
void pool_close(struct pool *pool);

#endif
