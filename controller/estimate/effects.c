/* Debt, burn, drain, shedding; see effects.h. */
#include "controller/estimate/effects.h"

#include <errno.h>
#include <math.h>

static bool window_is_sound(const struct effects_window *window)
{
    return window->to_s > window->from_s && window->slo_s > 0.0 && window->deadline_s >= window->slo_s && window->objective > 0.0 &&
           window->objective < 1.0 && window->period_s > 0.0;
}

int effects_of_requests(est_request_at *at, const void *context, size_t count, const struct effects_window *window, struct effects *ret_effects)
{
    struct effects effects = {0};
    double bad_share, allowed = 1.0 - window->objective;

    if (!window_is_sound(window))
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        struct est_request request;
        double waited_s;

        at(context, i, &request);
        waited_s = isfinite(request.latency_s) ? request.latency_s : window->deadline_s;
        if (!(request.planned_s >= window->from_s && request.planned_s < window->to_s))
            continue;
        effects.requests++;
        effects.bad += !request.good;
        effects.slow += waited_s > window->slo_s;
        effects.latency_debt_s += fmax(waited_s - window->slo_s, 0.0);
    }
    bad_share = effects.requests > 0 ? (double)effects.bad / (double)effects.requests : NAN;
    effects.debt_per_request_s = effects.requests > 0 ? effects.latency_debt_s / (double)effects.requests : NAN;
    effects.burn = bad_share / allowed;
    effects.budget_share = effects.burn * (window->to_s - window->from_s) / window->period_s;
    *ret_effects = effects;
    return 0;
}

double effects_drain_s(const struct est_result *backlog, const struct est_result *service, struct est_interval *ret_interval)
{
    double drain_s = backlog->converged_s - service->first_return_s;

    *ret_interval = (struct est_interval){NAN, NAN};
    if (isnan(drain_s))
        return NAN;
    ret_interval->low = fmax(backlog->converged_interval.low - service->first_return_s, 0.0);
    ret_interval->high = fmax(backlog->converged_interval.high - service->first_return_s, 0.0);
    return fmax(drain_s, 0.0);
}

double effects_loss_derived_s(const struct est_result *result)
{
    double loss_s = isnan(result->loss_to_hold_s) ? result->loss_to_end_s : result->loss_to_hold_s;

    return result->dip_depth > 0.0 ? loss_s / result->dip_depth : NAN;
}

static bool is_down(enum est_verdict verdict)
{
    return verdict == EST_NOT_CONVERGED || verdict == EST_METASTABLE || verdict == EST_FLAPPING || verdict == EST_CONVERGED_TO_NEW_LEVEL;
}

int effects_judge_shedding(const struct est_series *series, const struct est_pins *pins, const struct est_instants *instants, double shed_s,
                           struct effects_shedding *ret_shedding)
{
    struct effects_shedding shedding = {.phase = PHASE_UNKNOWN, .recovery_s = NAN, .recovery_interval = {NAN, NAN}};
    struct est_instants before = *instants, after = *instants;
    struct est_result result;
    int rc;

    if (series->kind == EST_RATE || !(shed_s > instants->inject_s && shed_s < instants->end_s) || shed_s < instants->release_s)
        return -EINVAL;
    before.end_s = shed_s;
    after.release_s = shed_s;
    rc = est_judge(series, pins, &before, NULL, &result);
    if (rc < 0)
        return rc;
    if (!is_down(result.verdict)) {
        shedding.phase = est_verdict_status(result.verdict) == 0 ? PHASE_NOT_NEEDED : PHASE_UNKNOWN;
        *ret_shedding = shedding;
        return 0;
    }
    rc = est_judge(series, pins, &after, NULL, &result);
    if (rc < 0)
        return rc;
    if (result.verdict == EST_CONVERGED && result.converged_s >= shed_s) {
        shedding.phase = PHASE_METASTABLE;
        shedding.recovery_s = result.convergence_from_release_s;
        shedding.recovery_interval = result.from_release_interval;
    } else if (is_down(result.verdict)) {
        shedding.phase = PHASE_BROKEN;
    }
    *ret_shedding = shedding;
    return 0;
}
