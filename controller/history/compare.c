/* See compare.h. */
#include "controller/history/compare.h"

#include "controller/base/json.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ALPHA 0.05

/* The times as plain numbers, a censored one its bound: only for the size of the shift, which the reader is told. */
static int compare_times(const struct run_group *a, const struct run_group *b, struct group_metric *metric)
{
    AUTO_FREE double *times = calloc(a->count + b->count + 1, sizeof(double));
    double chi2;

    if (!times)
        return -ENOMEM;
    for (size_t i = 0; i < a->count; i++)
        times[i] = a->outcome[i].time_s;
    for (size_t i = 0; i < b->count; i++)
        times[a->count + i] = b->outcome[i].time_s;
    metric->known = a->count && b->count;
    if (metric->known && compare_groups(times, a->count, times + a->count, b->count, ALPHA, &metric->comparison) < 0)
        return -ENOMEM;
    metric->p = metric->comparison.p;
    metric->by_log_rank = a->censored + b->censored > 0;
    if (metric->known && metric->by_log_rank && survival_log_rank(a->outcome, a->count, b->outcome, b->count, &chi2, &metric->p) < 0)
        return -ENOMEM;
    return 0;
}

static int compare_losses(const struct run_group *a, const struct run_group *b, struct group_metric *metric)
{
    AUTO_FREE double *first = NULL;
    AUTO_FREE double *second = NULL;
    size_t count_a, count_b;

    if (run_group_losses(a, &first, &count_a) < 0 || run_group_losses(b, &second, &count_b) < 0)
        return -ENOMEM;
    metric->known = count_a && count_b;
    if (metric->known && compare_groups(first, count_a, second, count_b, ALPHA, &metric->comparison) < 0)
        return -ENOMEM;
    metric->p = metric->comparison.p;
    return 0;
}

/* The word for a metric whose higher values are worse. */
static void judge_metric(struct group_metric *metric, struct group_verdict *verdict)
{
    bool differs = metric->known && metric->p < ALPHA;

    if (!metric->known || metric->comparison.outcome == COMPARE_TOO_FEW) {
        metric->word = "not judged";
        verdict->status = verdict->status == 1 ? 1 : 2;
    } else if (differs && metric->comparison.shift > 0) {
        metric->word = "REGRESSED";
        verdict->status = 1;
    } else {
        metric->word = differs && metric->comparison.shift < 0 ? "improved" : "no difference beyond chance";
    }
}

static int judge(const struct run_group *a, const struct run_group *b, struct group_verdict *ret_verdict)
{
    struct group_verdict verdict = { .metric = { { .name = "convergence" }, { .name = "loss" } } };
    double p[GROUP_METRICS];
    int result = compare_times(a, b, &verdict.metric[GROUP_CONVERGENCE]);

    if (!result)
        result = compare_losses(a, b, &verdict.metric[GROUP_LOSS]);
    for (size_t i = 0; i < GROUP_METRICS; i++)
        p[i] = verdict.metric[i].known && isfinite(verdict.metric[i].p) ? verdict.metric[i].p : 1;
    if (!result)
        result = compare_holm(p, GROUP_METRICS);
    for (size_t i = 0; !result && i < GROUP_METRICS; i++) {
        verdict.metric[i].p = p[i];
        judge_metric(&verdict.metric[i], &verdict);
    }
    *ret_verdict = verdict;
    return result;
}

static int check_pins(const struct run_group *a, const struct run_group *b, struct errs *errs)
{
    const struct store_run *other;

    if (!a->count || !b->count || run_group_is_pinned(a, b, &other))
        return 0;
    return errs_add(errs, ERR_INPUT, other->id, "was measured with other pins (rigour, band, hold, bin, load or deciding signals) than %s: "
                    "their numbers do not compare", a->runs[0].id);
}

int groups_judge(const struct run_group *a, const struct run_group *b, struct group_verdict *ret_verdict, struct errs *errs)
{
    int result = check_pins(a, b, errs);

    if (result < 0)
        return result;
    return judge(a, b, ret_verdict) < 0 ? errs_add(errs, ERR_INTERNAL, NULL, "out of memory") : 0;
}

/* ---- as JSON ---- */

static cJSON *group_json(const struct run_group *group)
{
    cJSON *object = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(object, "runs");

    for (size_t i = 0; i < group->count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(group->runs[i].id));
    json_put_number(object, "censored", (double)group->censored);
    json_put_number(object, "unjudged", (double)group->unjudged);
    return object;
}

cJSON *group_verdict_json(const struct run_group *a, const struct run_group *b, const struct group_verdict *verdict)
{
    cJSON *object = cJSON_CreateObject(), *metrics;

    cJSON_AddItemToObject(object, "a", group_json(a));
    cJSON_AddItemToObject(object, "b", group_json(b));
    metrics = cJSON_AddArrayToObject(object, "metrics");
    for (size_t i = 0; i < GROUP_METRICS; i++) {
        const struct group_metric *metric = &verdict->metric[i];
        cJSON *item = cJSON_CreateObject();

        cJSON_AddItemToArray(metrics, item);
        cJSON_AddStringToObject(item, "metric", metric->name);
        cJSON_AddStringToObject(item, "outcome", metric->word);
        if (!metric->known)
            continue;
        cJSON_AddStringToObject(item, "test", metric->by_log_rank ? "log-rank" : "mann-whitney");
        json_put_number(item, "shift_s", metric->comparison.shift);
        json_put_number(item, "shift_low_s", metric->comparison.shift_interval.low);
        json_put_number(item, "shift_high_s", metric->comparison.shift_interval.high);
        json_put_number(item, "p", metric->p);
        json_put_number(item, "effect", metric->comparison.effect);
        json_put_number(item, "detectable_s", metric->comparison.detectable);
    }
    return object;
}
