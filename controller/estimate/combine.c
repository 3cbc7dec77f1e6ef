/* Several deciding signals, verdict words, and amplification; see estimate.h. */
#include "controller/estimate/estimate.h"

#include <assert.h>
#include <math.h>

static const struct {
    const char *name;
    int status;
} verdicts[EST_VERDICTS] = {
    [EST_ABSORBED] = {"absorbed", 0},
    [EST_RECOVERED_UNDER_FAULT] = {"recovered_under_fault", 0},
    [EST_CONVERGED] = {"converged", 0},
    [EST_CENSORED] = {"censored", 2},
    [EST_INDETERMINATE] = {"indeterminate", 2},
    [EST_BASELINE_UNFIT] = {"baseline_unfit", 2},
    [EST_CONVERGED_TO_NEW_LEVEL] = {"converged_to_new_level", 1},
    [EST_CONVERGED_THEN_REDEGRADED] = {"converged_then_redegraded", 1},
    [EST_FLAPPING] = {"flapping", 1},
    [EST_NOT_CONVERGED] = {"not_converged", 1},
    [EST_METASTABLE] = {"metastable", 1},
};

const char *est_verdict_name(enum est_verdict verdict)
{
    assert(verdict < EST_VERDICTS);
    return verdicts[verdict].name;
}

int est_verdict_status(enum est_verdict verdict)
{
    assert(verdict < EST_VERDICTS);
    return verdicts[verdict].status;
}

static bool later(const struct est_result *a, const struct est_result *b)
{
    return !isnan(a->converged_s) && (isnan(b->converged_s) || a->converged_s > b->converged_s);
}

/* Does `a` decide over `b`? The heavier verdict; among passes and among equals the later convergence. */
static bool decides(const struct est_result *a, const struct est_result *b)
{
    bool both_pass = est_verdict_status(a->verdict) == 0 && est_verdict_status(b->verdict) == 0;

    return both_pass || a->verdict == b->verdict ? later(a, b) : a->verdict > b->verdict;
}

void est_combine(const struct est_result *result, size_t count, struct est_result *ret_result, size_t *ret_last)
{
    size_t last = 0;
    double deviated_s = NAN, first_return_s = NAN, reaction_s = NAN;

    assert(count >= 1);
    for (size_t i = 0; i < count; i++) {
        if (decides(&result[i], &result[last]))
            last = i;
        deviated_s = fmin(deviated_s, result[i].deviated_s); /* fmin ignores NaN */
        first_return_s = fmin(first_return_s, result[i].first_return_s);
        reaction_s = fmin(reaction_s, result[i].time_to_deviation_s);
    }
    *ret_result = result[last];
    ret_result->deviated_s = deviated_s;
    ret_result->first_return_s = first_return_s;
    ret_result->time_to_deviation_s = reaction_s;
    if (ret_last != NULL)
        *ret_last = last;
}

double est_amplification(uint64_t attempts, uint64_t logical, struct est_interval *ret_interval)
{
    double ratio = logical > 0 ? (double)attempts / (double)logical : NAN;
    double reach = logical > 0 ? 1.96 * sqrt((double)attempts) / (double)logical : NAN;

    *ret_interval = (struct est_interval){.low = ratio < reach ? 0.0 : ratio - reach, .high = ratio + reach};
    return ratio;
}
