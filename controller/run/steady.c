/* The steady-state hypothesis before anything is injected, and the guards while something is. No data is never a pass. */
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"

#include <math.h>
#include <string.h>

static const char *outcome_word(double value, bool held)
{
    return isnan(value) ? "no_data" : held ? "held" : "missed";
}

static bool judge_line(struct run *run, struct steady_line *line)
{
    const struct bound *bound = line->bound;
    struct event event;
    char text[48];

    line->value = run_signal_over(run, &bound->signal, WINDOW_BY_PLAN, run->baseline_start_ns, run->baseline_end_ns);
    line->held = !isnan(line->value) && (bound->min == ABSENT || line->value >= run_signal_bound(&bound->signal, bound->min)) &&
                 (bound->max == ABSENT || line->value <= run_signal_bound(&bound->signal, bound->max));
    event_init(&event, EVENT_steady, SOURCE_RUNNER, clock_now_ns(), bound->signal.name, NULL);
    snprintf(event.text[1], EVENT_TEXT_MAX, "%s, %s", outcome_word(line->value, line->held),
             run_signal_text(&bound->signal, line->value, text, sizeof(text)));
    event_log_add(&run->log, &event);
    if (!line->held && !run->refusal[0])
        snprintf(run->refusal, sizeof(run->refusal), "the steady state did not hold before anything was injected: %s was %s",
                 bound->signal.name, text);
    return line->held;
}

/* What one would look at first: a target that has ended, a proxy whose upstream does not take connections. */
static void name_suspect(struct run *run)
{
    size_t used = strlen(run->refusal), size = sizeof(run->refusal) - used;
    const struct proxy *proxies = run->playbook->proxies.items;
    char where[ERR_WHERE_MAX];

    for (size_t i = 0; i < run->playbook->targets.count; i++) {
        const struct target_run *target = &run->targets[i];

        if (!target->pid && target->exit_count) {
            snprintf(run->refusal + used, size, "; target '%s' (%s) had ended with status %d", target->target->name,
                     node_where(&run->playbook->document, target->target->node, where, sizeof(where)),
                     (int)target->exits[target->exit_count - 1].status);
            return;
        }
    }
    for (size_t i = 0; i < run->playbook->proxies.count; i++)
        if (run->proxies[i].connects_failed) {
            snprintf(run->refusal + used, size, "; proxy '%s' (%s) could not connect to its upstream %s", proxies[i].name,
                     node_where(&run->playbook->document, proxies[i].node, where, sizeof(where)),
                     proxies[i].captures ? "(each connection's own destination)" : proxies[i].upstream);
            return;
        }
}

bool run_judge_steady(struct run *run)
{
    bool held = true;

    for (size_t i = 0; i < run->playbook->hypothesis.count; i++)
        held &= judge_line(run, &run->steady[i]);
    if (!held)
        name_suspect(run);
    return held;
}

static bool breaches(const struct guard *guard, double value)
{
    if (isnan(value))
        return false;
    return guard->above != ABSENT ? value > run_signal_bound(&guard->signal, guard->above)
                                  : value < run_signal_bound(&guard->signal, guard->below);
}

/* A guard looks at what ended in its window; before a whole window has passed it waits. */
static void judge_guard(struct run *run, struct guard_run *state, uint64_t now_ns)
{
    const struct guard *guard = state->guard;
    uint64_t window_ns = (uint64_t)guard->hold;
    double value;
    char text[48];

    if (state->breached_ns || now_ns < run->baseline_start_ns + window_ns)
        return;
    value = run_signal_over(run, &guard->signal, WINDOW_BY_END, now_ns - window_ns, now_ns);
    if (isnan(state->worst) || (guard->above != ABSENT ? value > state->worst : value < state->worst))
        state->worst = value;
    if (!breaches(guard, value))
        return;
    state->breached_ns = now_ns;
    event_log_note(&run->log, EVENT_guard, guard->signal.name, "abort", 0, 0);
    run_abort(run, "guard: %s was %s", guard->signal.name, run_signal_text(&guard->signal, value, text, sizeof(text)));
}

void run_judge_guards(struct run *run, uint64_t now_ns)
{
    if (!run->baseline_start_ns || run->released_ns)
        return;
    for (size_t i = 0; i < run->playbook->guards.count; i++)
        judge_guard(run, &run->guards[i], now_ns);
}
