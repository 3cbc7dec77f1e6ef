/* Inside of the guardian: its state, and the parts that serve it. */
#ifndef PERTURB_RUN_GUARDIAN_PRIV_H
#define PERTURB_RUN_GUARDIAN_PRIV_H

#include "controller/run/guardian.h"
#include "controller/run/journal.h"
#include "scenarios/vocab/message.h"
#include "shims/host/capture.h"
#include "shims/host/cut.h"
#include "shims/host/group.h"
#include "shims/host/helper.h"
#include "shims/host/memory.h"
#include "shims/host/process.h"
#include "shims/host/spawn.h"

enum { GUARDIAN_TARGETS_MAX = 32, GUARDIAN_ACTIONS_MAX = 32, ACTION_ENTRIES_MAX = 64 };

struct guardian;

struct guarded_target {
    char name[RULE_SCOPE_MAX];
    char *image; /* the packed spawn image, owned: a respawn uses it again */
    uint32_t image_size;
    struct process_id id; /* pid 0 while it does not run */
    char group[GROUP_PATH_MAX]; /* "" when there is none */
    bool adopted;               /* it ran before us: it is disturbed, and never ended or started again */
    char place[GROUP_PATH_MAX]; /* adopted: the control group it was named by; "" when by its process */
    struct memory_group memory; /* spawned: its own, where a fault needs one; else version MEMORY_NONE */
    int memory_error;           /* why it has none */
};

/* A target that already runs, as it is told to the guardian (MESSAGE_ADOPT). */
struct adopted_target {
    char name[RULE_SCOPE_MAX];
    char place[GROUP_PATH_MAX];
    int32_t pid;
};

/* One host fault that acts. */
struct host_action {
    bool active;
    struct plan_rule rule;
    struct rule_counts counts;
    uint64_t entries[ACTION_ENTRIES_MAX]; /* journal seqs to undo at release */
    size_t entry_count;
    uint64_t respawn_ns; /* 0: none due */
    pid_t victim;        /* whom it ended; 0 when nobody */
    uint64_t tick_ns;    /* when its fault wants to look at it again; 0: never */
    struct helper *helpers; /* owned */
    size_t helper_count;
    struct memory_group memory;
    uint64_t wanted, in_force, hits_before, kills_before; /* memory: bytes, and the kernel's counts when it began */
    struct cut *cut; /* owned */
};

/* One fault of the host layer; NULL members do nothing. `target` is NULL where the fault acts on the machine. */
struct host_fault {
    /* Before anything is armed: 0, or -errno and in words what is missing. */
    int (*check)(struct guardian *guardian, const struct plan_rule *rule, struct guarded_target *target, struct buf *why);
    int (*begin)(struct guardian *guardian, struct host_action *action, struct guarded_target *target);
    void (*tick)(struct guardian *guardian, struct host_action *action, struct guarded_target *target, uint64_t now_ns);
    void (*count)(struct host_action *action); /* counts that the kernel keeps are taken in */
    int (*renew)(struct host_action *action, uint64_t ttl_ns); /* -errno: the fault has ended by itself */
    void (*measure)(struct guardian *guardian, struct host_action *action); /* at its end, before it is undone */
};

struct guardian {
    const struct guardian_spec *spec;
    struct journal journal;
    char group[GROUP_PATH_MAX];
    char journal_path[JOURNAL_PATH_MAX];
    char registration[JOURNAL_PATH_MAX], registration_draft[JOURNAL_PATH_MAX];
    pid_t runner_pid, wire_pid;
    int runner_fd; /* our end of the runner's socket */
    int wire_fd;   /* a duplicate of the runner's end: used only when the runner is gone */
    int signal_fd;
    uint64_t lease_end_ns; /* runs from the runner's start on */
    bool renewed;          /* the runner got as far as its first renewal */
    uint64_t epoch;
    bool finished; /* FINISH was answered: the rest is the runner's report */
    bool runner_gone;
    int runner_status;
    uint64_t runner_stopped_ns; /* since when it is stopped by a signal; 0 while it is not */
    bool resisted;              /* something is not proven undone: the registration stays, for `perturb recover` */
    const char *fence_reason;
    int interrupts;     /* of a terminal, or by kill(1) */
    bool is_to_end;     /* it was told so */
    uint64_t looked_ns; /* after that: when the engine was last looked at, whether it is stopped */
    int stopped_looks;  /* in a row that found it so */
    struct guarded_target targets[GUARDIAN_TARGETS_MAX];
    size_t target_count;
    struct host_action actions[GUARDIAN_ACTIONS_MAX];
    struct capture_spec captures[CAPTURES_MAX]; /* in force, to be renewed */
    size_t capture_count;
    bool holds;           /* the wire executor keeps captured connections translated */
    uint64_t capture_seq; /* of their journal entry; 0 when there is none */
    unsigned cut_count; /* tables made so far */
};

enum { LEDGER_MAX = 256 << 10, REPLY_TIMEOUT_MS = 1000 };

/* guardian.c: what children ended is noted. */
void guardian_reap(struct guardian *guardian);

/* guardian_setup.c */
int guardian_set_up(struct guardian *guardian, struct errs *errs);
int guardian_fork_wire(struct guardian *guardian, int *ret_engine_fd);
int guardian_fork_runner(struct guardian *guardian, int wire_fd);
void guardian_unblock_signals(void);

/* guardian_messages.c */
void guardian_on_message(struct guardian *guardian, const struct message *question);

/* Faults first, then targets (asked, before they are made to) and everything else that the journal holds. The wire only drains.
 * Returns what resisted; a line an entry goes to `ledger`. */
int guardian_undo_everything(struct guardian *guardian, struct buf *ledger);

/* guardian_targets.c */
struct spawn_image_head {
    uint32_t argument_count, environment_count;
    uint64_t points; /* not 0: under a supervisor that intercepts these; the page is the one that the environment names */
    uint64_t wants_memory; /* 1: a memory control group of its own */
};
int guarded_spawn_image(struct guardian *guardian, const void *image, uint32_t size, pid_t *ret_pid, const char **ret_step);
int guarded_respawn(struct guardian *guardian, struct guarded_target *target);
int guarded_adopt(struct guardian *guardian, const void *told, uint32_t size);
size_t guarded_processes(const struct guarded_target *target, struct process_id *list, size_t max); /* all of it */
struct guarded_target *guarded_find(struct guardian *guardian, const char *name);
void guarded_exited(struct guardian *guardian, pid_t pid, int wait_status);
void guardian_emit(struct guardian *guardian, const struct event *event);

/* guardian_host.c: the host layer as an executor. */
int host_check(struct guardian *guardian, const struct plan *plan, struct buf *why);
int host_apply(struct guardian *guardian, const struct plan *plan);
size_t host_status(struct guardian *guardian, struct rule_status *list, size_t max);
void host_timers(struct guardian *guardian);
void host_forget(struct guardian *guardian); /* every action is taken back; nothing is started again */
uint64_t host_next_timer_ns(const struct guardian *guardian);
void host_renew(struct guardian *guardian, uint64_t ttl_ns);
int host_journal(struct guardian *guardian, struct host_action *action, const char *verb, const char *argument);
void host_acted(struct guardian *guardian, struct host_action *action, uint64_t ns);
void host_tell(struct guardian *guardian, const struct host_action *action, const char *what, uint64_t value);
void host_expired(struct guardian *guardian, const struct host_action *action);

/* host_helpers.c: helpers of an action, journalled before they go. */
int host_helpers_start(struct guardian *guardian, struct host_action *action, const struct helper_spec *spec, size_t count);
void host_helpers_tick(struct guardian *guardian, struct host_action *action, struct guarded_target *target, uint64_t now_ns);
int host_helpers_renew(struct host_action *action, uint64_t ttl_ns);
const char *host_helpers_group(struct guardian *guardian); /* the run's own group for them; NULL when there is none */

/* host_memory.c, host_helpers.c, host_partition.c */
extern const struct host_fault host_memory_limit, host_memory_pressure, host_cpu_burn, host_disk_fill, host_partition;

/* host_place.c: what a fault would be done to. Also used by the preview of a run; the texts say what is missing. */
int host_memory_place(const struct guarded_target *target, const char *run_id, struct memory_group *ret_group, bool *ret_moves, struct buf *why);
int host_disk_place(const char *directory, bool system, const char *run_directory, struct buf *why);
int host_cut_place(const struct plan_rule *rule, const struct guarded_target *target, const struct guarded_target *other, struct cut *ret_cut,
                   struct buf *why);

/* guardian_capture.c: the table that leads connects to the proxies. `ret_why`: in words, when it cannot be put in place. */
int guarded_capture(struct guardian *guardian, const void *specs, size_t size, struct buf *ret_why);
int guarded_capture_renew(struct guardian *guardian, uint64_t lease_ns);
void guarded_capture_end(struct guardian *guardian); /* its listener has gone */

#endif
