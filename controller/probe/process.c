/* Whether a target runs, and how often another process has taken its place: by the run's own count where it starts the target, and
 * by the identity of the process where somebody else does. The latter sees one restart between two readings. */
#include "controller/probe/probe_priv.h"

#include "shims/host/process.h"

#include <errno.h>
#include <stdlib.h>

struct process_state {
    struct process_id last; /* pid 0: none was seen yet */
    unsigned starts_at_first, changes;
    bool begun;
};

static int process_open(const struct probe *probe, const char *where, struct errs *errs, void **ret_state)
{
    (void)probe;
    *ret_state = calloc(1, sizeof(struct process_state));
    return *ret_state ? 0 : errs_add(errs, ERR_WORLD, where, "out of memory");
}

static void follow(struct process_state *state, const struct process_id *id, unsigned starts)
{
    if (!state->begun)
        state->starts_at_first = starts;
    state->begun = true;
    state->changes += state->last.pid && (state->last.pid != id->pid || state->last.start_ticks != id->start_ticks);
    state->last = *id;
}

static int process_read(struct reading *reading)
{
    const struct process_probe *process = &reading->probe->process;
    struct process_state *state = reading->state;
    pid_t pid = reading->world->target_pid(reading->world->context, process->target);
    unsigned starts = reading->world->target_starts(reading->world->context, process->target), counted;
    struct process_id id;
    bool is_up = pid && process_identify(pid, &id) == 0 && process_is_alive(&id);

    if (is_up)
        follow(state, &id, starts);
    if (process->field == PROCESS_UP) {
        reading_put(reading, reading->now_ns, is_up);
        return 0;
    }
    if (!state->begun)
        return reading_fail(reading, "target '%s' does not run", process->target);
    counted = starts - state->starts_at_first;
    reading_put(reading, reading->now_ns, counted > state->changes ? counted : state->changes);
    return 0;
}

const struct probe_reader probe_process = { .open = process_open, .close = free, .read = process_read };
