/* Guards: what ends the faults, or the run, before their time.
 *
 * 1. A guard is judged over the last `for`, every `every`; it trips at `breaches` in a row. No data breaches nothing.
 *    One that does not abort waits for the method: before it there is nothing to release, and nothing to look back at.
 *    During a ramp it is judged over what the ramp has done so far; before the method only what aborts is.
 * 2. It trips once. Faults are released within the tick in which it does, evidence and notes go to threads of their own.
 * 3. Its latency is from the first breach of the streak to the instant at which every executor had acknowledged the release. */
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"

#include <math.h>
#include <string.h>

static bool breaches(const struct guard *guard, double value)
{
    if (isnan(value))
        return false;
    return guard->above != ABSENT ? value > run_signal_bound(&guard->signal, guard->above)
                                  : value < run_signal_bound(&guard->signal, guard->below);
}

/* A value well on the wrong side of the bound. */
static double synthetic_breach(const struct guard *guard)
{
    double bound = run_signal_bound(&guard->signal, guard->above != ABSENT ? guard->above : guard->below);

    return guard->above != ABSENT ? 2 * bound + 1 : bound > 0 ? bound / 2 : bound - 1;
}

static double value_of(const struct run *run, const struct guard_run *state, uint64_t now_ns)
{
    const struct guard_test *test = run->request->guard_test;

    if (test)
        return run->method_ns && test->index == (size_t)(state - run->guards) ? synthetic_breach(state->guard) : NAN;
    return run_signal_over(run, &state->guard->signal, WINDOW_BY_END, now_ns - (uint64_t)state->guard->hold, now_ns);
}

static const struct evidence *find_evidence(const struct run *run, const char *name)
{
    const struct evidence *list = run->playbook->evidence.items;

    for (size_t i = 0; i < run->playbook->evidence.count; i++)
        if (!strcmp(list[i].name, name))
            return &list[i];
    return NULL;
}

/* The faults first: what is kept of the moment may take its time. */
static void act(struct run *run, struct guard_run *state)
{
    const struct guard *guard = state->guard;
    char text[48], actions[64] = "";
    static const char *const words[] = { "abort", "release", "capture", "notify" };

    for (size_t i = 0; i < 4; i++)
        if (guard->actions & (1U << i))
            snprintf(actions + strlen(actions), sizeof(actions) - strlen(actions), "%s%s", actions[0] ? "+" : "", words[i]);
    event_log_note(&run->log, EVENT_guard, guard->signal.name, actions, 0, 0);
    run_signal_text(&guard->signal, state->tripped_at, text, sizeof(text));
    if (guard->actions & GUARD_ABORT) {
        run_abort(run, "guard: %s was %s", guard->signal.name, text);
    } else if (guard->actions & GUARD_RELEASE) {
        snprintf(run->release_reason, sizeof(run->release_reason), "the faults were released before their time by the guard on %s: it was %s", guard->signal.name, text);
        run_release_all(run);
        run_guards_released(run);
    }
    for (size_t i = 0; (guard->actions & GUARD_CAPTURE) && i < guard->captures.count; i++)
        run_take_evidence(run, find_evidence(run, guard->captures.items[i]), "guard");
    if (guard->actions & GUARD_NOTIFY)
        run_tell(run, guard, text);
    if (!(guard->actions & (GUARD_ABORT | GUARD_RELEASE)))
        state->acted_ns = clock_now_ns();
}

static void judge_guard(struct run *run, struct guard_run *state, uint64_t now_ns)
{
    const struct guard *guard = state->guard;
    uint64_t from_ns = run->ramp_from_ns ? run->ramp_from_ns : run->baseline_start_ns;
    double value;

    if (state->tripped_ns || now_ns < state->next_ns || now_ns < from_ns + (uint64_t)guard->hold ||
        (!run->method_ns && !(guard->actions & GUARD_ABORT)))
        return;
    state->next_ns = now_ns + (uint64_t)guard->every;
    value = state->last = value_of(run, state, now_ns);
    if (isnan(state->worst) || (guard->above != ABSENT ? value > state->worst : value < state->worst))
        state->worst = value;
    if (!breaches(guard, value)) {
        state->streak = 0;
        return;
    }
    if (++state->streak == 1)
        state->breached_ns = now_ns;
    if (state->streak < guard->breaches)
        return;
    state->tripped_ns = now_ns;
    state->tripped_at = value;
    act(run, state);
}

void run_judge_guards(struct run *run, uint64_t now_ns)
{
    if (!run->ramp_from_ns && (!run->baseline_start_ns || run->released_ns))
        return;
    for (size_t i = 0; i < run->playbook->guards.count; i++)
        judge_guard(run, &run->guards[i], now_ns);
}

void run_guards_anew(struct run *run, uint64_t ramp_from_ns)
{
    run->ramp_from_ns = ramp_from_ns;
    for (size_t i = 0; i < run->playbook->guards.count; i++)
        if (!run->guards[i].tripped_ns)
            run->guards[i].streak = 0;
}

void run_guards_released(struct run *run)
{
    for (size_t i = 0; i < run->playbook->guards.count; i++)
        if (run->guards[i].tripped_ns && !run->guards[i].acted_ns)
            run->guards[i].acted_ns = clock_now_ns();
}

bool run_is_cut_short(const struct run *run)
{
    return run->release_reason[0] != '\0';
}

/* Host faults act whatever a selector says, so they are left out; the others count and do nothing. */
void run_test_guard(struct run *run)
{
    struct step *steps = run->playbook->method.items;

    for (size_t i = 0; i < run->playbook->method.count; i++) {
        steps[i].spec.rule.selector.observe = 1;
        if (steps[i].layer == LAYER_HOST)
            run->steps[i].state = STEP_DONE;
    }
}

/* How far from tripping it stayed, as a share of its bound; negative once it was past it. */
static double margin_of(const struct guard_run *state)
{
    const struct guard *guard = state->guard;
    double bound = run_signal_bound(&guard->signal, guard->above != ABSENT ? guard->above : guard->below);
    double room = guard->above != ABSENT ? bound - state->worst : state->worst - bound;

    return bound > 0 ? room / bound : NAN;
}

static void put_instant(cJSON *object, const char *key, const struct run *run, uint64_t ns)
{
    if (ns)
        cJSON_AddNumberToObject(object, key, run_seconds(run, ns));
    else
        cJSON_AddNullToObject(object, key);
}

static void describe_actions(const struct guard *guard, cJSON *object)
{
    char text[64] = "";

    for (size_t i = 0; i < guard->then.count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? ", " : "", guard->then.items[i]);
    cJSON_AddStringToObject(object, "action", text[0] ? text : "abort");
}

cJSON *run_describe_guards(const struct run *run)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; i < run->playbook->guards.count; i++) {
        const struct guard_run *state = &run->guards[i];
        const struct guard *guard = state->guard;
        cJSON *object = cJSON_CreateObject();
        char text[160];

        cJSON_AddItemToArray(array, object);
        cJSON_AddStringToObject(object, "signal", guard->signal.name);
        snprintf(text, sizeof(text), "%s %.64s for %.3gs", guard->above_text ? "above" : "below",
                 guard->above_text ? guard->above_text : guard->below_text, (double)guard->hold / 1e9);
        if (guard->breaches > 1)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %d times in a row", (int)guard->breaches);
        cJSON_AddStringToObject(object, "bound", text);
        describe_actions(guard, object);
        cJSON_AddStringToObject(object, "worst", run_signal_text(&guard->signal, state->worst, text, sizeof(text)));
        if (isfinite(margin_of(state)))
            cJSON_AddNumberToObject(object, "margin", margin_of(state));
        cJSON_AddBoolToObject(object, "breached", state->tripped_ns != 0);
        put_instant(object, "breached_s", run, state->tripped_ns ? state->breached_ns : 0);
        put_instant(object, "tripped_s", run, state->tripped_ns);
        put_instant(object, "acted_s", run, state->acted_ns);
        if (state->acted_ns)
            cJSON_AddNumberToObject(object, "latency_s", (double)(state->acted_ns - state->breached_ns) / 1e9);
    }
    return array;
}
