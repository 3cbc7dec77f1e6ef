/* What the shim notes about locks while they are watched or profiled: part of the control page's counters, written by the target,
 * read by the controller. Bounded tables, no pointers, entries claimed by compare-and-swap; what finds no room is counted in `lost`.
 *
 * 1. A thread alone writes its slot, but for `give_up`; `change` is odd while it does, so a reader copies and looks again.
 * 2. A site is a return address in one process, noted once with the module and the offset in it, so that it can be named when the
 *    process has gone. Sites are told by number, index + 1; 0 is "unknown".
 * 3. A slot is of the watching whose number it holds; what was noted under another one is void. */
#ifndef PERTURB_SHIMS_LOCKS_H
#define PERTURB_SHIMS_LOCKS_H

#include <stdint.h>

enum {
    LOCK_SITES_MAX = 2048,
    LOCK_MODULES_MAX = 64,
    LOCK_MODULE_NAME_MAX = 248,
    LOCK_EDGES_MAX = 2048,
    LOCK_THREADS_MAX = 1024,
    LOCK_HELD_MAX = 24,
};

enum lock_kind { LOCK_NONE, LOCK_MUTEX, LOCK_READING, LOCK_WRITING, LOCK_SPIN, LOCK_SEMAPHORE, LOCK_CONDITION, LOCK_KIND_COUNT };

/* What is asked for; in the read-only part of the page. */
enum { WATCH_PROFILE = 1, WATCH_WAITS = 2 };

struct control_watch {
    uint32_t flags;
    uint32_t number; /* of this watching; rises with each change */
    uint32_t sample; /* one in so many contended acquisitions is timed; 0 is 1 */
    uint32_t reserved;
    uint64_t lease_ns; /* CLOCK_MONOTONIC; at or past it nothing is noted */
};

struct lock_module {
    uint32_t state; /* 0 free, 1 being filled, 2 whole */
    char path[LOCK_MODULE_NAME_MAX];
};

struct lock_site {
    _Alignas(64) uint64_t key; /* 0: free */
    uint64_t address;
    uint64_t offset;  /* in its module, as the file's own addresses go; of no module: the address */
    uint32_t module;  /* index + 1; 0: unknown */
    uint32_t pid;
    uint32_t ready;
    uint32_t kind;        /* enum lock_kind of the first lock taken here */
    uint64_t contended;   /* acquisitions that found the lock taken, while profiled */
    uint64_t sampled;     /* of these, how many were timed */
    uint64_t sampled_ns;  /* what those waited together */
    uint64_t most_ns;     /* and the longest of them */
};

/* `lock` was asked for while `held` was held. */
struct lock_edge {
    _Alignas(64) uint64_t key; /* 0: free */
    uint64_t held, lock;
    uint64_t guard; /* a lock that was held before `held` each time; 0: none */
    uint32_t held_site, site;
    uint32_t held_kind, kind;
    uint32_t pid, tid; /* who was first */
    uint32_t ready;
};

struct lock_held {
    uint64_t lock;
    uint32_t site, kind;
};

struct lock_wait {
    uint64_t lock;
    uint64_t since_ns; /* 0: does not wait */
    uint32_t site, kind;
    uint32_t serial;   /* of this wait of the thread */
    uint32_t timed;    /* 1: it ends by itself */
};

struct lock_thread {
    _Alignas(64) uint64_t key; /* pid << 32 | tid; 0: free */
    uint32_t watch;
    uint32_t change;
    uint32_t give_up; /* written from outside: the serial of the wait that is to fail with EDEADLK */
    uint32_t gave_up; /* how many did */
    uint32_t held_count;
    uint32_t unlisted; /* locks held on top of those that the list has room for */
    struct lock_wait wait;
    struct lock_held held[LOCK_HELD_MAX];
};

struct control_locks {
    uint64_t lost;
    struct lock_module modules[LOCK_MODULES_MAX];
    struct lock_site sites[LOCK_SITES_MAX];
    struct lock_edge edges[LOCK_EDGES_MAX];
    struct lock_thread threads[LOCK_THREADS_MAX];
};

#endif
