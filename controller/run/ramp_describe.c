/* Ramps in the result document, and the verdict of a playbook that is nothing but a ramp. */
#include "controller/run/run_priv.h"

#include "controller/base/json.h"
#include "controller/run/expect.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const enum ramp_when moments[RAMP_MOMENTS] = { RAMP_BEFORE, RAMP_FAULT, RAMP_AFTER };
static const char *const moment_words[RAMP_MOMENTS] = { "before", "under fault", "after" };

static cJSON *describe_knee(const struct ramp_run *ramp, const char *when)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "when", when);
    cJSON_AddStringToObject(object, "end", knee_end_name(ramp->knee.end));
    json_put_number(object, "rate_per_s", ramp->knee.end == KNEE_NONE ? NAN : ramp->knee.rate);
    json_put_number(object, "low_per_s", ramp->knee.end == KNEE_NONE ? NAN : ramp->knee.low);
    json_put_number(object, "high_per_s", ramp->knee.high);
    json_put_number(object, "steps", (double)ramp->count);
    cJSON_AddBoolToObject(object, "stuck", ramp->stuck);
    cJSON_AddStringToObject(object, "note", ramp->note);
    return object;
}

/* As numbers by signal, and worded. */
static void put_water(const struct ramp *plan, const struct ramp_step *step, cJSON *object)
{
    cJSON *water;
    struct buf text;

    if (!plan->water_count)
        return;
    water = cJSON_AddObjectToObject(object, "water");
    buf_init(&text, 4096);
    for (size_t i = 0; i < plan->water_count; i++) {
        char value[48];

        json_put_number(water, plan->water_signals[i].name, step->water[i]);
        buf_printf(&text, "%s%s %s", i ? ", " : "", plan->water_signals[i].name,
                   run_signal_text(&plan->water_signals[i], step->water[i], value, sizeof(value)));
    }
    cJSON_AddStringToObject(object, "levels", text.data);
    buf_done(&text);
}

static cJSON *describe_step(const struct run *run, const struct ramp_step *step, const char *when)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "when", when);
    cJSON_AddStringToObject(object, "outcome", step->good ? "held" : "missed");
    json_put_number(object, "at_s", run_seconds(run, step->from_ns));
    json_put_number(object, "rate_per_s", step->rate);
    json_put_number(object, "served_per_s", step->served);
    json_put_number(object, "failed_share", step->failed_share);
    json_put_number(object, "latency_s", step->latency_s);
    put_water(&run->playbook->ramp, step, object);
    return object;
}

cJSON *run_describe_ramps(const struct run *run)
{
    const struct ramp *plan = &run->playbook->ramp;
    cJSON *object, *knees, *steps;
    struct est_interval interval;

    if (!plan->moments)
        return NULL;
    object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "load", run->loads[plan->load].workload->name);
    json_put_number(object, "slo_s", (double)run->playbook->slo.latency / 1e9);
    json_put_number(object, "quantile", (double)run->playbook->slo.quantile / PPM);
    json_put_number(object, "delta", (double)plan->delta / PPM);
    knees = cJSON_AddArrayToObject(object, "knees");
    steps = cJSON_AddArrayToObject(object, "steps");
    for (size_t i = 0; i < RAMP_MOMENTS; i++) {
        const struct ramp_run *ramp = run_ramp_at(run, moments[i]);

        if (!ramp)
            continue;
        cJSON_AddItemToArray(knees, describe_knee(ramp, moment_words[i]));
        for (size_t j = 0; j < ramp->count; j++)
            cJSON_AddItemToArray(steps, describe_step(run, &ramp->step[j], moment_words[i]));
    }
    json_put_number(object, "hysteresis", run_knee_hysteresis(run, &interval));
    json_put_number(object, "hysteresis_low", interval.low);
    json_put_number(object, "hysteresis_high", interval.high);
    return object;
}

/* ---- the verdict of a ramp alone ------------------------------------------------------------------------------------------------- */

static void explain(const struct run *run, const struct ramp_run *ramp, char *why, size_t size)
{
    const struct knee *knee = &ramp->knee;
    char promise[64];

    snprintf(promise, sizeof(promise), "p%.4g within %.3g ms", (double)run->playbook->slo.quantile / 1e4, (double)run->playbook->slo.latency / 1e6);
    if (ramp->stuck)
        snprintf(why, size, "overload outlasted itself: %s", ramp->note);
    else if (knee->end == KNEE_FOUND && isfinite(knee->high))
        snprintf(why, size, "the knee is %.4g/s (between %.4g/s and %.4g/s): up to there %s and all but %.3g%% are served", knee->rate, knee->low,
                 knee->high, promise, (double)run->playbook->ramp.delta / 1e4);
    else if (knee->end == KNEE_FOUND)
        snprintf(why, size, "the knee is about %.4g/s, and no rate failed each time: %s", knee->rate, promise);
    else if (knee->end == KNEE_ABOVE)
        snprintf(why, size, "all steps up to %.4g/s kept %s: the knee is above%s%s", knee->rate, promise, ramp->note[0] ? "; " : "", ramp->note);
    else if (knee->end == KNEE_BELOW)
        snprintf(why, size, "not even the lowest rate kept %s", promise);
    else
        snprintf(why, size, "no step was measured%s%s", ramp->note[0] ? ": " : "", ramp->note);
}

void run_judge_ramp(struct run *run, struct judgement *judgement)
{
    static const struct {
        const char *verdict;
        int status;
    } words[] = { [KNEE_NONE] = { "load_unfit", 2 }, [KNEE_FOUND] = { "converged", 0 }, [KNEE_BELOW] = { "not_converged", 1 }, [KNEE_ABOVE] = { "absorbed", 0 } };
    const struct ramp_run *ramp = run_ramp_at(run, RAMP_BEFORE);
    enum knee_end end = ramp ? ramp->knee.end : KNEE_NONE;
    int status = expect_judge(run, judgement);

    judgement->verdict = words[end].verdict;
    judgement->status = words[end].status;
    if (ramp && ramp->stuck) {
        judgement->verdict = "metastable";
        judgement->status = 1;
    } else if (judgement->status == 0) {
        judgement->status = status;
    }
    if (ramp)
        explain(run, ramp, judgement->why, sizeof(judgement->why));
}
