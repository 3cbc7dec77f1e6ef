/* perturb estimate: judge anyone's series. */
#include "controller/cmd/estimate.h"

#include "controller/cmd/cmd.h"
#include "scenarios/base/units.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int set_time(const char *option, const char *text, double *ret_s, struct errs *errs)
{
    if (!samples_time(text, ret_s))
        return errs_add(errs, ERR_USAGE, option, "'%s' is no time: a number of seconds or 2026-11-23T14:05:00Z is", text);
    return 0;
}

static int set_duration(const char *option, const char *text, double *ret_s, struct errs *errs)
{
    int64_t ns;

    if (unit_parse(UNIT_DURATION, text, &ns) < 0 || ns <= 0)
        return errs_add(errs, ERR_USAGE, option, "'%s' is no duration; %s is", text, unit_example(UNIT_DURATION));
    *ret_s = (double)ns / 1e9;
    return 0;
}

static int set_share(const char *option, const char *text, double *ret_share, struct errs *errs)
{
    int64_t ppm;

    if (unit_parse(UNIT_SHARE, text, &ppm) < 0 || ppm <= 0 || ppm >= 1000000)
        return errs_add(errs, ERR_USAGE, option, "'%s' is no share above 0 and below 100%%; 5%% is", text);
    *ret_share = (double)ppm / 1e6;
    return 0;
}

static int set_rigour(const char *text, struct est_pins *pins, struct errs *errs)
{
    if (strcmp(text, "quick") != 0 && strcmp(text, "full") != 0)
        return errs_add(errs, ERR_USAGE, "--rigour", "'%s' is none of: quick full", text);
    pins->rigour = strcmp(text, "full") == 0 ? EST_FULL : EST_QUICK;
    return 0;
}

static int set_seed(const char *text, struct est_pins *pins, struct errs *errs)
{
    char *end;

    errno = 0;
    pins->seed = strtoull(text, &end, 10);
    return end == text || *end || errno || *text == '-' ? errs_add(errs, ERR_USAGE, "--seed", "'%s' is no whole number", text) : 0;
}

/* The name may hold colons itself (labels): directions are taken from the end. */
static int add_signal(struct estimate_options *options, const char *text, struct errs *errs)
{
    struct estimate_signal *signal = &options->signal[options->signals];
    size_t length = strlen(text);

    if (options->signals == ESTIMATE_SIGNALS_MAX)
        return errs_add(errs, ERR_USAGE, "--signal", "given more than %d times", ESTIMATE_SIGNALS_MAX);
    *signal = (struct estimate_signal){ .direction = EST_HIGHER_BETTER };
    if (length > 6 && !strcmp(text + length - 6, ":share")) {
        signal->share = true;
        length -= 6;
    }
    if (length > 7 && !strncmp(text + length - 7, ":higher", 7))
        length -= 7;
    else if (length > 6 && !strncmp(text + length - 6, ":lower", 6)) {
        signal->direction = EST_LOWER_BETTER;
        length -= 6;
    } else
        return errs_add(errs, ERR_USAGE, "--signal", "found '%s', expected NAME:higher or NAME:lower, and :share for a share", text);
    if (length >= sizeof(signal->name))
        return errs_add(errs, ERR_USAGE, "--signal", "the name is longer than %zu bytes", sizeof(signal->name) - 1);
    memcpy(signal->name, text, length);
    options->signals++;
    return 0;
}

static int take_option(struct estimate_options *options, int option, const char *text, struct errs *errs)
{
    switch (option) {
    case 'i':
        return set_time("--inject", text, &options->inject_s, errs);
    case 'r':
        return set_time("--release", text, &options->release_s, errs);
    case 'b':
        return set_time("--baseline", text, &options->baseline_s, errs);
    case 'e':
        return set_time("--end", text, &options->end_s, errs);
    case 's':
        return add_signal(options, text, errs);
    case 'B':
        return set_share("--band", text, &options->pins.band, errs);
    case 'H':
        return set_duration("--hold", text, &options->pins.hold_s, errs);
    case 'n':
        return set_duration("--bin", text, &options->bin_s, errs);
    case 'f':
        return set_duration("--fill", text, &options->fill_s, errs);
    case 'm':
        return set_duration("--max", text, &options->max_s, errs);
    case 'R':
        return set_rigour(text, &options->pins, errs);
    case 'S':
        return set_seed(text, &options->pins, errs);
    case 'l':
        options->allow_new_level = true;
        return 0;
    default:
        options->json = true;
        return 0;
    }
}

static int parse(int argc, char **argv, struct estimate_options *ret_options, struct errs *errs)
{
    static const struct option all[] = {
        { "inject", required_argument, NULL, 'i' }, { "release", required_argument, NULL, 'r' }, { "baseline", required_argument, NULL, 'b' },
        { "end", required_argument, NULL, 'e' },    { "signal", required_argument, NULL, 's' },  { "band", required_argument, NULL, 'B' },
        { "hold", required_argument, NULL, 'H' },   { "bin", required_argument, NULL, 'n' },     { "fill", required_argument, NULL, 'f' },
        { "max", required_argument, NULL, 'm' },    { "rigour", required_argument, NULL, 'R' },  { "seed", required_argument, NULL, 'S' },
        { "allow-new-level", no_argument, NULL, 'l' }, { "json", no_argument, NULL, 'j' },       { NULL, 0, NULL, 0 },
    };
    int option;

    *ret_options = (struct estimate_options){ .inject_s = NAN, .release_s = NAN, .baseline_s = NAN, .end_s = NAN, .max_s = NAN,
                                              .pins = { .band = 0.05, .hold_s = NAN, .seed = 1 } };
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        if (option == ':' || option == '?')
            errs_add(errs, ERR_USAGE, argv[optind - 1],
                     option == ':' ? "needs a value" : "no such option; `perturb estimate --help` lists them");
        else
            take_option(ret_options, option, optarg, errs);
    }
    if (optind + 1 == argc)
        ret_options->file = argv[optind];
    else
        errs_add(errs, ERR_USAGE, "estimate", "name one file of samples, or - for standard input");
    if (isnan(ret_options->inject_s) && !errs->count)
        errs_add(errs, ERR_USAGE, "--inject", "is needed: when did the fault first act?");
    return errs->count ? -EINVAL : 0;
}

static int estimate_main(int argc, char **argv)
{
    static struct errs errs;
    static struct estimate_options options;
    struct estimate_answer answer;
    struct samples samples;
    int result;

    if (parse(argc, argv, &options, &errs) < 0 || samples_read(options.file, &samples, &errs) < 0)
        return command_fail(&errs);
    result = estimate_judge(&options, &samples, &answer, &errs);
    if (result == 0 && options.json && estimate_show_json(&options, &samples, &answer) < 0)
        errs_add(&errs, ERR_INTERNAL, NULL, "out of memory");
    else if (result == 0 && !options.json)
        estimate_show_text(&options, &samples, &answer);
    samples_done(&samples);
    return errs.count ? command_fail(&errs) : answer.status;
}

const struct command command_estimate = {
    .name = "estimate",
    .synopsis = "SERIES --inject T [--release T] [--signal NAME:higher|lower]... [--json]",
    .summary = "convergence time of anyone's series, whatever injected the fault",
    .help = "  SERIES              a table (CSV, semicolons or tabs): time, values...; or a Prometheus query_range reply; - is standard input.\n"
            "                      Empty, NaN and Inf are unknown, never zero. Times are seconds, or 2026-11-23T14:05:00Z\n"
            "  --inject T          when the fault first acted, on the clock of the file\n"
            "  --release T         when it last could act; without it the fault was never released (a kill)\n"
            "  --signal NAME:DIR   a column that decides, and which side is good; :share after it for a share (its band is absolute).\n"
            "                      GOOD/ALL:higher or BAD/ALL:lower for two columns of counts. Without: every column, higher is better\n"
            "  --band SHARE        how far from the baseline is still good (5%)\n"
            "  --hold DURATION     how long it must stay there (5s, or 20 bins if longer)\n"
            "  --baseline T, --end T    where to begin and to end (the file's)\n"
            "  --bin DURATION      base bin (the usual distance of two stamps)\n"
            "  --fill DURATION     repeat a sample over a gap no longer than this (never)\n"
            "  --max DURATION      bound on the convergence time\n"
            "  --allow-new-level   settling at another level is a pass\n"
            "  --rigour quick|full length of baseline that is asked for: quick max(200 bins, 4 holds), full max(60s, 10 holds, 200 bins)\n"
            "  --seed N            of the interval's bootstrap (1)\n"
            "  --json              one JSON document instead of text\n\n"
            "Exit status: 0 converged, absorbed or recovered under the fault; 1 not, or the bound is broken; 2 cannot be told; 64 usage;\n"
            "65 bad input; 69 the file cannot be read. docs/estimator.md says what each number means and how far it can be trusted.\n"
            "Example: perturb estimate latency.csv --inject 120 --release 150 --signal p99_ms:lower --hold 10s\n",
    .run = estimate_main,
};
