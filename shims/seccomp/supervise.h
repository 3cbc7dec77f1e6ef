/* The second backend of the call layer: a supervisor outside of the target, for programs into which no library can be loaded
 * (static, Go). The kernel hands it the target's system calls (seccomp user notification); it judges them as the shim does, from
 * the same page, and answers.
 *
 *     starter ── fork ──> target: filter, exec           keeper ── fork ──> supervisor
 *        └─ takes the listener out of the target, forks ───^                  │ receives, judges, answers
 *                                                          └── both hold the listener; the keeper answers when the other is gone
 *
 * 1. While the supervisor or the keeper lives, every call of the target is answered. When the supervisor dies, the keeper lets
 *    through what it held and everything that comes; nothing fails, no fault acts any more. When the keeper dies, the supervisor
 *    makes another. Only when both are killed at the same moment do intercepted calls fail with ENOSYS.
 * 2. Both leave when the last process under the filter has gone. The filter itself stays for a process's life and is inherited.
 * 3. Between fork and exec the filter is already on: the supervisor serves before the target goes on.
 * 4. Other system calls are let through by the filter without a word; so are those of another architecture (32 bits, x32). */
#ifndef PERTURB_SHIMS_SUPERVISE_H
#define PERTURB_SHIMS_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct supervise_spec {
    uint64_t points;       /* BIT(point): calls of these are intercepted, of no others; rules armed later act only here */
    bool redirects;        /* connects, too: they may have somewhere else to go */
    bool refuse_io_uring;  /* io_uring_setup fails with ENOSYS, as on a kernel without it */
    const char *page_path; /* borrowed until supervise_attend has returned */
};

struct supervise;

/* Builds the filter and what starter, target, keeper and supervisor share. Returns new; -ENOTSUP when this kernel has no user
 * notification, -ENOMEM. */
int supervise_prepare(const struct supervise_spec *spec, struct supervise **ret_supervise);

/* The starter's handle only. Accepts NULL, returns NULL. */
struct supervise *supervise_free(struct supervise *supervise);

/* The keeper is a child of the starter; this reaps it if it leaves within a moment, as it does when its last process has. */
void supervise_reap(const struct supervise *supervise);

/* In the child, between fork and exec: installs the filter and waits until it is attended. Async-signal-safe. The thread must be
 * the only one. 0; -EBUSY when a supervisor attends this process already; -EPERM, -errno. */
int supervise_install(struct supervise *supervise);

/* In the parent, once for a child that is in supervise_install: takes the listener, starts keeper and supervisor, lets the child
 * go on. 0, or the errno of the step that failed, named in *ret_step (static text); the child is then told and fails too. */
int supervise_attend(struct supervise *supervise, pid_t child, const char **ret_step);

/* For guards of a child that ask in passing: was it filtered with no_new_privs, without which an ordinary user installs no
 * filter? Then set-user-ID programs below run without their privileges. Known once supervise_attend has returned. */
bool supervise_dropped_privileges(const struct supervise *supervise);

/* What this kernel can do, for doctor. */
struct supervise_support {
    bool notifies;  /* user notification with "continue" (Linux 5.5) */
    bool sync_wake; /* synchronous wake-up (Linux 6.6): an intercepted call costs 5 us, else 25 */
};
int supervise_probe(struct supervise_support *ret_support); /* 0; -errno when it could not be tried */

#endif
