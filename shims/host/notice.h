/* A process that holds faults by itself, apart from any run, puts up a notice in the registry: `perturb proxy`.
 *
 *     REGISTRY/proxies/PID     "state armed|idle|halted", then lines for people
 *
 * 1. A notice is locked (flock(2)) by its process for as long as that lives; one that is not is a dead process's and is swept.
 * 2. It is replaced by rename, the new one locked before: it is never half written and never seen unlocked.
 * 3. Whoever puts one up reads the lever after that, and watches it: who sets the lever and then sees no living notice that is not
 *    halted has stopped all of them. */
#ifndef PERTURB_SHIMS_NOTICE_H
#define PERTURB_SHIMS_NOTICE_H

#include "shims/host/registry.h"

#include <sys/types.h>

enum notice_state { NOTICE_IDLE, NOTICE_ARMED, NOTICE_HALTED, NOTICE_STATES };

enum { NOTICE_BYTES_MAX = 1 << 20 };

struct notice {
    int fd; /* of the locked file; -1 for none */
};

/* Puts up or replaces this process's notice; `notice` starts with fd -1. `text` is borrowed: lines, each with its newline. 0 or
 * -errno: what was up before stays. */
int notice_put(const struct registry *registry, struct notice *notice, enum notice_state state, const char *text);
void notice_remove(const struct registry *registry, struct notice *notice); /* accepts one that is not up */

/* Calls `each` for the notice of every living process; `text` is borrowed until it returns. Notices of the dead are removed.
 * 0 or -errno. */
typedef void notice_visit(pid_t pid, enum notice_state state, const char *text, void *context);
int notice_each(const struct registry *registry, notice_visit *each, void *context);

#endif
