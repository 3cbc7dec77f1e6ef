/* Facts about targets: does it serve, which process is it, what did it say last. */
#ifndef PERTURB_RUN_READY_H
#define PERTURB_RUN_READY_H

#include "scenarios/playbook/playbook.h"
#include "shims/host/registry.h"

#include <stdbool.h>
#include <sys/types.h>

/* One attempt each, at most half a second. They carry CAPTURE_MARK where that is allowed: a proxy that captures would answer in
 * the target's place. */
bool ready_tcp(const char *address);
bool ready_http(const char *url); /* a 2xx status */

/* The process of a target that already runs: its pid, the main process of its unit, the first of its control group.
 * 0, or -ESRCH when nothing is selected (always for a bare address). */
int ready_find_running(const struct target *target, pid_t *ret_pid);

/* The control group of a unit, as systemd says, in full. 0, -ESRCH, -ENOTSUP, -ENAMETOOLONG. `path` holds GROUP_PATH_MAX. */
int ready_unit_group(const char *unit, char *path);

/* The name of the control page that `pid` has mapped. 0 or -ENOENT. */
int ready_find_page(const struct registry *registry, pid_t pid, char *name, size_t size);

/* The last line of a log that is not empty, cut to size. */
void ready_log_tail(const char *path, char *text, size_t size);

#endif
