/* perturb init: watches a program, undisturbed, and writes a playbook for it that passes.
 *
 * 1. Nothing is armed. The program is started as a run would start it, and ended with everything that it started.
 * 2. What is written has been read by the parser of `perturb check` before; a file that exists is left alone without --force. */
#include "controller/cmd/init.h"

#include "controller/cmd/cmd.h"
#include "controller/cmd/options.h"
#include "controller/load/load.h"
#include "controller/run/ready.h"
#include "controller/run/run.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/file.h"
#include "scenarios/base/units.h"
#include "scenarios/playbook/value.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ANSWER_NS (30 * NS_PER_S)     /* until it answers, at most */
#define BETTER_NS (1 * NS_PER_S)      /* how long an HTTP port is waited for after another one has answered */
#define FOR_MAX_NS INT64_C(3600000000000)
#define ASK_TIMEOUT_NS (5 * NS_PER_S)
enum { LOOK_MS = 100, GOOD_MIN_PERCENT = 80 };

struct session {
    struct init_options options;
    struct init_watch watch;
    struct findings findings;
    char file[256]; /* to be written */
    int signals_fd;
};

/* ---- options -------------------------------------------------------------------------------------------------------------- */

static void check_options(struct session *session, struct errs *errs)
{
    const struct init_options *options = &session->options;

    if (!options->argv && (options->load || options->ready || options->for_ns))
        errs_add(errs, ERR_USAGE, "init", "--load, --ready and --for go with a program: perturb init [OPTION...] -- CMD [ARG...]");
    if (options->load && strncmp(options->load, "http://", 7) != 0 && strncmp(options->load, "https://", 8) != 0 &&
        strncmp(options->load, "redis://", 8) != 0)
        errs_add(errs, ERR_USAGE, "--load", "found '%s', expected http://..., https://... or redis://HOST:PORT", options->load);
}

static void choose_file(struct session *session)
{
    const struct init_options *options = &session->options;
    const char *slash = options->argv ? strrchr(options->argv[0], '/') : NULL;

    if (options->out)
        snprintf(session->file, sizeof(session->file), "%s", options->out);
    else if (options->argv)
        snprintf(session->file, sizeof(session->file), "%.200s.yaml", slash ? slash + 1 : options->argv[0]);
    else
        snprintf(session->file, sizeof(session->file), "perturb.yaml");
}

static int parse(int argc, char **argv, struct session *session, struct errs *errs)
{
    static const struct option longs[] = {
        { "for", required_argument, NULL, 'd' },   { "rate", required_argument, NULL, 'r' }, { "load", required_argument, NULL, 'l' },
        { "ready", required_argument, NULL, 'y' }, { "out", required_argument, NULL, 'o' },  { "force", no_argument, NULL, 'f' },
        { "verify", no_argument, NULL, 'v' },      { 0 },
    };
    struct init_options *options = &session->options;
    int letter;

    *options = (struct init_options){ .rate_mhz = 50000 };
    opterr = 0;
    optind = 0;
    while ((letter = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
        if (letter == 'd')
            (void)value_parse("for", UNIT_DURATION, NULL, NS_PER_S, FOR_MAX_NS, optarg, "--for", errs, &options->for_ns);
        else if (letter == 'r')
            (void)value_parse("rate", UNIT_FREQUENCY, NULL, 1000, INT64_C(1000000000), optarg, "--rate", errs, &options->rate_mhz);
        else if (letter == 'f')
            options->force = true;
        else if (letter == 'v')
            options->verify = true;
        else if (letter == '?')
            errs_add(errs, ERR_USAGE, "init", "unknown option '%s', or one without its value", argv[optind - 1]);
        else
            *(letter == 'l' ? &options->load : letter == 'y' ? &options->ready : &options->out) = optarg;
    }
    options->argv = argv[optind] ? argv + optind : NULL;
    check_options(session, errs);
    for (size_t i = 0; i < errs->count; i++)
        errs->list[i].class = ERR_USAGE;
    choose_file(session);
    return errs->count ? -EINVAL : 0;
}

/* ---- watching ------------------------------------------------------------------------------------------------------------- */

/* Waits a moment. True when it is time to end: a signal asked for it. */
static bool pause_for(struct session *session, int ms)
{
    struct pollfd place = { .fd = session->signals_fd, .events = POLLIN };

    return poll(&place, 1, ms) > 0;
}

static bool has_ended(struct session *session, int *ret_status)
{
    if (session->watch.pid <= 0 || waitpid(session->watch.pid, ret_status, WNOHANG) != session->watch.pid)
        return false;
    session->watch.pid = -1;
    session->findings.ended = true;
    return true;
}

static int tell_end(struct session *session, int status, struct errs *errs)
{
    const char *how = WIFSIGNALED(status) ? "was ended by signal" : "ended with status";
    char tail[200];

    ready_log_tail(session->watch.log, tail, sizeof(tail));
    return errs_add(errs, ERR_WORLD, session->options.argv[0], "it %s %d before it answered on a port%s%s%s", how,
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), tail[0] ? "; its last words: " : "", tail,
                    WIFEXITED(status) && !WEXITSTATUS(status) ? " (a daemon has to stay in the foreground)" : "");
}

static bool is_enough(const struct endpoint *endpoint, const struct init_options *options, uint64_t since_ns)
{
    return (endpoint->kind == ENDPOINT_HTTP && endpoint->status / 100 == 2) || (options->load && endpoint->kind) ||
           (endpoint->kind >= ENDPOINT_RESP && clock_now_ns() - since_ns > BETTER_NS);
}

static int tell_silence(const struct session *session, const struct sighting *list, size_t count, struct errs *errs)
{
    char address[INIT_ADDRESS_MAX], places[ERR_TEXT_MAX / 2] = "";

    for (size_t i = 0; i < count; i++)
        if (list[i].kind == WATCH_LISTEN && strlen(places) + INIT_ADDRESS_MAX < sizeof(places))
            snprintf(places + strlen(places), sizeof(places) - strlen(places), "%s%s", places[0] ? ", " : "", sighting_print(&list[i], address));
    if (!places[0])
        return errs_add(errs, ERR_WORLD, session->options.argv[0], "it listened on nothing: say with --load URL what to ask");
    return errs_add(errs, ERR_WORLD, session->options.argv[0],
                    "it listened on %s, but answered neither HTTP (below status 500) nor RESP there: say with --load URL what to ask", places);
}

/* The first HTTP port that answers, or the first other one that does. */
static int find_endpoint(struct session *session, struct errs *errs)
{
    uint64_t begin_ns = clock_now_ns(), since_ns = 0;
    struct sighting list[SIGHTINGS_MAX];
    struct endpoint endpoint = { .kind = ENDPOINT_NONE };
    bool stop = false;
    int status;

    while (!stop && clock_now_ns() - begin_ns < ANSWER_NS) {
        if (has_ended(session, &status))
            return tell_end(session, status, errs);
        init_probe_all(list, init_watch_copy(&session->watch, list), &endpoint);
        since_ns = since_ns ? since_ns : endpoint.kind >= ENDPOINT_RESP ? clock_now_ns() : 0;
        if (is_enough(&endpoint, &session->options, since_ns ? since_ns : clock_now_ns()))
            break;
        stop = pause_for(session, LOOK_MS);
    }
    session->findings.endpoint = endpoint;
    if (endpoint.kind < ENDPOINT_RESP && !session->options.load)
        return tell_silence(session, list, init_watch_copy(&session->watch, list), errs);
    return 0;
}

static void set_url(struct session *session)
{
    const struct endpoint *endpoint = &session->findings.endpoint;
    char *url = session->findings.measure.url;

    if (session->options.load)
        snprintf(url, INIT_URL_MAX, "%s", session->options.load);
    else
        snprintf(url, INIT_URL_MAX, endpoint->kind == ENDPOINT_HTTP ? "http://%s/" : "redis://%s", endpoint->address);
}

/* ---- the load ------------------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static void measure(const struct load *load, struct measure *measure)
{
    uint64_t count = load_records_count(load);
    AUTO_FREE uint64_t *latencies = calloc(count + 1, sizeof(*latencies));

    measure->requests = count;
    for (uint64_t i = 0; latencies && i < count; i++) {
        const struct load_record *record = load_record_at(load, i);

        if (record->outcome == LOAD_OK)
            latencies[measure->good++] = record->done_ns - record->planned_ns;
    }
    if (!measure->good)
        return;
    qsort(latencies, measure->good, sizeof(*latencies), by_value);
    measure->median_ns = latencies[measure->good / 2];
    measure->p99_ns = latencies[measure->good * 99 / 100];
}

/* Asks until the time is over, the program ends, or a signal comes. */
static int drive(struct session *session, struct errs *errs)
{
    struct findings *findings = &session->findings;
    int http_status = findings->endpoint.status && !session->options.load ? findings->endpoint.status : 0;
    const struct load_spec spec = {
        .protocol = strncmp(findings->measure.url, "redis", 5) ? LOAD_HTTP : LOAD_RESP,
        .url = findings->measure.url,
        .rate_per_s = (double)session->options.rate_mhz / 1000,
        .timeout_ns = ASK_TIMEOUT_NS,
        .status_min = http_status / 100 == 2 ? 0 : (uint16_t)http_status,
        .status_max = http_status / 100 == 2 ? 0 : (uint16_t)http_status,
    };
    struct load *load = NULL;
    uint64_t begin_ns;
    int result = load_new(&spec, errs, &load), status;

    if (result < 0)
        return result;
    init_open_look(&session->watch, true);
    begin_ns = clock_now_ns();
    result = load_start(load, begin_ns);
    while (!result && (!session->options.for_ns || clock_now_ns() - begin_ns < (uint64_t)session->options.for_ns) &&
           !has_ended(session, &status) && !pause_for(session, LOOK_MS))
        ;
    (void)load_stop(load);
    init_open_look(&session->watch, false);
    if (!result)
        measure(load, &findings->measure);
    load_free(load);
    if (result < 0)
        return errs_add(errs, ERR_INTERNAL, "init", "the load: %s", strerror(-result));
    if (findings->measure.good * 100 < findings->measure.requests * GOOD_MIN_PERCENT || !findings->measure.good)
        return errs_add(errs, ERR_WORLD, findings->measure.url, "of %" PRIu64 " requests %" PRIu64 " were answered well: too few to disturb anything",
                        findings->measure.requests, findings->measure.good);
    return 0;
}

static int watch_program(struct session *session, struct errs *errs)
{
    char duration[32];
    uint64_t begin_ns = clock_now_ns();
    sigset_t mask;
    int result;

    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    session->signals_fd = signalfd(-1, &mask, SFD_CLOEXEC);
    result = init_watch_begin(&session->watch, &session->options, errs);
    if (!result)
        result = find_endpoint(session, errs);
    if (!result) {
        set_url(session);
        fprintf(stderr, "perturb: init: it answers; asking %s and watching, %s\n", session->findings.measure.url,
                session->options.for_ns ? unit_print(UNIT_DURATION, session->options.for_ns, duration, sizeof(duration)) : "until Ctrl-C");
        result = drive(session, errs);
    }
    session->findings.watched_ns = clock_now_ns() - begin_ns;
    init_watch_end(&session->watch);
    session->findings.count = init_watch_copy(&session->watch, session->findings.list);
    session->findings.dropped = session->watch.dropped;
    return result;
}

/* ---- the file ------------------------------------------------------------------------------------------------------------- */

/* What we wrote has to be sound, whatever names and addresses went into it. */
static int check_text(const struct session *session, const struct buf *text, struct errs *errs)
{
    const struct playbook_options options = { NULL, 0, run_free_port, NULL };
    struct playbook playbook = { .version = 0 };
    int result = playbook_parse(&playbook, session->file, text->data, text->length, false, &options, errs);

    playbook_done(&playbook);
    return result;
}

/* Whole or not at all: a draft, linked or renamed to the name. */
static int save(const struct session *session, const struct buf *text, struct errs *errs)
{
    char draft[sizeof(session->file) + 16];
    AUTO_CLOSE int fd = -1;
    int result;

    snprintf(draft, sizeof(draft), "%s.%d", session->file, (int)getpid());
    fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    result = fd < 0 ? -errno : file_write_all(fd, text->data, text->length);
    if (!result && (session->options.force ? rename(draft, session->file) : link(draft, session->file)) < 0)
        result = -errno;
    if (fd >= 0)
        (void)unlink(draft);
    if (result == -EEXIST)
        return errs_add(errs, ERR_WORLD, session->file, "exists; --force replaces it, --out names another");
    return result < 0 ? errs_add(errs, ERR_WORLD, session->file, "%s", strerror(-result)) : 0;
}

static int write_playbook(struct session *session, struct errs *errs)
{
    struct buf text;
    int result;

    buf_init(&text, PLAYBOOK_BYTES_MAX);
    session->findings.options = &session->options;
    result = session->options.argv ? init_write(&session->findings, &text) : init_write_starter(&text);
    if (result < 0)
        result = errs_add(errs, ERR_WORLD, session->file, "%s",
                          result == -EILSEQ ? "a word of the command is no UTF-8: a playbook cannot hold it" :
                          result == -ENOTSUP ? "it connects to nothing under this load, and no proxy can stand before an https port" :
                                               strerror(-result));
    if (!result)
        result = check_text(session, &text, errs);
    if (!result)
        result = save(session, &text, errs);
    buf_done(&text);
    return result;
}

static int verify(const struct session *session)
{
    struct run_ports ports = { .count = 0 };
    const struct playbook_options options = { NULL, 0, run_free_port, &ports };
    const struct run_request request = { .file = session->file, .options = &options };
    struct errs errs = { .count = 0 };
    int status = run_execute(&request, &errs);

    run_ports_done(&ports);
    errs_print(&errs, stderr);
    return status;
}

static int init_main(int argc, char **argv)
{
    static struct session session = { .signals_fd = -1 };
    static struct errs errs;
    struct stat status;

    if (parse(argc, argv, &session, &errs) < 0)
        return command_fail(&errs);
    if (!session.options.force && lstat(session.file, &status) == 0)
        errs_add(&errs, ERR_WORLD, session.file, "exists; --force replaces it, --out names another"); /* before anything is started */
    else if (!session.options.argv || !watch_program(&session, &errs))
        (void)write_playbook(&session, &errs);
    if (session.signals_fd >= 0)
        close(session.signals_fd);
    if (errs.count)
        return command_fail(&errs);
    printf("wrote %s; `perturb run %s` runs it\n", session.file, session.file);
    (void)fflush(stdout);
    return session.options.verify ? verify(&session) : 0;
}

const struct command command_init = {
    .name = "init",
    .synopsis = "[--for D] [--rate R] [--load URL] [--ready URL|HOST:PORT] [--out FILE] [--force] [--verify] [-- CMD [ARG...]]",
    .summary = "watch a program, write a playbook for it that passes",
    .help = "Starts CMD undisturbed, asks it over HTTP or RESP, records what it and its children listen on and connect to, ends it,\n"
            "and writes a playbook: target, a proxy or capture per dependency, load, bounds of what was measured, one mild fault.\n"
            "Without CMD: a commented starter for this directory.\n"
            "\n"
            "  --for D        watch so long; else until Ctrl-C, or until CMD ends\n"
            "  --rate R       of the requests, now and in the playbook; default 50/s\n"
            "  --load URL     what to ask (http, https, redis); default: the port on which CMD answers\n"
            "  --ready WHAT   what says that it is ready; default: that port\n"
            "  --out FILE     default CMD.yaml, or perturb.yaml; a file that exists is kept unless --force\n"
            "  --verify       run the playbook at once; the status is the run's\n"
            "\n"
            "  perturb init --for 10s --verify -- redis-server --port 7000\n",
    .run = init_main,
};
