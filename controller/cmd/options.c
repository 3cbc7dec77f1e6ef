/* Options shared by the commands on playbooks. */
#include "controller/cmd/options.h"

#include "controller/report/report.h"
#include "scenarios/playbook/value.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

static int add_override(struct run_options *options, char *text, struct errs *errs)
{
    char *equals = strchr(text, '=');

    if (!equals || equals == text)
        return errs_add(errs, ERR_USAGE, "--var", "found '%s', expected NAME=VALUE", text);
    if (options->override_count == OPTION_VARS_MAX)
        return errs_add(errs, ERR_USAGE, "--var", "given more than %d times", OPTION_VARS_MAX);
    *equals = '\0';
    options->overrides[options->override_count++] = (struct variable_override){ text, equals + 1 };
    return 0;
}

static int set_format(struct run_options *options, const char *text, struct errs *errs)
{
    options->json = !strcmp(text, "json");
    if (!options->json && strcmp(text, "text") != 0)
        return errs_add(errs, ERR_USAGE, "--format", "'%s' is none of: text json", text);
    return 0;
}

static int add_report(struct run_options *options, const char *text, struct errs *errs)
{
    const char *equals = strchr(text, '=');
    int format = equals ? report_format_find(text, (size_t)(equals - text)) : -ENOENT;

    if (format < 0 || !equals[1])
        return errs_add(errs, ERR_USAGE, "--report", "found '%s', expected FORMAT=FILE with one of: " REPORT_FORMAT_NAMES, text);
    if (options->report_count == OPTION_REPORTS_MAX)
        return errs_add(errs, ERR_USAGE, "--report", "given more than %d times", OPTION_REPORTS_MAX);
    options->reports[options->report_count++] = (struct wanted_report){ format, equals + 1 };
    return 0;
}

static int take_option(struct run_options *options, const char *name, char *value, struct errs *errs)
{
    if (!strcmp(name, "var"))
        return add_override(options, value, errs);
    if (!strcmp(name, "report"))
        return add_report(options, value, errs);
    if (!strcmp(name, "format"))
        return set_format(options, value, errs);
    if (!strcmp(name, "backend"))
        return injector_backend_parse(value, &options->backend) < 0
                   ? errs_add(errs, ERR_USAGE, "--backend", "'%s' is none of: auto io_uring epoll", value)
                   : 0;
    if (!strcmp(name, "repeat")) {
        int result = value_parse("repeat", UNIT_COUNT, NULL, 1, 1000, value, "--repeat", errs, &options->repeat);

        if (result < 0)
            errs->list[errs->count - 1].class = ERR_USAGE;
        return result;
    }
    if (!strcmp(name, "rate")) {
        int result = value_parse("rate", UNIT_FREQUENCY, NULL, 1000, 1000000000, value, "--rate", errs, &options->rate);

        if (result < 0)
            errs->list[errs->count - 1].class = ERR_USAGE;
        return result;
    }
    if (!strcmp(name, "journal"))
        options->journal_path = value;
    else if (!strcmp(name, "rollbacks"))
        options->rollbacks = value;
    else if (!strcmp(name, "load"))
        options->load_url = value;
    else if (!strcmp(name, "outlets"))
        options->outlets_file = value;
    else if (!strcmp(name, "id"))
        options->id = value;
    else if (!strcmp(name, "batch"))
        options->batch = value;
    else if (!strcmp(name, "delegate"))
        options->delegate = true;
    else if (!strcmp(name, "seed"))
        options->seed_text = value;
    else if (!strcmp(name, "out"))
        options->out_directory = value;
    else
        options->dry_run = true;
    return 0;
}

int options_parse(int argc, char **argv, const char *allowed, struct run_options *ret_options, int *ret_count, struct errs *errs)
{
    static const struct option all[] = {
        { "var", required_argument, NULL, 0 },    { "seed", required_argument, NULL, 0 }, { "out", required_argument, NULL, 0 },
        { "repeat", required_argument, NULL, 0 }, { "dry-run", no_argument, NULL, 0 },    { "format", required_argument, NULL, 0 },
        { "backend", required_argument, NULL, 0 }, { "journal", required_argument, NULL, 0 }, { "rollbacks", required_argument, NULL, 0 },
        { "outlets", required_argument, NULL, 0 }, { "delegate", no_argument, NULL, 0 },      { "load", required_argument, NULL, 0 },    { "rate", required_argument, NULL, 0 },
        { "report", required_argument, NULL, 0 },  { "id", required_argument, NULL, 0 },      { "batch", required_argument, NULL, 0 },
        { NULL, 0, NULL, 0 },
    };
    size_t errors_before = errs->count;
    int index, result;

    *ret_options = (struct run_options){ .repeat = 1, .rate = 50000 };
    optind = 1;
    opterr = 0;
    while ((result = getopt_long(argc, argv, ":", all, &index)) != -1) {
        const char *given = argv[optind - 1];

        if (result == ':')
            errs_add(errs, ERR_USAGE, given, "needs a value");
        else if (result == '?' || words_index(allowed, all[index].name) < 0)
            errs_add(errs, ERR_USAGE, given, "no such option; `perturb %s --help` lists them", argv[0]);
        else
            take_option(ret_options, all[index].name, optarg, errs);
    }
    for (int i = optind; i < argc; i++)
        argv[1 + i - optind] = argv[i];
    *ret_count = argc - optind;
    return errs->count == errors_before ? 0 : -EINVAL;
}
