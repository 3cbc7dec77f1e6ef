/* perturb compare: two groups of runs of one playbook. Did it get slower, by how much, and what would have been seen at all? */
#include "controller/cmd/cmd.h"
#include "controller/cmd/groups.h"
#include "controller/estimate/compare.h"
#include "controller/report/clean.h"
#include "controller/report/format.h"
#include "scenarios/base/cleanup.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ALPHA 0.05

enum { METRIC_CONVERGENCE, METRIC_LOSS, METRICS };

struct metric {
    const char *name;
    struct comparison comparison;
    bool known;
    bool by_log_rank; /* some runs never came back: their times are bounds, so the test is on survival */
    double p;         /* after Holm's correction over the metrics */
    const char *word; /* of the judgement */
};

struct verdict {
    struct metric metric[METRICS];
    int status; /* 0, 1 regressed, 2 not judged */
};

/* The times as plain numbers, a censored one its bound: only for the size of the shift, which the reader is told. */
static int compare_times(const struct run_group *a, const struct run_group *b, struct metric *metric)
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

static int compare_losses(const struct run_group *a, const struct run_group *b, struct metric *metric)
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
static void judge_metric(struct metric *metric, struct verdict *verdict)
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

static int judge(const struct run_group *a, const struct run_group *b, struct verdict *ret_verdict)
{
    struct verdict verdict = { .metric = { { .name = "convergence" }, { .name = "loss" } } };
    double p[METRICS];
    int result = compare_times(a, b, &verdict.metric[METRIC_CONVERGENCE]);

    if (!result)
        result = compare_losses(a, b, &verdict.metric[METRIC_LOSS]);
    for (size_t i = 0; i < METRICS; i++)
        p[i] = verdict.metric[i].known && isfinite(verdict.metric[i].p) ? verdict.metric[i].p : 1;
    if (!result)
        result = compare_holm(p, METRICS);
    for (size_t i = 0; !result && i < METRICS; i++) {
        verdict.metric[i].p = p[i];
        judge_metric(&verdict.metric[i], &verdict);
    }
    *ret_verdict = verdict;
    return result;
}

/* ---- telling ---------------------------------------------------------------------------------------------------------------- */

static void print_group(char letter, const struct run_group *group)
{
    struct est_interval interval = { NAN, NAN };
    struct survival survival;
    double median;

    printf("%c  %zu run%s", letter, group->count, group->count == 1 ? "" : "s");
    if (group->count && survival_estimate(group->outcome, group->count, &survival) == 0) {
        median = survival_quantile(&survival, 0.5, &interval);
        printf(" from %s, %s to %s", group->runs[0].id, group->runs[0].started ? group->runs[0].started : "?",
               group->runs[group->count - 1].started ? group->runs[group->count - 1].started : "?");
        if (isfinite(median))
            printf("; half were back after %s", fmt_seconds(median).text);
        if (group->censored)
            printf("; %zu never came back", group->censored);
        survival_done(&survival);
    }
    if (group->unjudged)
        printf("; %zu more gave no number", group->unjudged);
    printf("\n");
}

static void print_metric(const struct metric *metric)
{
    const struct comparison *comparison = &metric->comparison;

    printf("%-12s ", metric->name);
    if (!metric->known) {
        printf("no numbers on one side\n");
        return;
    }
    printf("%s", fmt_delta(comparison->shift).text);
    if (isfinite(comparison->shift_interval.low) && isfinite(comparison->shift_interval.high))
        printf(" (95 %%: %s to %s)", fmt_delta(comparison->shift_interval.low).text, fmt_delta(comparison->shift_interval.high).text);
    printf(", p %.2g%s: %s\n", metric->p, metric->by_log_rank ? " by log-rank, as some never came back" : "", metric->word);
    printf("%-12s a run of b is higher than one of a %.0f times in 100", "", 100 * comparison->effect);
    if (isfinite(comparison->detectable))
        printf("; a shift of %s would be found four times in five", fmt_seconds(comparison->detectable).text);
    printf("\n");
}

static void print_text(const struct run_group *a, const struct run_group *b, const struct verdict *verdict)
{
    print_group('a', a);
    print_group('b', b);
    for (size_t i = 0; i < METRICS; i++)
        print_metric(&verdict->metric[i]);
    if (a->count < COMPARE_RUNS_MIN || b->count < COMPARE_RUNS_MIN)
        printf("Fewer than five runs on a side: nothing is called a regression. `perturb run --repeat 5` makes a group.\n");
}

static void add_number(cJSON *object, const char *key, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
    else
        cJSON_AddNullToObject(object, key);
}

static cJSON *group_json(const struct run_group *group)
{
    cJSON *object = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(object, "runs");

    for (size_t i = 0; i < group->count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(group->runs[i].id));
    add_number(object, "censored", (double)group->censored);
    add_number(object, "unjudged", (double)group->unjudged);
    return object;
}

static void print_json(const struct run_group *a, const struct run_group *b, const struct verdict *verdict)
{
    cJSON *object = cJSON_CreateObject(), *metrics;
    char *line;

    cJSON_AddItemToObject(object, "a", group_json(a));
    cJSON_AddItemToObject(object, "b", group_json(b));
    metrics = cJSON_AddArrayToObject(object, "metrics");
    for (size_t i = 0; i < METRICS; i++) {
        const struct metric *metric = &verdict->metric[i];
        cJSON *item = cJSON_CreateObject();

        cJSON_AddItemToArray(metrics, item);
        cJSON_AddStringToObject(item, "metric", metric->name);
        cJSON_AddStringToObject(item, "outcome", metric->word);
        if (!metric->known)
            continue;
        cJSON_AddStringToObject(item, "test", metric->by_log_rank ? "log-rank" : "mann-whitney");
        add_number(item, "shift_s", metric->comparison.shift);
        add_number(item, "shift_low_s", metric->comparison.shift_interval.low);
        add_number(item, "shift_high_s", metric->comparison.shift_interval.high);
        add_number(item, "p", metric->p);
        add_number(item, "effect", metric->comparison.effect);
        add_number(item, "detectable_s", metric->comparison.detectable);
    }
    line = cJSON_PrintUnformatted(object);
    if (line)
        puts(line);
    cJSON_free(line);
    cJSON_Delete(object);
}

/* ---- the command --------------------------------------------------------------------------------------------------------- */

static int check_pins(const struct run_group *a, const struct run_group *b, struct errs *errs)
{
    const struct store_run *other;

    if (!a->count || !b->count || run_group_is_pinned(a, b, &other))
        return 0;
    return errs_add(errs, ERR_INPUT, other->id, "was measured with other pins (rigour, band, hold, bin, load or deciding signals) than %s: "
                    "their numbers do not compare", a->runs[0].id);
}

static int compare(const char *const words[2], bool json, struct errs *errs)
{
    struct store_history *history = NULL;
    struct run_group group[2] = { { 0 } };
    struct verdict verdict = { .status = 0 };
    int result = store_history_open(NULL, &history, errs);

    for (size_t i = 0; i < 2 && !result; i++)
        result = run_group_find(history, words[i], errs, &group[i]);
    if (!result)
        result = check_pins(&group[0], &group[1], errs);
    if (!result && judge(&group[0], &group[1], &verdict) < 0)
        result = errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    if (!result && json)
        print_json(&group[0], &group[1], &verdict);
    else if (!result)
        print_text(&group[0], &group[1], &verdict);
    for (size_t i = 0; i < 2; i++)
        run_group_done(&group[i]);
    store_history_close(history);
    return result < 0 ? result : verdict.status;
}

static int compare_main(int argc, char **argv)
{
    static const struct option all[] = { { "format", required_argument, NULL, 'f' }, { NULL, 0, NULL, 0 } };
    static struct errs errs;
    bool json = false;
    int option, status;

    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        if (option == 'f' && (!strcmp(optarg, "json") || !strcmp(optarg, "text")))
            json = !strcmp(optarg, "json");
        else
            errs_add(&errs, ERR_USAGE, argv[optind - 1], option == 'f' ? "is none of: text json" : "no such option; `perturb compare --help` lists them");
    }
    if (!errs.count && optind + 2 != argc)
        errs_add(&errs, ERR_USAGE, "compare", "name two groups of runs: the id of one run of each, or several with commas");
    status = errs.count ? -EINVAL : compare((const char *const[2]){ argv[optind], argv[optind + 1] }, json, &errs);
    return status < 0 ? command_fail(&errs) : status;
}

const struct command command_compare = {
    .name = "compare",
    .synopsis = "A B [--format text|json]",
    .summary = "did it get slower? two groups of runs, with interval and power",
    .help = "  A, B              a run (an id, the start of one, \"last\") stands for all that the same command made;\n"
            "                    several with commas between stand for themselves\n"
            "  --format FORMAT   text (default) or json\n\n"
            "Times are compared by Mann-Whitney with the Hodges-Lehmann shift, by log-rank where some runs never came back;\n"
            "p is Holm's over both metrics. Runs with other pins are refused, fewer than five a side are not judged.\n"
            "Exit status: 0 no regression, 1 regressed, 2 not judged.\n"
            "Example: perturb run --repeat 5 playbooks/redis-slow.yaml; perturb compare 20261116 last\n",
    .run = compare_main,
};
