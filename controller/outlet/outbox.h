/* Deliveries on disk: what a killed process had still to send is sent by the next.
 *
 *     STATE/outbox/RUN/run.json            which run, where, whose
 *                     /lock                flock(2)ed by the one who tells this run
 *                     /cursor              the last event that is in here, or that the end is
 *                     /OUTLET/SEQ-N.json   a delivery, in their order
 *                     /OUTLET/id-KEY       an id that an answer gave
 *     STATE/outbox/counts/OUTLET.json      sent, retried, dropped; when one was last sent, and what went wrong last
 *
 * 1. A delivery is durable before the cursor passes its event: after a crash an event is told again rather than not at all, under the
 *    same id.
 * 2. Everything is bounded: deliveries by the queue's length (the oldest goes first), runs by OUTBOX_RUNS_MAX. What goes is counted.
 * 3. Nothing in here is secret; still it is 0700. */
#ifndef PERTURB_OUTLET_OUTBOX_H
#define PERTURB_OUTLET_OUTBOX_H

#include "controller/outlet/delivery.h"

#include <sys/types.h>

enum { OUTBOX_PATH_MAX = 4096, OUTBOX_RUNS_MAX = 200, OUTBOX_NAME_MAX = 40 };

/* What run.json holds: enough to tell a run whose command has died. */
struct outbox_run {
    const char *run, *directory, *title, *service, *playbook;
    const struct text_list *tags;
    int64_t wall_offset_ns;
    pid_t pid; /* of the command */
    uint64_t pid_start; /* as in /proc/PID/stat: a pid alone may be another's by now */
};

/* STATE/outbox, made. 0; negative with an error added. */
int outbox_root(char path[OUTBOX_PATH_MAX], struct errs *errs);

/* Makes ROOT/RUN with its run.json. Room is made by dropping the oldest run that nobody tells. 0; negative with an error added. */
int outbox_make(const char *root, const struct outbox_run *run, char path[OUTBOX_PATH_MAX], struct errs *errs);

/* Reads run.json into a fresh story, *ret_pid and *ret_start. 0; -EINVAL. */
int outbox_read_run(const char *path, struct story *story, pid_t *ret_pid, uint64_t *ret_start);

/* Takes the lock of a run: a descriptor; -EWOULDBLOCK: somebody tells it. */
int outbox_lock(const char *path);

/* Removes ROOT/RUN where no delivery is left in it. True when it did. */
bool outbox_remove_if_empty(const char *path);

/* The last event that is told; UINT64_MAX: its end too. */
uint64_t outbox_cursor(const char *path);
int outbox_set_cursor(const char *path, uint64_t seq);

/* Deliveries. `name` is "SEQ-N.json". put: durable on return; returns how many old ones were dropped for it, or negative. */
int outbox_put(const char *path, const char *outlet, const char *name, const struct delivery *delivery, int64_t queue);
int outbox_first(const char *path, const char *outlet, char name[OUTBOX_NAME_MAX], struct delivery *ret_delivery); /* 0; -ENOENT: none */
void outbox_drop(const char *path, const char *outlet, const char *name);
size_t outbox_count(const char *path, const char *outlet);

/* Ids that answers gave. */
void outbox_keep_id(const char *path, const char *outlet, const char *key, const char *id);
bool outbox_id(const char *path, const char *outlet, const char *key, char *id, size_t size);

/* Counts of an outlet, over all runs and processes. */
struct outbox_counts {
    uint64_t sent, retried, dropped;
    double last_success_s; /* since 1970; 0: never */
    char last_error[256];
};
void outbox_add_counts(const char *root, const char *outlet, const struct outbox_counts *more); /* last_* where they are given */
void outbox_counts(const char *root, const char *outlet, struct outbox_counts *ret_counts);    /* zeros where there are none */
size_t outbox_waiting(const char *root, const char *outlet);                                   /* over all runs */

/* Calls for each run that is in there. `path` is borrowed. */
void outbox_each(const char *root, void (*call)(void *context, const char *path, const char *run), void *context);

#endif
