/* perturb load: the load generator alone, for a figure without a playbook. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/load.h"

#include "controller/load/arrival.h"
#include "controller/load/load.h"
#include "controller/load/outside.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/units.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { HEADERS_MAX = 32, WORDS_MAX = 64, BASE_BIN_MS = 20 };

/* What the command line says. */
struct options {
    struct load_spec spec;
    const char *headers[HEADERS_MAX + 1], *words[WORDS_MAX + 1];
    char command[1024];
    size_t header_count;
    int64_t rate, to, length, at, duration, timeout; /* units.h; ABSENT when not given */
    const char *shape, *file;
    bool poisson, json;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

enum option_id { O_RATE = 1, O_DURATION, O_TIMEOUT, O_CONNECTIONS, O_SHAPE, O_TO, O_AT, O_FOR, O_FILE, O_POISSON, O_METHOD, O_HEADER, O_BODY,
                 O_EXPECT, O_VERSION, O_CA, O_INSECURE, O_COMMAND, O_QUERY, O_VALUE, O_SEND, O_UNTIL, O_BYTES, O_SEED, O_FORMAT, O_PARSE };

static const struct option long_options[] = {
    { "rate", 1, NULL, O_RATE },       { "duration", 1, NULL, O_DURATION }, { "timeout", 1, NULL, O_TIMEOUT },
    { "connections", 1, NULL, O_CONNECTIONS }, { "arrival", 1, NULL, O_SHAPE }, { "to", 1, NULL, O_TO },
    { "at", 1, NULL, O_AT },           { "for", 1, NULL, O_FOR },           { "file", 1, NULL, O_FILE },
    { "poisson", 0, NULL, O_POISSON }, { "method", 1, NULL, O_METHOD },     { "header", 1, NULL, O_HEADER },
    { "body", 1, NULL, O_BODY },       { "expect", 1, NULL, O_EXPECT },     { "http", 1, NULL, O_VERSION },
    { "ca", 1, NULL, O_CA },           { "insecure", 0, NULL, O_INSECURE }, { "command", 1, NULL, O_COMMAND },
    { "query", 1, NULL, O_QUERY },     { "value", 1, NULL, O_VALUE },       { "send", 1, NULL, O_SEND },
    { "until", 1, NULL, O_UNTIL },     { "bytes", 1, NULL, O_BYTES },       { "seed", 1, NULL, O_SEED },
    { "format", 1, NULL, O_FORMAT },   { "parse", 1, NULL, O_PARSE },       { NULL, 0, NULL, 0 },
};

static int take_number(enum unit unit, const char *flag, const char *text, int64_t least, int64_t most, int64_t *ret_value, struct errs *errs)
{
    int64_t value;

    if (unit_parse(unit, text, &value) < 0 || value < least || value > most)
        return errs_add(errs, ERR_USAGE, flag, "found '%s', expected %s", text, unit_example(unit));
    *ret_value = value;
    return 0;
}

static void set_body(struct load_spec *spec, const char *text)
{
    spec->body = text;
    spec->body_bytes = strlen(text);
}

/* "GET item:1" as words. */
static int take_command(struct options *options, const char *text, struct errs *errs)
{
    char *rest = options->command;
    size_t count = 0;

    if (snprintf(options->command, sizeof(options->command), "%s", text) >= (int)sizeof(options->command))
        return errs_add(errs, ERR_USAGE, "--command", "is longer than %zu bytes", sizeof(options->command));
    for (char *word; (word = strsep(&rest, " "));) {
        if (!*word)
            continue;
        if (count == WORDS_MAX)
            return errs_add(errs, ERR_USAGE, "--command", "more than %d words", WORDS_MAX);
        options->words[count++] = word;
    }
    options->spec.command = options->words;
    return 0;
}

static int take_number_option(struct options *options, int id, const char *text, struct errs *errs)
{
    int64_t value = 0;
    int rc = 0;

    switch ((enum option_id)id) {
    case O_RATE: return take_number(UNIT_FREQUENCY, "--rate", text, 1, 1000000000, &options->rate, errs);
    case O_TO: return take_number(UNIT_FREQUENCY, "--to", text, 0, 1000000000, &options->to, errs);
    case O_DURATION: return take_number(UNIT_DURATION, "--duration", text, 1000000, 7 * 86400000000000, &options->duration, errs);
    case O_TIMEOUT: return take_number(UNIT_DURATION, "--timeout", text, 1000000, 600000000000, &options->timeout, errs);
    case O_AT: return take_number(UNIT_DURATION, "--at", text, 0, 86400000000000, &options->at, errs);
    case O_FOR: return take_number(UNIT_DURATION, "--for", text, 1000000, 86400000000000, &options->length, errs);
    case O_CONNECTIONS:
        rc = take_number(UNIT_COUNT, "--connections", text, 1, 16384, &value, errs);
        options->spec.connections_max = (uint32_t)value;
        return rc;
    case O_BYTES:
        rc = take_number(UNIT_SIZE, "--bytes", text, 1, 1 << 30, &value, errs);
        options->spec.reply_bytes = (uint32_t)value;
        return rc;
    case O_SEED:
        rc = take_number(UNIT_COUNT, "--seed", text, 0, INT64_MAX, &value, errs);
        options->spec.seed = (uint64_t)value;
        return rc;
    default: return 1;
    }
}

static int take_text_option(struct options *options, int id, const char *text, struct errs *errs)
{
    switch ((enum option_id)id) {
    case O_SHAPE: options->shape = text; return 0;
    case O_FILE: options->file = text; return 0;
    case O_POISSON: options->poisson = true; return 0;
    case O_METHOD: options->spec.method = text; return 0;
    case O_HEADER:
        if (options->header_count == HEADERS_MAX)
            return errs_add(errs, ERR_USAGE, "--header", "more than %d", HEADERS_MAX);
        options->headers[options->header_count++] = text;
        options->spec.headers = options->headers;
        return 0;
    case O_BODY:
    case O_SEND:
    case O_QUERY: set_body(&options->spec, text); return 0;
    case O_EXPECT: options->spec.expect_text = text; return 0;
    case O_VALUE: options->spec.expect_value = text; return 0;
    case O_UNTIL: options->spec.reply_until = text; return 0;
    case O_VERSION:
        options->spec.http_version = !strcmp(text, "2") ? 2 : 1;
        return !strcmp(text, "2") || !strcmp(text, "1.1") ? 0 : errs_add(errs, ERR_USAGE, "--http", "found '%s', expected 1.1 or 2", text);
    case O_CA: options->spec.ca_file = text; return 0;
    case O_INSECURE: options->spec.is_insecure = true; return 0;
    case O_COMMAND: return take_command(options, text, errs);
    case O_PARSE:
        options->spec.protocol = LOAD_COMMAND;
        return load_format_parse(text, &options->spec.format) == 0 ? 0 : errs_add(errs, ERR_USAGE, "--parse", "found '%s', expected json, wrk or k6", text);
    case O_FORMAT:
        options->json = !strcmp(text, "json");
        return options->json || !strcmp(text, "text") ? 0 : errs_add(errs, ERR_USAGE, "--format", "found '%s', expected text or json", text);
    default: return -EINVAL;
    }
}

static int take_url(struct options *options, const char *url, struct errs *errs)
{
    static const struct {
        const char *scheme;
        enum load_protocol protocol;
    } schemes[] = { { "http://", LOAD_HTTP }, { "https://", LOAD_HTTP },           { "redis://", LOAD_RESP },        { "tcp://", LOAD_TCP },
                    { "udp://", LOAD_UDP },   { "postgres://", LOAD_POSTGRES }, { "postgresql://", LOAD_POSTGRES } };

    options->spec.url = url;
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
        if (!strncmp(url, schemes[i].scheme, strlen(schemes[i].scheme))) {
            options->spec.protocol = schemes[i].protocol;
            return 0;
        }
    return errs_add(errs, ERR_USAGE, "URL", "found '%s', expected http://, https://, redis://, tcp://, udp:// or postgres://", url);
}

/* What follows is a program and its arguments, which knows itself how long and how much. */
static void take_program(struct options *options, char *const *words, struct errs *errs)
{
    options->spec.run = (const char *const *)words;
    options->spec.ends_itself = options->duration < 0;
    if (options->rate >= 0 || options->file || options->shape)
        errs_add(errs, ERR_USAGE, "--rate", "the program has a plan of its own: no --rate, --arrival and --file beside --parse");
    if (options->duration < 0)
        options->duration = 7 * INT64_C(86400000000000);
    if (options->timeout < 0)
        options->timeout = 0;
    options->rate = 1000;
}

static int parse(int argc, char **argv, struct options *options, struct errs *errs)
{
    int id, index;

    *options = (struct options){ .rate = -1, .to = -1, .length = -1, .duration = -1, .timeout = -1 };
    optind = 0;
    opterr = 0;
    while ((id = getopt_long(argc, argv, ":", long_options, &index)) != -1) {
        if (id == ':' || id == '?')
            errs_add(errs, ERR_USAGE, argv[optind - 1], id == ':' ? "needs a value" : "no such option; `perturb load --help` lists them");
        else if (take_number_option(options, id, optarg, errs) > 0)
            (void)take_text_option(options, id, optarg, errs);
    }
    if (options->spec.protocol == LOAD_COMMAND && optind < argc)
        take_program(options, argv + optind, errs);
    else if (optind == argc - 1)
        (void)take_url(options, argv[optind], errs);
    else
        return errs_add(errs, ERR_USAGE, NULL, "expected one URL, or --parse FORMAT -- PROGRAM; `perturb load --help` tells more");
    if (options->duration < 0)
        errs_add(errs, ERR_USAGE, "--duration", "is needed: how long requests are planned");
    if (options->rate < 0 && !options->file)
        errs_add(errs, ERR_USAGE, "--rate", "is needed, but for a recording (--file)");
    options->spec.timeout_ns = options->timeout < 0 ? NS_PER_S : (uint64_t)options->timeout;
    options->spec.name = "load";
    options->spec.late_after_ns = BASE_BIN_MS * NS_PER_MS;
    return errs->count ? -EINVAL : 0;
}

static int make_plan(struct options *options, struct errs *errs, struct arrival **ret_arrival)
{
    const char *shape = options->shape ? options->shape : "constant";
    double rate = (double)options->rate / 1000, to = (double)options->to / 1000, at = (double)options->at / 1e9;
    double length = options->length < 0 ? 0 : (double)options->length / 1e9;
    uint64_t seed = options->spec.seed;
    bool is_step = !strcmp(shape, "step"), is_ramp = !strcmp(shape, "ramp"), is_spike = !strcmp(shape, "spike");

    if ((is_step || is_ramp || is_spike) && (options->to < 0 || options->rate < 0))
        return errs_add(errs, ERR_USAGE, "--arrival", "%s needs --rate and --to", shape);
    if ((is_ramp || is_spike) && !(length > 0))
        return errs_add(errs, ERR_USAGE, "--arrival", "%s needs --for", shape);
    if (is_step || is_ramp)
        return arrival_new_ramp(rate, to, at, is_ramp ? length : 0, options->poisson, seed, "load", ret_arrival);
    if (is_spike)
        return arrival_new_spike(rate, to, at, length, options->poisson, seed, "load", ret_arrival);
    if (!strcmp(shape, "rates") && options->file)
        return arrival_read_rates(options->file, options->poisson, seed, "load", errs, ret_arrival);
    if (!strcmp(shape, "instants") && options->file)
        return arrival_read_instants(options->file, errs, ret_arrival);
    if (!strcmp(shape, "constant") && !options->file)
        return arrival_new_constant(rate, options->poisson, seed, "load", ret_arrival);
    return errs_add(errs, ERR_USAGE, "--arrival", "found '%s', expected constant, ramp, step, spike, or rates or instants with --file", shape);
}

/* Until everything planned has ended; then the loop has. An interrupt ends the plan. */
static void follow(struct load *load, const struct options *options, uint64_t start_ns)
{
    uint64_t stop_ns = start_ns + (uint64_t)options->duration;
    bool shows = !options->json && isatty(STDERR_FILENO), stopped = false;

    (void)load_stop_at(load, stop_ns);
    for (struct load_counters counters;;) {
        uint64_t now_ns = clock_now_ns();

        load_counters(load, &counters);
        if (interrupted && !stopped) {
            stopped = true;
            stop_ns = now_ns;
            (void)load_stop_at(load, now_ns);
        }
        if (load_is_over(load))
            break;
        if (shows)
            fprintf(stderr, "\r%5.1f s  %llu planned  %llu ok  %llu failed  %llu on the way \033[K", now_ns < start_ns ? 0 : (double)(now_ns - start_ns) / 1e9,
                    (unsigned long long)counters.planned, (unsigned long long)counters.ok, (unsigned long long)counters.failed,
                    (unsigned long long)(counters.in_flight + counters.waiting));
        (void)poll(NULL, 0, 50);
    }
    if (shows)
        fprintf(stderr, "\r\033[K");
}

static int run_options(struct options *options, struct arrival *arrival, struct errs *errs)
{
    struct load *load = NULL;
    uint64_t start_ns;
    int status, rc;

    options->spec.plan = arrival_at_ns;
    options->spec.plan_context = arrival;
    options->spec.rate_per_s = arrival_rate_max_per_s(arrival);
    rc = load_new(&options->spec, errs, &load);
    if (rc < 0) {
        if (!errs->count)
            errs_add(errs, rc == -ENOMEM ? ERR_INTERNAL : ERR_WORLD, "load", "cannot start: %s", strerror(-rc));
        return command_fail(errs);
    }
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    start_ns = clock_now_ns() + 10 * NS_PER_MS;
    if (load_start(load, start_ns) < 0) {
        load_free(load);
        errs_add(errs, ERR_WORLD, "load", "cannot start a thread");
        return command_fail(errs);
    }
    follow(load, options, start_ns);
    (void)load_stop(load);
    status = load_show(load, &options->spec, options->json);
    load_free(load);
    return interrupted ? 130 : status;
}

static int load_run(int argc, char **argv)
{
    struct options options;
    struct errs errs = { 0 };
    struct arrival *arrival = NULL;

    int rc = parse(argc, argv, &options, &errs);
    if (rc == 0)
        rc = make_plan(&options, &errs, &arrival);
    if (rc < 0) {
        if (!errs.count)
            errs_add(&errs, rc == -ENOMEM ? ERR_INTERNAL : ERR_USAGE, "--arrival", "no such plan: %s", strerror(-rc));
        return command_fail(&errs);
    }
    int status = run_options(&options, arrival, &errs);
    arrival_free(arrival);
    return status;
}

const struct command command_load = {
    .name = "load",
    .synopsis = "URL --rate R --duration D [OPTION...] | --parse FORMAT [OPTION...] -- PROGRAM...",
    .summary = "plan requests open loop, say how they went",
    .help = "URL is http://, https://, redis://, tcp://, udp:// or postgres://. Latency counts from the planned instant.\n\n"
            "  --rate R, --duration D    requests planned per second, and for how long\n"
            "  --timeout D               deadline of a request (1s); --connections N: at most so many\n"
            "  --arrival SHAPE           constant, ramp, step, spike: with --to R, --at D, --for D; rates, instants: with --file F\n"
            "  --poisson, --seed N       draw the spacing\n"
            "  --method M, --header H, --body B, --http 1.1|2, --ca FILE, --insecure         http\n"
            "  --command 'GET item:1'                                                        redis\n"
            "  --send TEXT, --until TEXT | --bytes N                                         tcp, udp\n"
            "  --query SQL, --value V                                                        postgres\n"
            "  --expect TEXT             what a good reply holds\n"
            "  --format text|json        json is one object on one line\n"
            "  --parse json|wrk|k6       run another generator in place of a URL, and read what it prints: lines of JSON, wrk's text, k6's\n"
            "                            summary as JSON. --duration ends it; without, it ends when it will\n\n"
            "Ends with 0 when every request went well, 1 when some failed, 2 when the generator itself was late (load_unfit).\n\n"
            "  perturb load http://127.0.0.1:8080/ --rate 500/s --duration 10s\n"
            "  perturb load --parse wrk -- wrk -t1 -c32 -d10s --latency http://127.0.0.1:8080/\n",
    .run = load_run,
};
