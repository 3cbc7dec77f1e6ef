/* Holds: points of the method at which nothing further begins until somebody says go.
 *
 * 1. Only beginnings wait. What acts is released in its own time: nobody's silence makes a fault longer.
 * 2. Every hold has a bound; past it the run is aborted, unless the playbook says that it goes on.
 * 3. Only a go that was said during the hold counts. */
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"

#include <string.h>
#include <sys/param.h>

#define LOOK_NS (50 * NS_PER_MS)

static const struct hold *next_hold(const struct run *run)
{
    size_t next = run->people.holds_done;

    return next < run->playbook->holds.count ? (const struct hold *)run->playbook->holds.items + next : NULL;
}

uint64_t run_next_hold_ns(const struct run *run)
{
    const struct hold *hold = run->request->guard_test ? NULL : next_hold(run);

    return hold ? run->method_ns + (uint64_t)hold->at + run->people.held_ns : UINT64_MAX;
}

static void wait_for_go(struct run *run, const struct hold *hold, struct hold_run *state)
{
    uint64_t until_ns = state->begun_ns + (uint64_t)hold->bound;

    while (!state->outcome) {
        uint64_t now_ns = clock_now_ns();

        if (run_was_told_go(run, state->begun_ns))
            state->outcome = "go";
        else if (now_ns >= until_ns)
            state->outcome = "bound";
        else if (!run_wait(run, MIN(MIN(now_ns + LOOK_NS, until_ns), run_next_end_ns(run))) || run_is_aborted(run))
            state->outcome = "cut short";
        run_apply_changes(run, clock_now_ns(), false);
    }
}

void run_hold(struct run *run)
{
    const struct hold *hold = next_hold(run);
    struct hold_run *state;

    if (!hold || run->request->guard_test || run_is_aborted(run) || clock_now_ns() < run_next_hold_ns(run))
        return;
    state = &run->people.holds[run->people.holds_done];
    state->begun_ns = clock_now_ns();
    event_log_note(&run->log, EVENT_hold_begun, hold->text, NULL, hold->bound, 0);
    wait_for_go(run, hold, state);
    state->ended_ns = clock_now_ns();
    event_log_note(&run->log, EVENT_hold_ended, hold->text, state->outcome, (int64_t)(state->ended_ns - state->begun_ns), 0);
    run->people.held_ns = state->ended_ns - run->method_ns - (uint64_t)hold->at;
    run->people.holds_done++;
    if (!strcmp(state->outcome, "bound") && hold->otherwise == HOLD_ABORTS)
        run_abort(run, "nobody said go at the hold '%.80s'", hold->text);
}

cJSON *run_describe_holds(const struct run *run)
{
    const struct hold *holds = run->playbook->holds.items;
    cJSON *array = NULL;

    for (size_t i = 0; i < run->playbook->holds.count; i++) {
        const struct hold_run *state = &run->people.holds[i];
        cJSON *object = cJSON_CreateObject();

        array = array ? array : cJSON_CreateArray();
        cJSON_AddItemToArray(array, object);
        cJSON_AddStringToObject(object, "hold", holds[i].text);
        cJSON_AddNumberToObject(object, "bound_s", (double)holds[i].bound / 1e9);
        if (state->begun_ns)
            cJSON_AddNumberToObject(object, "at_s", run_seconds(run, state->begun_ns));
        if (state->ended_ns)
            cJSON_AddNumberToObject(object, "waited_s", (double)(state->ended_ns - state->begun_ns) / 1e9);
        cJSON_AddStringToObject(object, "outcome", state->outcome ? state->outcome : "not reached");
    }
    return array;
}
