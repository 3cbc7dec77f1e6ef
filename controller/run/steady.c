/* The steady-state hypothesis before anything is injected. No data is never a pass. */
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
