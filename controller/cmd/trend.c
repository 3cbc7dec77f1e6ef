/* perturb trend: one playbook over the weeks, told. */
#include "controller/cmd/cmd.h"
#include "controller/base/json.h"
#include "controller/history/trend.h"
#include "controller/report/format.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_MAX = 12 };

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
    double fresh, score = trend_score(trend, &fresh);

    printf("Now      half were back after %s", isfinite(trend->median_s) ? fmt_seconds(trend->median_s).text : "more than was watched");
    if (isfinite(trend->median.low) && isfinite(trend->median.high))
        printf(" (95 %%: %s to %s)", fmt_seconds(trend->median.low).text, fmt_seconds(trend->median.high).text);
    printf(", 95 %% after %s; %zu run%s, %zu never came back\n",
           isfinite(trend->p95_s) ? fmt_seconds(trend->p95_s).text : "more than was watched", trend->survival.runs,
           trend->survival.runs == 1 ? "" : "s", trend->survival.censored);
    printf("Score    %.0f of 100: recovery %.2f (mean %s of %s watched) times freshness %.2f (last run %.0f days ago, half a worth every %.0f)\n",
           100 * score * fresh, score, fmt_seconds(trend->mean_s).text, fmt_seconds(trend->horizon_s).text, fresh, fmax(0, trend->age_days),
           TREND_HALF_LIFE_DAYS);
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
        printf("No run of full rigour of %s gave a number yet%s", playbook, access(playbook, F_OK) < 0 ? ", and there is no such file" : "");
        if (trend->quick)
            printf("; %zu quick one%s left out: a quick run never enters a trend", trend->quick, trend->quick == 1 ? " is" : "s are");
        printf(".\n");
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

static void print_json(const char *playbook, const struct trend *trend)
{
    cJSON *object = trend_json(playbook, trend);
    char *line = json_text(object);

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
    struct store_history *history = NULL;
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
    if (!errs.count && store_history_open(NULL, &history, &errs) == 0 && trend_collect(history, argv[optind], 0, &errs, &trend) == 0) {
        if (json)
            print_json(argv[optind], &trend);
        else
            print_text(argv[optind], &trend);
        status = !trend.group.count ? 2 : trend_has_regressed(&trend);
    }
    trend_done(&trend);
    store_history_close(history);
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
