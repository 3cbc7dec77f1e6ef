/* perturb compare: two groups of runs of one playbook, told. */
#include "controller/cmd/cmd.h"
#include "controller/base/json.h"
#include "controller/history/compare.h"
#include "controller/report/format.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

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

static void print_metric(const struct group_metric *metric)
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

static void print_text(const struct run_group *a, const struct run_group *b, const struct group_verdict *verdict)
{
    print_group('a', a);
    print_group('b', b);
    for (size_t i = 0; i < GROUP_METRICS; i++)
        print_metric(&verdict->metric[i]);
    if (a->count < COMPARE_RUNS_MIN || b->count < COMPARE_RUNS_MIN)
        printf("Fewer than five runs on a side: nothing is called a regression. `perturb run --repeat 5` makes a group.\n");
}

static void print_json(const struct run_group *a, const struct run_group *b, const struct group_verdict *verdict)
{
    cJSON *object = group_verdict_json(a, b, verdict);
    char *line = json_text(object);

    if (line)
        puts(line);
    cJSON_free(line);
    cJSON_Delete(object);
}

static int compare(const char *const words[2], bool json, struct errs *errs)
{
    struct store_history *history = NULL;
    struct run_group group[2] = { { 0 } };
    struct group_verdict verdict = { .status = 0 };
    int result = store_history_open(NULL, &history, errs);

    for (size_t i = 0; i < 2 && !result; i++)
        result = run_group_find(history, words[i], errs, &group[i]);
    if (!result)
        result = groups_judge(&group[0], &group[1], &verdict, errs);
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
