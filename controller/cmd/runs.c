/* perturb runs: the history, newest first. */
#include "controller/cmd/cmd.h"

#include "controller/base/json.h"
#include "controller/report/clean.h"
#include "controller/report/format.h"
#include "controller/store/store.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/units.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT_DEFAULT = 20, TITLE_CHARS_MAX = 44, LIMIT_MAX = 1000000 };

struct runs_options {
    int64_t limit;
    bool json;
};

static int parse(int argc, char **argv, struct runs_options *ret_options, struct errs *errs)
{
    static const struct option all[] = {
        { "format", required_argument, NULL, 'f' },
        { "limit", required_argument, NULL, 'l' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    *ret_options = (struct runs_options){ .limit = LIMIT_DEFAULT };
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        if (option == 'f' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0))
            ret_options->json = strcmp(optarg, "json") == 0;
        else if (option == 'f')
            errs_add(errs, ERR_USAGE, "--format", "'%s' is none of: text json", optarg);
        else if (option == 'l' && (unit_parse(UNIT_COUNT, optarg, &ret_options->limit) < 0 || ret_options->limit < 1 ||
                                   ret_options->limit > LIMIT_MAX))
            errs_add(errs, ERR_USAGE, "--limit", "found '%s', expected a count from 1 to %d", optarg, LIMIT_MAX);
        else if (option == ':')
            errs_add(errs, ERR_USAGE, argv[optind - 1], "needs a value");
        else if (option == '?')
            errs_add(errs, ERR_USAGE, argv[optind - 1], "no such option; `perturb runs --help` lists them");
    }
    if (optind < argc)
        errs_add(errs, ERR_USAGE, argv[optind], "takes no argument; `perturb report RUN` shows one run");
    return errs->count ? -EINVAL : 0;
}

static void print_cell(const char *text, size_t chars_max, size_t width)
{
    struct buf cell;
    size_t used;

    buf_init(&cell, 4096);
    clean_plain(&cell, text ? text : "-", chars_max);
    used = clean_width(cell.data);
    printf("%s%*s", cell.data, (int)(used < width ? width - used : 0), "");
    buf_done(&cell);
}

static void print_text(const struct store_run *runs, size_t count)
{
    if (count == 0) {
        printf("No runs yet. `perturb run PLAYBOOK` makes one.\n");
        return;
    }
    printf("%-22s %-21s %6s  %-24s %s\n", "RUN", "VERDICT", "STATUS", "CONVERGENCE (95 %)", "TITLE");
    for (size_t i = 0; i < count; i++) {
        const struct store_run *run = &runs[i];
        char convergence[160] = "-", status[16] = "-";

        if (isfinite(run->convergence_s))
            snprintf(convergence, sizeof(convergence), "%s", fmt_seconds(run->convergence_s).text);
        if (isfinite(run->convergence_s) && isfinite(run->convergence_low_s) && isfinite(run->convergence_high_s))
            snprintf(convergence, sizeof(convergence), "%s (%s..%s)", fmt_seconds(run->convergence_s).text,
                     fmt_seconds(run->convergence_low_s).text, fmt_seconds(run->convergence_high_s).text);
        if (run->status >= 0)
            snprintf(status, sizeof(status), "%d", run->status);
        print_cell(run->id, 60, 22);
        putchar(' ');
        print_cell(run->verdict, 40, 21);
        printf(" %6s  %-24s ", status, convergence);
        print_cell(run->title, TITLE_CHARS_MAX, 0);
        putchar('\n');
    }
}

static cJSON *run_json(const struct store_run *run)
{
    cJSON *object = cJSON_CreateObject();

    json_put_text(object, "id", run->id);
    json_put_text(object, "title", run->title);
    json_put_text(object, "service", run->service);
    json_put_text(object, "playbook", run->playbook);
    json_put_text(object, "playbook_hash", run->playbook_hash);
    json_put_text(object, "pins_hash", run->pins_hash);
    json_put_text(object, "rigour", run->rigour);
    json_put_text(object, "seed", run->seed);
    json_put_text(object, "started", run->started);
    json_put_number(object, "duration_s", run->duration_s);
    json_put_text(object, "verdict", run->verdict);
    json_put_number(object, "status", run->status < 0 ? (double)NAN : run->status);
    json_put_number(object, "convergence_s", run->convergence_s);
    json_put_number(object, "convergence_low_s", run->convergence_low_s);
    json_put_number(object, "convergence_high_s", run->convergence_high_s);
    json_put_number(object, "loss_s", run->loss_s);
    json_put_text(object, "directory", run->directory);
    return object;
}

static int runs_main(int argc, char **argv)
{
    static struct errs errs;
    struct runs_options options;
    struct store_history *history;
    struct store_run *runs;
    size_t count;

    if (parse(argc, argv, &options, &errs) < 0 || store_history_open(NULL, &history, &errs) < 0)
        return command_fail(&errs);
    if (store_history_list(history, (size_t)options.limit, &runs, &count, &errs) == 0) {
        for (size_t i = 0; options.json && i < count; i++)
            if (json_print(run_json(&runs[i])) < 0)
                errs_add(&errs, ERR_INTERNAL, NULL, "out of memory");
        if (!options.json)
            print_text(runs, count);
        store_runs_free(runs, count);
    }
    store_history_close(history);
    if (fflush(stdout) != 0)
        errs_add(&errs, ERR_WORLD, "standard output", "cannot be written: %s", strerror(errno));
    return command_fail(&errs);
}

const struct command command_runs = {
    .name = "runs",
    .synopsis = "[--format text|json] [--limit N]",
    .summary = "list the runs made so far, newest first",
    .help = "  --format FORMAT   text (default), or json: one run a line\n"
            "  --limit N         at most N runs (default 20)\n\n"
            "A run that was cut off is listed as \"interrupted\"; `perturb recover` undoes what it may have left.\n"
            "Example: perturb runs --limit 5\n",
    .run = runs_main,
};
