/* Inside of the service core. Everything here is called under the mutex, but for what says otherwise. */
#ifndef PERTURB_SERVE_SERVICE_PRIV_H
#define PERTURB_SERVE_SERVICE_PRIV_H

#include "controller/serve/core/claims.h"
#include "controller/serve/core/protect.h"
#include "controller/serve/core/service.h"
#include "controller/serve/timetable/zone.h"
#include "shims/host/process.h"
#include "shims/host/registry.h"

#include <pthread.h>

enum {
    SERVICE_CHILDREN_MAX = 64,
    SERVICE_PATH_MAX = 1024,
    SERVICE_REASON_MAX = 400,
    SERVICE_PROBLEMS_MAX = 8,
    SERVICE_ZONES_MAX = 64,
    SERVICE_PROBLEM_S = 600, /* one that was not told again for so long is over */
    SERVICE_RECOVER_S = 300,
    SERVICE_STOP_MS = 60000, /* for runs to release, undo, observe and report; then they are told again, which fences */
    SERVICE_FENCE_MS = 15000,
};

/* A process that we supervise: a run, or `perturb recover`. */
struct service_child {
    char id[RUN_ID_MAX]; /* of the run; "" for recover */
    struct process_id process;
    int pid_fd;
    struct claims claims;
    bool gone;           /* it has ended; its row may still have to be written (a full disk) */
    bool status_known;
    int status;          /* exit status, 128 + signal */
    bool aborted;        /* we told it to */
};

struct service {
    pthread_mutex_t mutex;
    struct service_db db;
    char data[SERVICE_PATH_MAX], playbooks[SERVICE_PATH_MAX];
    char program[SERVICE_PATH_MAX]; /* this one */
    char listen[ERR_WHERE_MAX];
    struct settings settings;
    struct zone *zones[SERVICE_ZONES_MAX]; /* owned */
    size_t zone_count;
    bool scheduler_paused;
    char *user_zone; /* TZ of whoever started us; NULL: it was not set */
    int lock_fd, signal_fd, timer_fd, wake_fd, watch_fd;
    struct registry registry;
    struct service_child children[SERVICE_CHILDREN_MAX];
    size_t child_count;
    bool recovery_wanted, recovery_runs;
    int64_t recovery_again_s; /* the last one was not proven: when it is tried again; 0: it was */
    bool stopping, lever_engaged;
    int64_t lever_since_s;
    int64_t retry_s; /* something could not be written: when it is tried again; 0: nothing */
    char problems[SERVICE_PROBLEMS_MAX][SERVICE_REASON_MAX];
    int64_t problem_told_s[SERVICE_PROBLEMS_MAX]; /* last */
    size_t problem_count;
    void (*problem)(const char *text);
    struct service_ward *ward; /* borrowed; NULL: none */
    service_observer *observer;
    void *observer_context;
    uint64_t ids_given;
    uint64_t watchdog_ns, watchdog_due_ns; /* 0: none is asked for */
};

int64_t service_now_s(void);
void service_tell(struct service *service, const char *kind, cJSON *data_taken);
void service_wake(struct service *service);                                        /* the loop looks at everything; any thread */
void service_problem(struct service *service, const struct errs *errs); /* remembered for the status while it is told again and again */

/* What `show` makes of each row, as an array: new. Ends the statement; NULL, as a db_query that failed leaves it, or an error on the way: NULL. */
cJSON *service_rows(struct service *service, sqlite3_stmt *row, cJSON *(*show)(const struct service *service, sqlite3_stmt *row), struct errs *errs);

/* ---- lever.c ---- */
int lever_restore(struct service *service, struct errs *errs);
void lever_look(struct service *service);

/* ---- notify.c ---- */
void notify_systemd(const char *state); /* nothing where there is no NOTIFY_SOCKET; failures are not told */
uint64_t notify_watchdog_ns(void);      /* 0: none is asked for */

/* ---- spawn.c: one process of ours ---- */

/* Starts `argv` in a session of its own, output to the file `output`, and holds it before its exec: *ret_gate is to be answered by
 * spawn_release(). 0 or -errno. */
int spawn_held(const struct service *service, char *const argv[], const char *output, struct process_id *ret_process, int *ret_pid_fd, int *ret_gate);
void spawn_release(int gate, bool goes); /* false: it leaves without having done anything */

/* ---- orders.c: rows of run_order ---- */
void order_new_id(struct service *service, char id[RUN_ID_MAX]);
int order_insert(struct service *service, const struct run_order *order, const char *id, const struct claims *claims, struct errs *errs);
int order_mark_running(struct service *service, const char *id, const struct process_id *process, struct errs *errs);
int order_mark_ended(struct service *service, const char *id, int status, const char *outcome, const char *reason, struct errs *errs);
int order_set_reason(struct service *service, const char *id, const char *reason, struct errs *errs);
cJSON *order_describe(struct service *service, const char *id, struct errs *errs);

/* ---- queue.c ---- */

/* Examines the playbook of an order and inserts it as queued: supervisor_dequeue() starts it. 0; negative with errors added. */
int queue_add(struct service *service, const struct run_order *order, char ret_id[RUN_ID_MAX], struct errs *errs);
int queue_examine(struct service *service, const struct run_order *order, struct claims *ret_claims, struct errs *errs);
int queue_abort(struct service *service, const char *id, const char *words, bool forces, struct errs *errs); /* as service_abort_run */

/* ---- scheduler.c ---- */
int64_t scheduler_tick(struct service *service, int64_t now_s); /* acts on what is due; when it wants to be asked again, 0: never */
int scheduler_pause_restore(struct service *service, struct errs *errs);
bool scheduler_is_frozen(struct service *service, char *name, size_t size); /* a freeze holds now, or what holds cannot be told */
void scheduler_describe(struct service *service, cJSON *status);

/* ---- supervisor.c ---- */
int supervisor_adopt(struct service *service, struct errs *errs);
int supervisor_launch(struct service *service, const char *id, struct errs *errs); /* the queued order `id` becomes a run */
void supervisor_reap(struct service *service);   /* children whose pidfd told their end */
void supervisor_dequeue(struct service *service); /* starts what may start now */
void supervisor_end_all(struct service *service, bool forces);
struct service_child *supervisor_find(struct service *service, const char *id);
const struct service_child *supervisor_overlap(const struct service *service, const struct claims *claims, const char **ret_what);
size_t supervisor_live(const struct service *service); /* runs whose processes live */

#endif
