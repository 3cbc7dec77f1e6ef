/* perturb findings: what failed and has not been proved mended. */
#include "controller/cmd/cmd.h"
#include "controller/base/json.h"
#include "controller/report/clean.h"
#include "controller/store/store.h"
#include "scenarios/base/units.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct findings_options {
    bool all, json;
    const char *owner, *due;
    int64_t id; /* 0: list */
};

static bool is_date(const char *text)
{
    struct tm when = { 0 };
    const char *end = strptime(text, "%Y-%m-%d", &when);

    return end && !*end && strlen(text) == 10;
}

static void set(int option, const char *value, struct findings_options *options, struct errs *errs)
{
    switch (option) {
    case 'a':
        options->all = true;
        return;
    case 'o':
        options->owner = value;
        return;
    case 'd':
        options->due = value;
        if (!is_date(value))
            errs_add(errs, ERR_USAGE, "--due", "'%s' is no date such as 2026-12-01", value);
        return;
    default:
        options->json = !strcmp(value, "json");
        if (!options->json && strcmp(value, "text") != 0)
            errs_add(errs, ERR_USAGE, "--format", "'%s' is none of: text json", value);
    }
}

static int parse(int argc, char **argv, struct findings_options *ret_options, struct errs *errs)
{
    static const struct option all[] = { { "all", no_argument, NULL, 'a' },          { "owner", required_argument, NULL, 'o' },
                                         { "due", required_argument, NULL, 'd' },    { "format", required_argument, NULL, 'f' },
                                         { NULL, 0, NULL, 0 } };
    int option;

    *ret_options = (struct findings_options){ .id = 0 };
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        if (option == ':' || option == '?')
            errs_add(errs, ERR_USAGE, argv[optind - 1], option == ':' ? "needs a value" : "no such option; `perturb findings --help` lists them");
        else
            set(option, optarg, ret_options, errs);
    }
    if (optind + 1 == argc && (unit_parse(UNIT_COUNT, argv[optind], &ret_options->id) < 0 || ret_options->id < 1))
        errs_add(errs, ERR_USAGE, argv[optind], "is no finding's number");
    else if (optind + 1 < argc)
        errs_add(errs, ERR_USAGE, argv[optind + 1], "one finding at a time");
    if ((ret_options->owner || ret_options->due) && !ret_options->id)
        errs_add(errs, ERR_USAGE, "findings", "--owner and --due go with the number of a finding");
    return errs->count ? -EINVAL : 0;
}

static void print_clean(const char *text, size_t chars_max)
{
    struct buf clean;

    buf_init(&clean, 8192);
    clean_plain(&clean, text ? text : "-", chars_max);
    fputs(clean.data, stdout);
    buf_done(&clean);
}

/* The day of an RFC 3339 instant. */
static void print_day(const char *instant)
{
    printf("%.10s", instant ? instant : "?");
}

static void print_one(const struct store_finding *finding)
{
    printf("%-4lld ", (long long)finding->id);
    print_clean(finding->title, 70);
    printf("\n     %s, failed %lld time%s since ", finding->verdict ? finding->verdict : "?", (long long)finding->failures,
           finding->failures == 1 ? "" : "s");
    print_day(finding->opened);
    printf("; last ");
    print_day(finding->last);
    printf(" in %s\n     ", finding->last_run ? finding->last_run : "?");
    print_clean(finding->why, 200);
    if (finding->owner || finding->due) {
        printf("\n     owner ");
        print_clean(finding->owner, 40);
        printf(", to be tested again by %s", finding->due ? finding->due : "-");
    }
    if (finding->closed_run) {
        printf("\n     closed ");
        print_day(finding->closed);
        printf(" by %s", finding->closed_run);
    } else if (finding->playbook) {
        printf("\n     closed by a passing `perturb run ");
        print_clean(finding->playbook, 120);
        printf("`, and by nothing else");
    }
    printf("\n");
}

static void list(struct store_history *history, const struct findings_options *options, struct errs *errs)
{
    struct store_finding *findings;
    size_t count, shown = 0;

    if (store_findings_list(history, options->all || options->id, &findings, &count, errs) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        if (options->id && findings[i].id != options->id)
            continue;
        if (options->json)
            json_print(store_finding_json(&findings[i]));
        else
            print_one(&findings[i]);
        shown++;
    }
    if (!shown && options->id)
        errs_add(errs, ERR_USAGE, "findings", "there is no finding %lld; `perturb findings --all` lists them", (long long)options->id);
    else if (!shown && !options->json)
        printf("No %sfinding. A run that fails opens one.\n", options->all ? "" : "open ");
    store_findings_free(findings, count);
}

static int findings_main(int argc, char **argv)
{
    static struct errs errs;
    struct findings_options options;
    struct store_history *history;

    if (parse(argc, argv, &options, &errs) < 0 || store_history_open(NULL, &history, &errs) < 0)
        return command_fail(&errs);
    if (!(options.owner || options.due) || store_findings_assign(history, options.id, options.owner, options.due, &errs) == 0)
        list(history, &options, &errs);
    store_history_close(history);
    return command_fail(&errs);
}

const struct command command_findings = {
    .name = "findings",
    .synopsis = "[--all] [N] [--owner NAME] [--due DATE] [--format text|json]",
    .summary = "what failed and is not proved mended",
    .help = "  --all             the closed ones too\n"
            "  N                 only this one; with --owner or --due it is changed\n"
            "  --owner NAME      who mends it\n"
            "  --due DATE        when it is to be tested again: 2026-12-01\n"
            "  --format FORMAT   text (default), or json: one finding a line\n\n"
            "A run that fails (status 1) or leaves something undone (4) opens one for its playbook, or counts at the open one.\n"
            "Only a passing run of the same playbook closes it.\n"
            "Example: perturb findings 3 --owner ada --due 2026-12-01\n",
    .run = findings_main,
};
