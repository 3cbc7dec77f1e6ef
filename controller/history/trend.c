/* See trend.h. */
#include "controller/history/trend.h"

#include "controller/base/json.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ALPHA 0.05

enum { CHANGES_SEED = 1 };

/* Seconds since the epoch of an RFC 3339 instant in UTC; NaN. */
static double instant_of(const char *text)
{
    struct tm when = { 0 };

    return text && strptime(text, "%Y-%m-%dT%H:%M:%SZ", &when) ? (double)timegm(&when) : NAN;
}

/* Keeps the runs that may stand in one trend: full rigour, and the pins of the newest of them. Newest first, as listed. */
static size_t choose(struct store_run *runs, size_t count, struct trend *trend)
{
    const char *pins = NULL;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        bool is_full = runs[i].rigour && !strcmp(runs[i].rigour, "full") && runs[i].pins_hash;

        if (is_full && !pins)
            pins = runs[i].pins_hash;
        if (is_full && !strcmp(runs[i].pins_hash, pins)) {
            struct store_run run = runs[i];

            runs[i] = runs[kept];
            runs[kept++] = run;
            continue;
        }
        trend->quick += runs[i].rigour && !strcmp(runs[i].rigour, "quick");
        trend->other_pins += is_full;
    }
    for (size_t i = kept; i < count; i++)
        store_run_done(&runs[i]);
    return kept;
}

/* The newest CHANGE_VALUES_MAX; a run that never came back counts with the time it was watched. */
static int find_changes(struct trend *trend)
{
    size_t skip = trend->group.count > CHANGE_VALUES_MAX ? trend->group.count - CHANGE_VALUES_MAX : 0;
    AUTO_FREE double *times = calloc(trend->group.count + 1, sizeof(double));
    int result;

    if (!times)
        return -ENOMEM;
    for (size_t i = skip; i < trend->group.count; i++)
        times[i - skip] = trend->group.outcome[i].time_s;
    result = changes_find(times, trend->group.count - skip, ALPHA, CHANGES_SEED, &trend->changes);
    for (size_t i = 0; !result && i < trend->changes.count; i++)
        trend->changes.item[i].first += skip;
    return result;
}

double trend_age_days(const struct trend *trend)
{
    const struct run_group *group = &trend->group;

    return group->count ? ((double)time(NULL) - instant_of(group->runs[group->count - 1].started)) / 86400 : (double)NAN;
}

/* The present level is that of the runs since the last change. */
static int judge_level(struct trend *trend)
{
    size_t first = trend->changes.count ? trend->changes.item[trend->changes.count - 1].first : 0;
    const struct run_group *group = &trend->group;
    int result = survival_estimate(group->outcome + first, group->count - first, &trend->survival);

    if (result < 0)
        return result;
    trend->known = true;
    trend->horizon_s = 0;
    for (size_t i = 0; i < group->count; i++)
        trend->horizon_s = fmax(trend->horizon_s, group->runs[i].observed_s);
    trend->median_s = survival_quantile(&trend->survival, 0.5, &trend->median);
    trend->p95_s = survival_quantile(&trend->survival, 0.95, &(struct est_interval){ 0 });
    trend->mean_s = survival_restricted_mean(&trend->survival, fmin(trend->horizon_s, trend->survival.last_s), &trend->mean);
    trend->age_days = trend_age_days(trend);
    return 0;
}

int trend_collect(struct store_history *history, const char *playbook, size_t runs_max, struct errs *errs, struct trend *ret_trend)
{
    AUTO_FREE char *series = realpath(playbook, NULL);
    struct store_run *runs = NULL;
    size_t count = 0;
    const struct store_filter filter = { .series = series ? series : playbook };
    int result = store_history_page(history, &filter, runs_max ? runs_max : INT32_MAX, &runs, &count, errs);

    *ret_trend = (struct trend){ .known = false };
    if (result < 0)
        return result;
    result = run_group_take(runs, choose(runs, count, ret_trend), errs, &ret_trend->group);
    if (result < 0 || !ret_trend->group.count)
        return result;
    if (find_changes(ret_trend) < 0 || judge_level(ret_trend) < 0)
        return errs_add(errs, ERR_INTERNAL, playbook, "out of memory");
    return 0;
}

void trend_done(struct trend *trend)
{
    changes_done(&trend->changes);
    if (trend->known)
        survival_done(&trend->survival);
    run_group_done(&trend->group);
}

double trend_score(const struct trend *trend, double *ret_fresh)
{
    *ret_fresh = exp2(-fmax(0, trend->age_days) / TREND_HALF_LIFE_DAYS);
    return trend->horizon_s > 0 ? 1 - trend->mean_s / trend->horizon_s : NAN;
}

bool trend_has_regressed(const struct trend *trend)
{
    const struct change *last = trend->changes.count ? &trend->changes.item[trend->changes.count - 1] : NULL;

    return last && last->after > last->before;
}

/* ---- as JSON ---- */

static cJSON *runs_json(const struct trend *trend)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; i < trend->group.count; i++) {
        cJSON *item = cJSON_CreateObject();

        cJSON_AddItemToArray(array, item);
        cJSON_AddStringToObject(item, "id", trend->group.runs[i].id);
        cJSON_AddStringToObject(item, "started", trend->group.runs[i].started ? trend->group.runs[i].started : "");
        json_put_number(item, "time_s", trend->group.outcome[i].time_s);
        cJSON_AddBoolToObject(item, "converged", trend->group.outcome[i].converged);
        json_put_number(item, "loss_s", trend->group.runs[i].loss_s);
    }
    return array;
}

cJSON *trend_json(const char *playbook, const struct trend *trend)
{
    cJSON *object = cJSON_CreateObject(), *changes;
    double fresh = NAN, score = trend->known ? trend_score(trend, &fresh) : NAN;

    cJSON_AddStringToObject(object, "playbook", playbook);
    cJSON_AddItemToObject(object, "runs", runs_json(trend));
    changes = cJSON_AddArrayToObject(object, "changes");
    for (size_t i = 0; i < trend->changes.count; i++) {
        cJSON *item = cJSON_CreateObject();

        cJSON_AddItemToArray(changes, item);
        cJSON_AddStringToObject(item, "first_run", trend->group.runs[trend->changes.item[i].first].id);
        json_put_number(item, "before_s", trend->changes.item[i].before);
        json_put_number(item, "after_s", trend->changes.item[i].after);
        json_put_number(item, "p", trend->changes.item[i].p);
    }
    if (trend->known) {
        json_put_number(object, "median_s", trend->median_s);
        json_put_number(object, "median_low_s", trend->median.low);
        json_put_number(object, "median_high_s", trend->median.high);
        json_put_number(object, "p95_s", trend->p95_s);
        json_put_number(object, "mean_s", trend->mean_s);
        json_put_number(object, "horizon_s", trend->horizon_s);
        json_put_number(object, "recovery", score);
        json_put_number(object, "freshness", fresh);
        json_put_number(object, "score", score * fresh);
    }
    json_put_number(object, "quick", (double)trend->quick);
    json_put_number(object, "other_pins", (double)trend->other_pins);
    json_put_number(object, "unjudged", (double)trend->group.unjudged);
    return object;
}
