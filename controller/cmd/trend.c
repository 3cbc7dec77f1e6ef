/* perturb trend: one playbook over the weeks. Levels, the run at which they changed, and a score whose parts are shown. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/groups.h"
#include "controller/estimate/change.h"
#include "controller/report/clean.h"
#include "controller/report/format.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ALPHA 0.05
#define HALF_LIFE_DAYS 30.0

enum { SHOWN_MAX = 12, CHANGES_SEED = 1 };

struct trend {
    struct run_group group; /* full rigour, one set of pins */
    size_t quick, other_pins;
    struct changes changes;
    struct survival survival;
    bool known; /* there is a survival */
    double median_s, p95_s, mean_s, horizon_s, age_days;
    struct est_interval median, mean;
};

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
    trend->age_days = ((double)time(NULL) - instant_of(group->runs[group->count - 1].started)) / 86400;
    return 0;
}

static int collect(const char *playbook, struct errs *errs, struct trend *ret_trend)
{
    AUTO_FREE char *series = realpath(playbook, NULL);
    struct store_history *history = NULL;
    struct store_run *runs = NULL;
    size_t count = 0;
    int result = store_history_open(NULL, &history, errs);

    if (!result)
        result = store_history_series(history, series ? series : playbook, &runs, &count, errs);
    store_history_close(history);
    if (result < 0)
        return result;
    result = run_group_take(runs, choose(runs, count, ret_trend), errs, &ret_trend->group);
    if (result < 0 || !ret_trend->group.count)
        return result;
    if (find_changes(ret_trend) < 0 || judge_level(ret_trend) < 0)
        return errs_add(errs, ERR_INTERNAL, playbook, "out of memory");
    return 0;
}

static void trend_done(struct trend *trend)
{
    changes_done(&trend->changes);
    if (trend->known)
        survival_done(&trend->survival);
    run_group_done(&trend->group);
}

/* 1 for at once, 0 for never within the observation; worth half as much every 30 days without a run. */
static double score_of(const struct trend *trend, double *ret_fresh)
{
    *ret_fresh = exp2(-fmax(0, trend->age_days) / HALF_LIFE_DAYS);
    return trend->horizon_s > 0 ? 1 - trend->mean_s / trend->horizon_s : NAN;
}

static bool has_regressed(const struct trend *trend)
{
    const struct change *last = trend->changes.count ? &trend->changes.item[trend->changes.count - 1] : NULL;

    return last && last->after > last->before;
}

/* ---- telling ---------------------------------------------------------------------------------------------------------------- */

static void print_run(const struct trend *trend, size_t i, double most_s)
{
    const struct store_run *run = &trend->group.runs[i];
    const struct survival_run *outcome = &trend->group.outcome[i];
    int width = most_s > 0 ? (int)lround(32 * outcome->time_s / most_s) : 0;
    const char *mark = "";

    for (size_t j = 0; j < trend->changes.count; j++)
        if (trend->changes.item[j].first == i)
            mark = trend->changes.item[j].after > trend->changes.item[j].before ? "  <- slower from here" : "  <- faster from here";
    printf("%.10s  %-22.22s %s%-9s %.*s%s%s\n", run->started ? run->started : "?", run->id, outcome->converged ? " " : ">",
           fmt_seconds(outcome->time_s).text, width, "================================", outcome->converged ? "" : "...", mark);
}

static void print_level(const struct trend *trend)
{
    double fresh, score = score_of(trend, &fresh);

    printf("Now      half were back after %s", isfinite(trend->median_s) ? fmt_seconds(trend->median_s).text : "more than was watched");
    if (isfinite(trend->median.low) && isfinite(trend->median.high))
        printf(" (95 %%: %s to %s)", fmt_seconds(trend->median.low).text, fmt_seconds(trend->median.high).text);
    printf(", 95 %% after %s; %zu run%s, %zu never came back\n",
           isfinite(trend->p95_s) ? fmt_seconds(trend->p95_s).text : "more than was watched", trend->survival.runs,
           trend->survival.runs == 1 ? "" : "s", trend->survival.censored);
    printf("Score    %.0f of 100: recovery %.2f (mean %s of %s watched) times freshness %.2f (last run %.0f days ago, half a worth every %.0f)\n",
           100 * score * fresh, score, fmt_seconds(trend->mean_s).text, fmt_seconds(trend->horizon_s).text, fresh, fmax(0, trend->age_days),
           HALF_LIFE_DAYS);
}

static void print_changes(const struct trend *trend)
{
    for (size_t i = 0; i < trend->changes.count; i++) {
        const struct change *change = &trend->changes.item[i];
        const struct store_run *run = &trend->group.runs[change->first];

        printf("%s from %s on (%.10s): %s before, %s since, p %.2g\n", change->after > change->before ? "SLOWER  " : "Faster  ", run->id,
               run->started ? run->started : "?", fmt_seconds(change->before).text, fmt_seconds(change->after).text, change->p);
    }
    if (!trend->changes.count)
        printf("Steady   no change of level that chance would not make\n");
}

static void print_text(const char *playbook, const struct trend *trend)
{
    size_t count = trend->group.count, first = count > SHOWN_MAX ? count - SHOWN_MAX : 0;
    double most_s = 0;

    if (!count) {
        printf("No run of full rigour of %s gave a number yet (%zu quick: a quick run never enters a trend).\n", playbook, trend->quick);
        return;
    }
    for (size_t i = first; i < count; i++)
        most_s = fmax(most_s, trend->group.outcome[i].time_s);
    for (size_t i = first; i < count; i++)
        print_run(trend, i, most_s);
    printf("\n");
    print_changes(trend);
    print_level(trend);
    if (trend->quick || trend->other_pins || trend->group.unjudged)
        printf("Left out %zu of quick rigour, %zu with other pins, %zu that gave no number\n", trend->quick, trend->other_pins,
               trend->group.unjudged);
}

static void add_number(cJSON *object, const char *key, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
    else
        cJSON_AddNullToObject(object, key);
}

static cJSON *runs_json(const struct trend *trend)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; i < trend->group.count; i++) {
        cJSON *item = cJSON_CreateObject();

        cJSON_AddItemToArray(array, item);
        cJSON_AddStringToObject(item, "id", trend->group.runs[i].id);
        cJSON_AddStringToObject(item, "started", trend->group.runs[i].started ? trend->group.runs[i].started : "");
        add_number(item, "time_s", trend->group.outcome[i].time_s);
        cJSON_AddBoolToObject(item, "converged", trend->group.outcome[i].converged);
        add_number(item, "loss_s", trend->group.runs[i].loss_s);
    }
    return array;
}

static void print_json(const char *playbook, const struct trend *trend)
{
    cJSON *object = cJSON_CreateObject(), *changes;
    double fresh = NAN, score = trend->known ? score_of(trend, &fresh) : NAN;
    char *line;

    cJSON_AddStringToObject(object, "playbook", playbook);
    cJSON_AddItemToObject(object, "runs", runs_json(trend));
    changes = cJSON_AddArrayToObject(object, "changes");
    for (size_t i = 0; i < trend->changes.count; i++) {
        cJSON *item = cJSON_CreateObject();

        cJSON_AddItemToArray(changes, item);
        cJSON_AddStringToObject(item, "first_run", trend->group.runs[trend->changes.item[i].first].id);
        add_number(item, "before_s", trend->changes.item[i].before);
        add_number(item, "after_s", trend->changes.item[i].after);
        add_number(item, "p", trend->changes.item[i].p);
    }
    if (trend->known) {
        add_number(object, "median_s", trend->median_s);
        add_number(object, "median_low_s", trend->median.low);
        add_number(object, "median_high_s", trend->median.high);
        add_number(object, "p95_s", trend->p95_s);
        add_number(object, "mean_s", trend->mean_s);
        add_number(object, "horizon_s", trend->horizon_s);
        add_number(object, "recovery", score);
        add_number(object, "freshness", fresh);
        add_number(object, "score", score * fresh);
    }
    add_number(object, "quick", (double)trend->quick);
    add_number(object, "other_pins", (double)trend->other_pins);
    add_number(object, "unjudged", (double)trend->group.unjudged);
    line = cJSON_PrintUnformatted(object);
    if (line)
        puts(line);
    cJSON_free(line);
    cJSON_Delete(object);
}

static int trend_main(int argc, char **argv)
{
    static const struct option all[] = { { "format", required_argument, NULL, 'f' }, { NULL, 0, NULL, 0 } };
    static struct errs errs;
    struct trend trend = { .known = false };
    bool json = false;
    int option, status = 0;

    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        if (option == 'f' && (!strcmp(optarg, "json") || !strcmp(optarg, "text")))
            json = !strcmp(optarg, "json");
        else
            errs_add(&errs, ERR_USAGE, argv[optind - 1], option == 'f' ? "is none of: text json" : "no such option; `perturb trend --help` lists them");
    }
    if (!errs.count && optind + 1 != argc)
        errs_add(&errs, ERR_USAGE, "trend", "name one playbook");
    if (!errs.count && collect(argv[optind], &errs, &trend) == 0) {
        if (json)
            print_json(argv[optind], &trend);
        else
            print_text(argv[optind], &trend);
        status = !trend.group.count ? 2 : has_regressed(&trend);
    }
    trend_done(&trend);
    return errs.count ? command_fail(&errs) : status;
}

const struct command command_trend = {
    .name = "trend",
    .synopsis = "PLAYBOOK [--format text|json]",
    .summary = "one playbook over the weeks: levels, changes, a score with its parts",
    .help = "  --format FORMAT   text (default) or json\n\n"
            "Only runs of full rigour with the pins of the newest are compared. A change of level is named with the first run\n"
            "of the new one. The score is recovery (1 less the mean time, each run counted for no more than was watched, over what\n"
            "was watched) times freshness, which halves every 30 days without a run.\n"
            "Exit status: 0 the last change, if any, was for the better; 1 it is slower since; 2 no run yet.\n"
            "Example: perturb trend playbooks/redis-slow.yaml\n",
    .run = trend_main,
};
