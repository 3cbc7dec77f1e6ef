/* The guardian: the process the user started. It owns the journal, the lease timer and every spawned process, and little else,
 * so that it is there to undo when the run engine is not.
 *
 *     guardian -> runner (engine)  + wire executor + targets
 *
 * 1. It never blocks on the runner; the runner renews its lease, which runs from its start on, and when the lease lapses (a
 *    stopped or wedged runner) or the runner dies, the guardian *fences*: the runner is killed, the wire told to release, the
 *    journal undone newest first. Once all is undone a runner that only reports needs no lease, but may not stay stopped for one.
 * 2. When the guardian dies, its targets die with it (PR_SET_PDEATHSIG), the runner sees the end of its socket and undoes, and
 *    the wire executor goes pass-through at its lease. When both die, `perturb recover` does it from the journal; it also ends a
 *    runner that was left stopped.
 * 3. It speaks the executor messages for the host layer, plus SPAWN, JOURNAL and FINISH.
 * 4. It is told to end by signals. One that a program of ours sends asks (guardian_ask_end): however often, the run comes to its tidy end,
 *    released, undone, observed and reported. Or it forces (guardian_force_end), which fences. Of those of a terminal or of kill(1) the
 *    first asks and the second forces.
 * 5. The registration goes when everything is proven undone and only then: what resisted stays listed for `perturb recover`. */
#ifndef PERTURB_RUN_GUARDIAN_H
#define PERTURB_RUN_GUARDIAN_H

#include "injector/injector.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/err.h"
#include "shims/host/process.h"

#include <stdbool.h>
#include <stdint.h>

struct guardian_spec {
    const char *run_id;
    const char *directory; /* of the run; the journal goes there */
    uint64_t lease_ns;
    bool wants_wire;
    enum wire_backend backend; /* of the wire */
    uint64_t spin_ns; /* of the wire, before each deadline; 0 sleeps */
    bool captures; /* rules of the kernel may lead connects to proxies: the wire executor ends that too, should it be the last */
    /* The engine, run in the runner process; its return value becomes that process's exit status. `guardian_fd` and `wire_fd`
     * (-1 when there is none) are its ends of the sockets. */
    int (*engine)(void *context, int guardian_fd, int wire_fd, int wire_pid);
    /* Called in the guardian after a fence: `reason` is one sentence, `resisted` the number of undo entries not proven,
     * `ledger` the lines of what was undone. Returns the exit status. */
    int (*fenced)(void *context, const char *reason, int resisted, const struct buf *ledger);
    void *context;
};

/* Runs a whole run's process tree; returns the exit status of DESIGN section 7. Errors of setting it up are added to `errs`. */
int guardian_run(const struct guardian_spec *spec, struct errs *errs);

/* 0, -ESRCH when it has gone, or another negative errno: then it was not told. */
int guardian_ask_end(const struct process_id *guardian);
int guardian_force_end(const struct process_id *guardian);

#endif
