/* The core of `perturb serve`: what it remembers, the runs it supervises, the schedules it keeps. The HTTP side stands on this header.
 *
 * 1. A run is a process tree of its own (DESIGN section 5), in a session of its own. It outlives the service; the next service adopts
 *    it by pid, start time and boot.
 * 2. No run without a row: the row with the process' identity is committed before that process becomes a run (it waits for our word,
 *    and leaves when we die). So every run is accounted for, whenever the service is killed.
 * 3. The state lies behind one mutex; SQLite is touched only under it. Functions of this header lock by themselves unless they say so.
 *    Halt takes no lock: it goes through the registry (controller/run/recover.h).
 * 4. One service per DATA (flock). The service is a single process; its loop is the thread that calls service_loop().
 * 5. The service works in UTC: it sets TZ for itself, runs get the TZ that it was started with. */
#ifndef PERTURB_SERVE_SERVICE_H
#define PERTURB_SERVE_SERVICE_H

#include "controller/run/run.h"
#include "controller/serve/core/db.h"
#include "scenarios/base/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct service;

struct service_options {
    const char *data;      /* NULL: the state directory (store.h) */
    const char *playbooks; /* NULL: DATA/playbooks */
    const char *program;   /* what runs are started with: NULL: this program */
    void (*problem)(const char *text); /* told of what a person should look at, once; under the lock. NULL: nobody is */
    const char *listen;    /* "ADDRESS:PORT" of the API, to be protected; NULL: none */
};

/* Opens DATA, the database and serve.yaml, adopts what runs. Before any other thread is started: it sets TZ and PERTURB_STATE.
 * 0; negative with errors added (-EBUSY: another service has DATA). */
int service_open(const struct service_options *options, struct service **ret_service, struct errs *errs);
void service_close(struct service *service); /* accepts NULL; runs are left alone */

enum service_end {
    SERVICE_STOPPED = 0, /* SIGTERM, SIGINT: every run was aborted and has ended, or the time for it is up */
    SERVICE_RESTARTS,    /* SIGHUP: runs go on; the caller ends its threads and calls service_restart() */
};

/* Where the API really listens, an address or a URL, which no playbook may be aimed at. */
void service_listens_at(struct service *service, const char *address);

/* Blocks the signals that it takes; to be called before other threads start, so that they inherit the mask. */
int service_block_signals(struct service *service, struct errs *errs);

/* Supervises until it is told to end. Tells systemd READY, WATCHDOG, STOPPING, RELOADING where NOTIFY_SOCKET is set (sd_notify(3)). */
enum service_end service_loop(struct service *service);

/* Something beside the runs that the loop looks after. `attend` is called in the loop's thread, unlocked, whenever the loop goes round:
 * after `fd` is ready to read, and at `due_s` at the latest; it may change both. */
struct service_ward {
    int fd;        /* -1: none */
    int64_t due_s; /* since the epoch; 0: whenever */
    void (*attend)(struct service_ward *ward, struct service *service);
};
void service_attend(struct service *service, struct service_ward *ward); /* one; before the loop; borrowed until its end */

/* A problem for the status, and to be told of, as long as it is told again at least every ten minutes. Locks. */
void service_tell_problem(struct service *service, const struct errs *errs);

/* Becomes the same program again with the command's `argv` ("serve", ...); the lock on DATA goes with it. Returns only on failure: a
 * negative errno. */
int service_restart(struct service *service, char *const argv[]);

const char *service_data(const struct service *service);      /* borrowed */
const char *service_playbooks(const struct service *service); /* borrowed */

/* DATA/serve.yaml where it has a section `outlets` or `egress` (controller/outlet/config.h); else false. */
bool service_outlets_file(const struct service *service, char *path, size_t size);

/* For other tables of service.db (schema.def): between lock and unlock only. No function of this header may be called in between. */
struct service_db *service_lock(struct service *service);
void service_unlock(struct service *service);

/* ---- what happens, for live pages ---- */

/* Called with every change: "run", "schedule", "lever", "window", "suite", "problem"; `data` is borrowed. Under the lock: it must be
 * quick and may not call back. One observer. */
typedef void service_observer(void *context, const char *kind, const cJSON *data);
void service_observe(struct service *service, service_observer *observer, void *context);

/* {"lever": "released"|"engaged", "lever_since", "runs_live": [id], "runs_queued": [id], "scheduler": "running"|"paused",
 *  "next": [{"schedule","due"}], "problems": [text], "limits": {...}}: new. */
cJSON *service_status(struct service *service);

/* ---- runs ---- */

enum run_state { RUN_QUEUED, RUN_RUNNING, RUN_ENDED };
extern const char *const run_state_names[];

struct run_order {
    const char *playbook; /* its name: a path below the playbooks' directory */
    const cJSON *vars;    /* an object of texts, numbers and booleans, or NULL */
    const char *seed;     /* NULL: the playbook's */
    const char *by_kind;  /* "person", "schedule", "suite", "cli" */
    const char *by_name;  /* NULL: unknown */
    const char *batch;    /* NULL: of its own */
    bool waits;           /* queued where it may not run now; else refused with -EBUSY */
    int64_t deadline_s;   /* when a queued one is given up, since the epoch; 0: never */
    int64_t schedule, due_s; /* of an occurrence; 0 */
    const char *suite_run;   /* NULL: of none */
};

/* Checks the playbook, the lever, the protected set and the limits, and starts it or queues it. `ret_id` (RUN_ID_MAX) is its id from
 * now on. 0; negative with errors added: -EINVAL the playbook, -ENOENT no such playbook, -EPERM lever, protected set, limits, opt-in;
 * -EBUSY something overlaps and it does not wait; errors of the database. */
int service_start_run(struct service *service, const struct run_order *order, char ret_id[RUN_ID_MAX], enum run_state *ret_state, struct errs *errs);

/* The same `repeat` times, one after the other, as one batch; the id of the first. */
int service_start_runs(struct service *service, const struct run_order *order, int64_t repeat, char ret_id[RUN_ID_MAX], enum run_state *ret_state,
                       struct errs *errs);

/* A queued one ends at once, a running one is told to release, undo, observe and report; telling it again changes nothing. `forces`: it
 * is undone and ended, and that is all. 0, -ENOENT; -EALREADY when it has ended. */
int service_abort_run(struct service *service, const char *id, const char *by, const char *reason, bool forces, struct errs *errs);

/* A run that this service started: {"id","playbook","state","outcome","reason","status","by":{"kind","name"},"batch","queued","started",
 * "ended","directory","output","schedule","due","suite_run","undo"}; unknown members are absent. outcome: "ended", "aborted",
 * "interrupted" (its processes were killed), "refused" (it did not start: reason), "cancelled" (never left the queue).
 * New. NULL with an error added (-ENOENT for an id that is not ours is no error: NULL and nothing added). */
cJSON *service_run(struct service *service, const char *id, struct errs *errs);

/* Newest first, as an array; `state` NULL for all; at most `limit`, those queued before or at `before_s` (0: all). New; NULL on error. */
cJSON *service_runs(struct service *service, const char *state, int64_t before_s, size_t limit, struct errs *errs);

/* The file of a playbook by its name, checked to lie below the playbooks' directory. 0, -ENOENT, -EINVAL with an error added. */
int service_playbook_file(const struct service *service, const char *name, char *path, size_t size, struct errs *errs);

/* An instant as JSON wants it: RFC 3339 with Z. `text` holds 24. Returns text. */
char *service_instant(int64_t at_s, char *text, size_t size);

#endif
