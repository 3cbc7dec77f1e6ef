/* Helpers: small processes of a run that take what a fault takes: CPU time, memory, room on a disk.
 *
 *     helper_start: forked, in its control groups, waiting  ->  journalled by the caller  ->  helper_go  ->  works until its lease ends
 *
 * 1. A helper ends by itself at its lease, which it reads from a page it shares with its starter (CLOCK_MONOTONIC), at every turn of
 *    its work, at most 20 ms apart; and with its starter's process (PR_SET_PDEATHSIG), and when told (SIGKILL, any time).
 * 2. It does nothing before helper_go: what is not in the journal has no effect yet.
 * 3. What it took ends with it: memory and CPU time do by nature, the file has no name (O_TMPFILE, or unlinked at once where the file
 *    system has none).
 * 4. It makes itself the first choice of the kernel's OOM killer.
 * The starter has one thread: a helper goes on from the fork without an exec. */
#ifndef PERTURB_SHIMS_HELPER_H
#define PERTURB_SHIMS_HELPER_H

#include "shims/host/group.h"
#include "shims/host/process.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum helper_job { HELPER_BURN, HELPER_HOLD, HELPER_FILL };

enum { HELPER_GROUPS_MAX = 3, HELPER_PATH_MAX = 256, HELPER_NAME_MAX = 80 };

struct helper_spec {
    enum helper_job job;
    const char *groups[HELPER_GROUPS_MAX]; /* entered in this order; NULL past the last; borrowed until return */
    pid_t cores_of;    /* HELPER_BURN: on the cores that this process may use; 0: on all */
    int core;          /* HELPER_BURN: only on this one; -1: see above */
    uint32_t load_ppm; /* HELPER_BURN */
    uint64_t bytes;    /* HELPER_HOLD, HELPER_FILL: how much; UINT64_MAX is as much as there is */
    uint64_t floor;    /* HELPER_HOLD: stays available on the machine; HELPER_FILL: stays free */
    uint64_t rate;     /* HELPER_HOLD: bytes a second, 0 is unpaced */
    const char *directory, *name; /* HELPER_FILL: where, and the name that the file has for a moment where it must have one */
};

/* Written by the helper, but for the lease. Instants are CLOCK_MONOTONIC ns. */
struct helper_state {
    _Atomic uint64_t lease_end_ns;
    _Atomic uint64_t first_ns;  /* of its first effect; 0 while there is none */
    _Atomic uint64_t amount;    /* ns of CPU time, bytes held, bytes of the file */
    _Atomic uint64_t peak;      /* the largest amount */
    _Atomic int32_t error;      /* -errno of what ended it; 0 */
};

struct helper {
    struct process_id id;
    struct helper_state *state; /* shared; owned */
    int go_fd;
};

/* Forks one that waits. 0 or -errno with nothing left behind; *ret_step (static text) names what failed. */
int helper_start(const struct helper_spec *spec, struct helper *ret_helper, const char **ret_step);

void helper_go(struct helper *helper, uint64_t lease_end_ns);
void helper_renew(struct helper *helper, uint64_t lease_end_ns);

/* Ends and forgets it: killed, its page given back. It is reaped by whoever waits for children. Accepts a zeroed one. */
void helper_end(struct helper *helper);

/* How many cores a process (0: we) may use. */
unsigned helper_cores(pid_t pid);

#endif
