/* Inside `perturb exec`: the parts that its files share. */
#ifndef PERTURB_CMD_EXEC_H
#define PERTURB_CMD_EXEC_H

#include "controller/run/executor.h"
#include "controller/run/locks.h"
#include "scenarios/playbook/spec.h"
#include "shims/host/inspect.h"
#include "shims/host/page.h"
#include "shims/seccomp/supervise.h"

enum { EXEC_FAULTS_MAX = 64, EXEC_WIRES_MAX = CONTROL_REDIRECTS_MAX, EXEC_FAILED = 125, EXEC_UNSEEN_MAX = 64 };

#define EXEC_TTL_NS UINT64_C(5000000000) /* what is armed outlives us by this at most; renewed at a third of it */

struct exec_options {
    struct fault_spec specs[EXEC_FAULTS_MAX];
    size_t spec_count;
    uint64_t seed;
    enum backend backend; /* 0: auto */
    bool refuse_io_uring;
    struct lock_options locks;
    const char *lock_snapshot; /* where to; NULL: perturb-locks-PID.json here */
    char **argv; /* the program's, borrowed */
};

/* How the faults get into the program. */
struct exec_backend {
    enum backend kind;          /* BACKEND_PRELOAD or BACKEND_SUPERVISE */
    struct supervise *supervise; /* of the latter */
};

/* The wire executor that carries the faults with `to=`: a child process, and a proxy for each destination. */
struct exec_wire {
    struct executor executor; /* fd -1: there is none */
    int pid;
    size_t redirect_count;
    struct control_redirect redirects[EXEC_WIRES_MAX];
};

/* Processes below the program that run without the page, as far as looks from time to time found them. */
struct exec_unseen {
    size_t candidate_count, count;
    struct page_process candidates[EXEC_UNSEEN_MAX]; /* of the last look: one that only begins has no page yet, either */
    struct page_process list[EXEC_UNSEEN_MAX];       /* those of two looks */
};
void exec_unseen_look(struct exec_unseen *unseen, const struct page *page);
void exec_unseen_tell(const struct exec_unseen *unseen, FILE *out);

/* Chooses the backend, says so on stderr when it is not the shim and nobody asked for it, and refuses faults that could never
 * act. `inspection` may be NULL: exec itself will say what is wrong with the program. 0 or a negative errno, told. */
int exec_backend_choose(struct exec_backend *backend, const struct exec_options *options, struct inspection *inspection,
                        struct errs *errs);

/* Prepares the supervisor for the page, when that is the backend. 0 or a negative errno, told. */
int exec_backend_prepare(struct exec_backend *backend, const struct exec_options *options, bool redirects, struct page *page,
                         struct errs *errs);

/* The parent's side of the start. 0, or a negative errno, told; the child is gone or going then. */
int exec_backend_attend(struct exec_backend *backend, pid_t child, struct errs *errs);

/* ---- exec_locks.c ---- */

/* One of --watch-locks, --lock-profile, --break-deadlock by its letter; `text` may be NULL. 0 or -EINVAL with an error added. */
int exec_locks_option(struct exec_options *options, int letter, const char *text, struct errs *errs);

/* Finds the library that the options need. 0 or a negative errno, told. */
int exec_library(const struct exec_options *options, char *path, size_t size, struct errs *errs);

/* Watching, when it was asked for: *ret_watcher stays NULL otherwise. 0 or a negative errno, told. */
int exec_locks_begin(const struct exec_options *options, enum backend backend, struct page *page, struct lock_watcher **ret_watcher,
                     struct errs *errs);

/* One look; what it finds is told on stderr, a snapshot is written. */
void exec_locks_look(const struct exec_options *options, struct lock_watcher *watcher, int pid);

/* A plan of those specs that go to the wire, or of those that do not. Returns new (free); NULL when there is no memory. */
struct plan *exec_plan(const struct exec_options *options, bool wire);

/* Starts the executor when a spec has `to=`, opens the proxies, arms them. 0 or a negative errno with an error added. `page` is the
 * path of the program's control page, out of whose detours the proxies learn where each connect was going.
 * Afterwards `redirects` says which connects go where. */
int exec_wire_start(struct exec_wire *wire, const struct exec_options *options, const char *page, struct errs *errs);
int exec_wire_renew(struct exec_wire *wire);
size_t exec_wire_status(struct exec_wire *wire, struct rule_status *list, size_t max); /* 0 also when it does not answer */
void exec_wire_stop(struct exec_wire *wire); /* releases, drains, reaps */

#endif
