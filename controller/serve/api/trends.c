/* What many runs say together: trends, scores, comparisons. */
#include "controller/history/compare.h"
#include "controller/serve/http/archive.h"
#include "controller/base/json.h"
#include "controller/serve/api/library.h"
#include "controller/serve/api/playbooks.h"
#include "controller/serve/core/service.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS_MAX = ARCHIVE_TREND_RUNS, PATH_BYTES = 4096 };

/* ---- the score and its parts ---- */

static void put_part(cJSON *parts, const char *name, double value, const char *what)
{
    cJSON *part = cJSON_CreateObject();

    cJSON_AddStringToObject(part, "name", name);
    json_put_number(part, "value", value);
    cJSON_AddStringToObject(part, "what", what);
    cJSON_AddItemToArray(parts, part);
}

/* {value: 0..100, parts}: value = 100 * recovery * freshness. NULL value when nothing is known. */
static cJSON *score_json(const struct trend *trend)
{
    cJSON *object = cJSON_CreateObject(), *parts;
    double fresh = (double)NAN, recovery = trend->known ? trend_score(trend, &fresh) : (double)NAN;

    json_put_number(object, "value", 100 * recovery * fresh);
    parts = cJSON_AddArrayToObject(object, "parts");
    put_part(parts, "recovery", recovery, "1 less the mean time to come back over the time that was watched");
    put_part(parts, "freshness", fresh, "halves every 30 days without a run");
    put_part(parts, "mean_s", trend->known ? trend->mean_s : (double)NAN, "mean time to come back, each run counted for no more than was watched");
    put_part(parts, "horizon_s", trend->known ? trend->horizon_s : (double)NAN, "time that was watched after the release");
    put_part(parts, "age_days", trend->known ? trend->age_days : (double)NAN, "since the last run");
    put_part(parts, "runs", trend->known ? (double)trend->survival.runs : 0, "at the present level");
    put_part(parts, "never_back", trend->known ? (double)trend->survival.censored : 0, "of them, never came back while watched");
    return object;
}

/* ---- trends ---- */

static bool is_in(const struct trend *trend, const char *id)
{
    for (size_t i = 0; i < trend->group.count; i++)
        if (!strcmp(trend->group.runs[i].id, id))
            return true;
    return false;
}

/* The newest of all runs of the playbook, oldest first; `in_trend` says which of them the trend counts. */
static int add_points(struct api_call *call, cJSON *object, const struct trend *trend, const char *path, const char *name)
{
    struct store_filter filter = { .playbook = name, .series = path, .live = STORE_ENDED };
    cJSON *list = cJSON_AddArrayToObject(object, "points");
    struct store_run *runs = NULL;
    size_t count = 0;
    int result = store_history_page(api_history_lock(call), &filter, POINTS_MAX, &runs, &count, api_errs(call));

    api_history_unlock(call);
    for (size_t i = count; result == 0 && i-- > 0;) {
        cJSON *point = cJSON_CreateObject();

        json_put_text(point, "run", runs[i].id);
        json_put_text(point, "started", runs[i].started);
        json_put_text(point, "verdict", runs[i].verdict);
        json_put_number(point, "status", runs[i].status < 0 ? (double)NAN : runs[i].status);
        json_put_number(point, "convergence_s", runs[i].convergence_s);
        json_put_number(point, "low_s", runs[i].convergence_low_s);
        json_put_number(point, "high_s", runs[i].convergence_high_s);
        json_put_number(point, "observed_s", runs[i].observed_s);
        json_put_number(point, "loss_s", runs[i].loss_s);
        json_put_text(point, "rigour", runs[i].rigour);
        json_put_text(point, "pins", runs[i].pins_hash);
        cJSON_AddBoolToObject(point, "in_trend", is_in(trend, runs[i].id));
        cJSON_AddItemToArray(list, point);
    }
    store_runs_free(runs, count);
    return result;
}

static void add_changes(cJSON *object, const struct trend *trend)
{
    cJSON *list = cJSON_AddArrayToObject(object, "change_points");

    for (size_t i = 0; i < trend->changes.count; i++) {
        const struct change *change = &trend->changes.item[i];
        cJSON *item = cJSON_CreateObject();

        json_put_text(item, "run", trend->group.runs[change->first].id);
        json_put_text(item, "started", trend->group.runs[change->first].started);
        json_put_number(item, "before_s", change->before);
        json_put_number(item, "after_s", change->after);
        json_put_number(item, "p", change->p);
        cJSON_AddItemToArray(list, item);
    }
}

/* The path of a stored playbook; a name that is none (any more) stands for itself, as the history has it. */
static const char *path_of(struct api_call *call, const char *name, char *path, size_t size)
{
    struct errs *errs = calloc(1, sizeof(*errs));
    bool found = errs && service_playbook_file(api_service(call), name, path, size, errs) == 0;

    free(errs);
    return found ? path : name;
}

static void describe(cJSON *object, const struct trend *trend)
{
    add_changes(object, trend);
    cJSON_AddItemToObject(object, "score", score_json(trend));
    json_put_number(object, "median_s", trend->known ? trend->median_s : (double)NAN);
    json_put_number(object, "median_low_s", trend->known ? trend->median.low : (double)NAN);
    json_put_number(object, "median_high_s", trend->known ? trend->median.high : (double)NAN);
    json_put_number(object, "p95_s", trend->known ? trend->p95_s : (double)NAN);
    cJSON_AddBoolToObject(object, "slower", trend_has_regressed(trend));
}

int trends_show(struct api_call *call)
{
    const char *name = api_query(call, "playbook"), *path;
    AUTO_FREE char *series = NULL;
    char room[PATH_BYTES];
    struct trend *trend;
    cJSON *object;
    int result;

    if (!name)
        return api_fail(call, 400, "name a playbook: ?playbook=NAME");
    path = path_of(call, name, room, sizeof(room));
    result = api_trend_lock(call, path, &trend);
    if (result < 0)
        return api_fail_errs(call, result);
    object = cJSON_CreateObject();
    json_put_text(object, "playbook", name);
    series = realpath(path, NULL);
    result = add_points(call, object, trend, series ? series : path, name);
    describe(object, trend);
    api_trend_unlock(call);
    if (result == 0)
        return api_reply(call, 200, object);
    cJSON_Delete(object);
    return api_fail_errs(call, result);
}

/* ---- scores ---- */

static cJSON *score_row(struct api_call *call, const char *name, int *result)
{
    char path[PATH_BYTES];
    struct trend *trend;
    cJSON *object, *about;

    *result = api_trend_lock(call, path_of(call, name, path, sizeof(path)), &trend);
    if (*result < 0)
        return NULL;
    object = score_json(trend);
    cJSON_AddBoolToObject(object, "slower", trend_has_regressed(trend));
    api_trend_unlock(call);
    about = library_describe(service_playbooks(api_service(call)), name, false);
    json_put_text(object, "playbook", name);
    json_copy(object, "title", about, "title");
    json_copy(object, "service", about, "service");
    json_copy(object, "tier", about, "tier");
    cJSON_Delete(about);
    return object;
}

int scores_list(struct api_call *call)
{
    return playbooks_page(call, score_row);
}

/* ---- comparisons ---- */

int compare_show(struct api_call *call)
{
    const char *const words[2] = { api_query(call, "a"), api_query(call, "b") };
    struct run_group group[2] = { { 0 } };
    struct group_verdict verdict;
    cJSON *object = NULL;
    int result = 0;

    if (!words[0] || !words[1])
        return api_fail(call, 400, "name two groups of runs: ?a=RUN&b=RUN, where several runs have commas between");
    for (size_t i = 0; i < 2 && result == 0; i++) {
        result = run_group_find(api_history_lock(call), words[i], api_errs(call), &group[i]);
        api_history_unlock(call);
    }
    if (result == 0)
        result = groups_judge(&group[0], &group[1], &verdict, api_errs(call));
    if (result == 0)
        object = group_verdict_json(&group[0], &group[1], &verdict);
    for (size_t i = 0; i < 2; i++)
        run_group_done(&group[i]);
    return result < 0 ? api_fail_errs(call, result) : api_reply(call, 200, object);
}
