/* Bounds against values with error bars. No data is never a pass. */
#include "controller/run/expect.h"

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

static enum outcome note(struct judgement *judgement, const char *what, const char *unit, double value, double low, double high, double bound)
{
    static const char *const words[] = { "met", "broken", "straddles", "no_data" };
    enum outcome outcome = compare(value, low, high, bound);
    cJSON *entry = cJSON_CreateObject();
    char text[96];

    cJSON_AddStringToObject(entry, "what", what);
    snprintf(text, sizeof(text), "at most %.4g%s", bound, unit);
    cJSON_AddStringToObject(entry, "bound", text);
    cJSON_AddNumberToObject(entry, "at_most", bound);
    if (isnan(value))
        snprintf(text, sizeof(text), "no data");
    else if (isinf(high))
        snprintf(text, sizeof(text), "more than %.3g%s", value, unit);
    else if (isnan(low))
        snprintf(text, sizeof(text), "%.3g%s", value, unit);
    else
        snprintf(text, sizeof(text), "%.3g%s (%.3g%s to %.3g%s)", value, unit, low, unit, high, unit);
    cJSON_AddStringToObject(entry, "value", text);
    cJSON_AddStringToObject(entry, "outcome", words[outcome]);
    cJSON_AddItemToArray(judgement->expect, entry);
    return outcome;
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

int expect_judge(struct run *run, struct judgement *judgement)
{
    const struct expectation *expect = &run->playbook->expect;
    enum outcome outcomes[3] = { OUTCOME_MET, OUTCOME_MET, OUTCOME_MET };
    int status = 0;

    if (expect->convergence.max != ABSENT)
        outcomes[0] = judge_convergence(run, judgement);
    if (expect->loss.max != ABSENT)
        outcomes[1] = judge_loss(run, judgement);
    if (expect->amplification.max != ABSENT)
        outcomes[2] = judge_amplification(run, judgement);
    for (size_t i = 0; i < 3; i++)
        if (outcomes[i] == OUTCOME_BROKEN)
            status = 1;
        else if (outcomes[i] != OUTCOME_MET && status != 1)
            status = 2;
    return status;
}
