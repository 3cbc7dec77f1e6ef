/* Bounds against values with error bars. No data is never a pass. */
#include "controller/run/expect.h"

#include "scenarios/base/cleanup.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

double amplification_of_hop(const struct run *run, size_t proxy, int from, int until)
{
    const struct hop_count *first = &run->hops[from], *last = &run->hops[until];

    if (!first->known || !last->known || last->logical <= first->logical || proxy >= sizeof(first->attempts) / sizeof(first->attempts[0]))
        return NAN;
    return (double)(last->attempts[proxy] - first->attempts[proxy]) / (double)(last->logical - first->logical);
}

double amplification_of(const struct run *run, int from, int until)
{
    double sum = 0;

    if (!run->playbook->proxies.count)
        return NAN;
    for (size_t i = 0; i < run->playbook->proxies.count; i++)
        sum += amplification_of_hop(run, i, from, until);
    return sum;
}

enum outcome { OUTCOME_MET, OUTCOME_BROKEN, OUTCOME_STRADDLES, OUTCOME_NO_DATA };

static const char *const outcome_words[] = { "met", "broken", "straddles", "no_data" };

static enum outcome compare(double value, double low, double high, double bound)
{
    if (isnan(value))
        return OUTCOME_NO_DATA;
    if (isnan(low) || isnan(high))
        low = high = value;
    if (high <= bound)
        return OUTCOME_MET;
    return low > bound ? OUTCOME_BROKEN : OUTCOME_STRADDLES;
}

static enum outcome compare_least(double value, double low, double high, double bound)
{
    if (isnan(value))
        return OUTCOME_NO_DATA;
    if (low >= bound)
        return OUTCOME_MET;
    return high <= bound && value < bound ? OUTCOME_BROKEN : OUTCOME_STRADDLES;
}

/* `sign` 1: at most the bound; -1: at least. An interval that reaches to infinity is said in words. */
static void print_value(char *text, size_t size, const char *unit, double value, double low, double high, int sign)
{
    const int digits = sign > 0 ? 3 : 4;

    if (isnan(value))
        snprintf(text, size, "no data");
    else if (isinf(high))
        snprintf(text, size, sign > 0 ? "more than %.*g%s" : "%.*g%s or more", digits, value, unit);
    else if (isnan(low))
        snprintf(text, size, "%.*g%s", digits, value, unit);
    else
        snprintf(text, size, "%.*g%s (%.*g%s to %.*g%s)", digits, value, unit, digits, low, unit, digits, high, unit);
}

static enum outcome note_bound(struct judgement *judgement, const char *what, const char *unit, double value, double low, double high,
                               double bound, int sign)
{
    enum outcome outcome = (sign > 0 ? compare : compare_least)(value, low, high, bound);
    cJSON *entry = cJSON_CreateObject();
    char text[96];

    cJSON_AddStringToObject(entry, "what", what);
    snprintf(text, sizeof(text), "at %s %.4g%s", sign > 0 ? "most" : "least", bound, unit);
    cJSON_AddStringToObject(entry, "bound", text);
    cJSON_AddNumberToObject(entry, sign > 0 ? "at_most" : "at_least", bound);
    if (isfinite(value))
        cJSON_AddNumberToObject(entry, "measured", value);
    if (isfinite(value) && bound > 0)
        cJSON_AddNumberToObject(entry, "margin", sign * (bound - value) / bound);
    print_value(text, sizeof(text), unit, value, low, high, sign);
    cJSON_AddStringToObject(entry, "value", text);
    cJSON_AddStringToObject(entry, "outcome", outcome_words[outcome]);
    cJSON_AddItemToArray(judgement->expect, entry);
    return outcome;
}

static enum outcome note(struct judgement *judgement, const char *what, const char *unit, double value, double low, double high, double bound)
{
    return note_bound(judgement, what, unit, value, low, high, bound, 1);
}

static enum outcome judge_knee(const struct run *run, struct judgement *judgement, enum ramp_when when, const char *what, int64_t bound)
{
    const struct ramp_run *ramp = run_ramp_at(run, when);
    bool known = ramp && ramp->knee.end != KNEE_NONE;

    return note_bound(judgement, what, "/s", known ? ramp->knee.rate : NAN, known ? ramp->knee.low : NAN, known ? ramp->knee.high : NAN,
                      (double)bound / 1000, -1);
}

static enum outcome judge_convergence(const struct run *run, struct judgement *judgement)
{
    const struct est_result *result = &judgement->combined;
    double bound = (double)run->playbook->expect.convergence.max / 1e9;

    if (result->verdict == EST_ABSORBED)
        return note(judgement, "convergence", "s", 0, 0, 0, bound);
    if (result->verdict == EST_NOT_CONVERGED || result->verdict == EST_METASTABLE || result->verdict == EST_FLAPPING ||
        result->verdict == EST_CONVERGED_TO_NEW_LEVEL) {
        double watched_s = (double)(run->end_ns - (run->released_ns ? run->released_ns : run->baseline_end_ns)) / 1e9;

        return note(judgement, "convergence", "s", watched_s, watched_s, INFINITY, bound); /* right-censored */
    }
    if (!isnan(result->convergence_from_release_s))
        return note(judgement, "convergence", "s", result->convergence_from_release_s, result->from_release_interval.low,
                    result->from_release_interval.high, bound);
    return note(judgement, "convergence", "s", result->convergence_from_inject_s, result->from_inject_interval.low,
                result->from_inject_interval.high, bound);
}

/* Loss is area under a share or a rate; latency has none. The first such signal tells it. */
static enum outcome judge_loss(const struct run *run, struct judgement *judgement)
{
    double bound = (double)run->playbook->expect.loss.max / 1e9;

    for (size_t i = 0; i < judgement->signal_count; i++) {
        const struct judged_signal *signal = &judgement->signals[i];
        const struct est_result *result = &signal->result;
        char what[96];

        if (!signal->judged || signal->signal.kind == SIGNAL_QUANTILE)
            continue;
        snprintf(what, sizeof(what), "loss of %.80s", signal->signal.name);
        if (!isnan(result->loss_to_hold_s))
            return note(judgement, what, "s", result->loss_to_hold_s, result->loss_to_hold_interval.low, result->loss_to_hold_interval.high, bound);
        return note(judgement, what, "s", result->loss_to_end_s, result->loss_to_end_interval.low, result->loss_to_end_interval.high, bound);
    }
    return note(judgement, "loss", "s", NAN, NAN, NAN, bound);
}

static enum outcome judge_amplification(const struct run *run, struct judgement *judgement)
{
    double baseline = amplification_of(run, 0, 1), fault = amplification_of(run, 1, 2), after = amplification_of(run, 2, 3);
    double worst = isnan(fault) ? after : isnan(after) ? fault : MAX(fault, after);

    return note(judgement, "amplification", "x", baseline > 0 ? worst / baseline : NAN, NAN, NAN,
                (double)run->playbook->expect.amplification.max / 1000);
}

static enum outcome judge_hysteresis(const struct run *run, struct judgement *judgement)
{
    struct est_interval interval;
    double missing = run_knee_hysteresis(run, &interval);

    return note(judgement, "knee missing after the recovery", "%", missing * 100, interval.low * 100, interval.high * 100,
                (double)run->playbook->expect.knee.hysteresis / 1e4);
}

static enum outcome judge_bound(const struct run *run, struct judgement *judgement, const struct bound *bound, const char *when, uint64_t from_ns,
                                uint64_t until_ns)
{
    double value = from_ns && from_ns < until_ns ? run_signal_over(run, &bound->signal, WINDOW_BY_PLAN, from_ns, until_ns) : NAN;
    enum outcome outcome = isnan(value) ? OUTCOME_NO_DATA : OUTCOME_MET;
    cJSON *entry = cJSON_CreateObject();
    char text[128];

    if ((bound->min != ABSENT && value < run_signal_bound(&bound->signal, bound->min)) ||
        (bound->max != ABSENT && value > run_signal_bound(&bound->signal, bound->max)))
        outcome = OUTCOME_BROKEN;
    snprintf(text, sizeof(text), "%.80s %s", bound->signal.name, when);
    cJSON_AddStringToObject(entry, "what", text);
    snprintf(text, sizeof(text), "%s%.40s%s%s%.40s", bound->min_text ? "at least " : "", bound->min_text ? bound->min_text : "",
             bound->min_text && bound->max_text ? ", " : "", bound->max_text ? "at most " : "", bound->max_text ? bound->max_text : "");
    cJSON_AddStringToObject(entry, "bound", text);
    cJSON_AddStringToObject(entry, "value", run_signal_text(&bound->signal, value, text, sizeof(text)));
    cJSON_AddStringToObject(entry, "outcome", outcome_words[outcome]);
    cJSON_AddItemToArray(judgement->expect, entry);
    return outcome;
}

/* The worst of a list: broken, no data, met. */
static enum outcome judge_bounds(const struct run *run, struct judgement *judgement, const struct section_list *list, const char *when,
                                 uint64_t from_ns, uint64_t until_ns)
{
    const struct bound *bounds = list->items;
    enum outcome worst = OUTCOME_MET;

    for (size_t i = 0; i < list->count; i++) {
        enum outcome outcome = judge_bound(run, judgement, &bounds[i], when, from_ns, until_ns);

        if (outcome == OUTCOME_BROKEN || worst == OUTCOME_MET)
            worst = outcome;
    }
    return worst;
}

int expect_judge(struct run *run, struct judgement *judgement)
{
    const struct expectation *expect = &run->playbook->expect;
    enum outcome outcomes[8] = { OUTCOME_MET };
    uint64_t hold_ns = (uint64_t)expect->convergence.hold, end_ns = run->end_ns;
    int status = 0;

    if (expect->convergence.max != ABSENT)
        outcomes[0] = judge_convergence(run, judgement);
    if (expect->loss.max != ABSENT)
        outcomes[1] = judge_loss(run, judgement);
    if (expect->amplification.max != ABSENT)
        outcomes[2] = judge_amplification(run, judgement);
    if (expect->knee.min != ABSENT)
        outcomes[3] = judge_knee(run, judgement, RAMP_BEFORE, "knee", expect->knee.min);
    if (expect->knee.under_fault != ABSENT)
        outcomes[4] = judge_knee(run, judgement, RAMP_FAULT, "knee under fault", expect->knee.under_fault);
    if (expect->knee.hysteresis != ABSENT)
        outcomes[5] = judge_hysteresis(run, judgement);
    outcomes[6] = judge_bounds(run, judgement, &expect->during, "under the fault", run_injected_ns(run), run->released_ns ? run->released_ns : end_ns);
    outcomes[7] = judge_bounds(run, judgement, &expect->after, "at the end", end_ns > hold_ns ? end_ns - hold_ns : 0, end_ns);
    for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++)
        if (outcomes[i] == OUTCOME_BROKEN)
            status = 1;
        else if (outcomes[i] != OUTCOME_MET && status != 1)
            status = 2;
    return status;
}
