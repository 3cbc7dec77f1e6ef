/* Watching a target's locks: the snapshot that is written when a thread waits too long, the table of what contention costs, and the
 * breaking of a deadlock. Used by `exec` and by a run.
 *
 * The snapshot is a JSON document, `kind` "perturb-locks", `version` 1 (docs/locks.md); `perturb diagnose` reads it. */
#ifndef PERTURB_RUN_LOCKS_H
#define PERTURB_RUN_LOCKS_H

#include "shims/host/lockwatch.h"

#include <stdio.h>

struct cJSON;

enum lock_break { LOCK_BREAK_OFF, LOCK_BREAK_EDEADLK, LOCK_BREAK_CRASH };

struct lock_options {
    bool waits;            /* waits, holders and orders are noted */
    uint32_t sample;       /* the profile times one in so many contended acquisitions; 0: no profile */
    uint64_t stuck_ns;     /* a wait of so long makes a snapshot */
    enum lock_break breaks; /* what becomes of a deadlock */
};

#define LOCK_STUCK_NS UINT64_C(5000000000) /* unless told otherwise */

/* "5s" and the like for `stuck_ns`; "off", "edeadlk", "crash". 0 or -EINVAL. */
int lock_break_parse(const char *text, enum lock_break *ret_breaks);

struct lock_watcher;

/* Starts watching for ttl_ns. `page` is borrowed until locks_close. Returns new; -ENOMEM, -errno. */
int locks_open(struct page *page, const struct lock_options *options, uint64_t ttl_ns, struct lock_watcher **ret_watcher);
struct lock_watcher *locks_close(struct lock_watcher *watcher); /* accepts NULL, returns NULL; the target goes on being watched */

int locks_renew(struct lock_watcher *watcher, uint64_t ttl_ns);

/* How long to wait at most until the next look. */
int locks_look_ms(const struct lock_watcher *watcher);

/* What one look found. */
struct lock_finding {
    struct cJSON *snapshot; /* new: the caller's to delete; NULL when nobody waits too long that was not told before */
    bool is_deadlock;
    bool is_broken;         /* and it was told to end */
    char text[480];         /* in one sentence */
};

/* Looks once. When it takes a snapshot, each thread stands still for as long as the snapshot says. */
void locks_look(struct lock_watcher *watcher, struct lock_finding *ret_finding);

/* All that is noted now, as the `locks` of a result document: profile and orders. Returns new; NULL when there is no memory or
 * nothing was asked for. It also works when the target has gone. */
struct cJSON *locks_document(const struct lock_watcher *watcher);

/* The profile as a table for people, the orders that could deadlock; nothing when there is nothing to tell. `rows` at most. */
void locks_print(const struct page *page, FILE *out, size_t rows);

#endif
