/* What a watched target noted about its locks (shims/include/locks.h), copied out of the page and judged: who is deadlocked, which
 * orders could deadlock, what contention costs. Control plane.
 *
 * 1. A copy holds only slots that held still while they were copied, of threads that live, of the page's present watching.
 * 2. A deadlock is a cycle of threads each of which waits for a lock that the next one holds. It is real when the same waits are
 *    still there in a second copy: a thread's wait has a serial number. Semaphores and conditions have no owner and are no part of
 *    one.
 * 3. An order cycle is a possibility, not a fact: locks taken in different orders at different times. One lock always held around
 *    it, and shared locks that do not exclude each other, are taken into account; that two paths never run at once is not known. */
#ifndef PERTURB_SHIMS_LOCKWATCH_H
#define PERTURB_SHIMS_LOCKWATCH_H

#include "shims/host/page.h"

enum { LOCK_CYCLES_MAX = 16, LOCK_CYCLE_LENGTH_MAX = 32, LOCK_ORDER_LENGTH_MAX = 5 };

/* A cycle by indices: of `threads` for a deadlock, of `edges` for an order. */
struct lock_cycle {
    uint32_t count;
    uint32_t timed; /* 1: one of the waits ends by itself */
    uint32_t index[LOCK_CYCLE_LENGTH_MAX];
};

struct lock_copy {
    uint64_t taken_ns; /* CLOCK_MONOTONIC */
    uint64_t lost;     /* what a full table had no room for */
    size_t thread_count, edge_count, module_count, site_count;
    struct lock_thread threads[LOCK_THREADS_MAX];
    struct lock_edge edges[LOCK_EDGES_MAX];
    struct lock_module modules[LOCK_MODULES_MAX];
    struct lock_site sites[LOCK_SITES_MAX]; /* by number - 1, those that are not ready with `ready` 0 */
    size_t deadlock_count, order_count;
    struct lock_cycle deadlocks[LOCK_CYCLES_MAX], orders[LOCK_CYCLES_MAX];
};

/* Copies and judges. Returns new (free); NULL when there is no memory. */
struct lock_copy *lockwatch_copy(const struct page *page);

/* True when every wait of that deadlock of `before` is also in `now`, unchanged. */
bool lockwatch_persists(const struct lock_copy *before, const struct lock_cycle *deadlock, const struct lock_copy *now);

/* True when some thread has waited for a lock for least_ns and `told` does not say so yet; notes all of them there, so that each
 * wait is told once. Conditions are left out: waiting is their nature. Cheap: nothing is copied. */
struct lock_told {
    uint64_t key;
    uint32_t serial;
};
bool lockwatch_is_stuck(const struct page *page, uint64_t least_ns, struct lock_told told[LOCK_THREADS_MAX]);

/* Tells a thread's present wait to end with EDEADLK. */
void lockwatch_give_up(const struct page *page, const struct lock_thread *thread);

/* The index of the thread that holds what `thread` waits for and thereby keeps it waiting; SIZE_MAX when none is known. */
size_t lockwatch_holder(const struct lock_copy *copy, const struct lock_thread *thread);

const char *lock_kind_name(uint32_t kind);

static inline int lock_thread_pid(const struct lock_thread *thread)
{
    return (int)(thread->key >> 32);
}

static inline int lock_thread_tid(const struct lock_thread *thread)
{
    return (int)(uint32_t)thread->key;
}

/* Contention at one call site, over all processes of the page. */
struct lock_profile {
    uint32_t module; /* index + 1; 0: unknown */
    uint32_t kind;
    uint64_t offset;
    uint64_t contended;
    uint64_t sampled;
    uint64_t delay_ns; /* all of it, estimated from what was timed */
    uint64_t most_ns;
};

/* The sites that saw contention, the dearest first, at most `max`. Returns how many. */
size_t lockwatch_profile(const struct lock_copy *copy, struct lock_profile *list, size_t max);

#endif
