/* The playbook that `perturb init` writes: what was seen as comments, and a run that passes. */
#include "controller/cmd/init.h"

#include "scenarios/base/clock.h"
#include "scenarios/base/units.h"
#include "scenarios/base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_ = 24, UNIT_ROOM = 32 };

#define MEDIAN_FLOOR_NS (10 * NS_PER_MS) /* below this a bound on the median would judge the machine's mood */
#define TIMEOUT_MIN_NS (1 * NS_PER_S)
#define TIMEOUT_MAX_NS (10 * NS_PER_S)
#define DELAY_MAX_NS (10 * NS_PER_MS)
#define GOOD_MAX 99.0 /* %: bounds of the bound */
#define GOOD_MIN 20.0

static const struct {
    uint16_t port;
    const char *name;
} known_ports[] = {
    { 53, "dns" }, { 80, "http" }, { 443, "https" }, { 1433, "mssql" }, { 2379, "etcd" }, { 3306, "mysql" }, { 5432, "postgres" },
    { 5672, "amqp" }, { 6379, "redis" }, { 9042, "cassandra" }, { 9092, "kafka" }, { 9200, "elastic" }, { 11211, "memcached" },
    { 27017, "mongodb" },
};

/* ---- words ---------------------------------------------------------------------------------------------------------------- */

static bool is_plain(const char *word)
{
    static const char *const taken[] = { "true", "false", "null", "yes", "no", "on", "off", "-", "--", "---", "..." };

    if (!isalpha((unsigned char)word[0]) && word[0] != '/' && strncmp(word, "--", 2) != 0 && strncmp(word, "./", 2) != 0 &&
        !(word[0] == '-' && isalpha((unsigned char)word[1])))
        return false;
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (!strcmp(word, taken[i]))
            return false;
    return word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")] == '\0';
}

/* Inside double quotes. */
static void put_escaped(struct buf *buf, const char *word)
{
    for (; *word; word++) {
        if (*word == '"' || *word == '\\')
            buf_printf(buf, "\\%c", *word);
        else if (*word == '$' && word[1] == '{')
            buf_puts(buf, "$$");
        else if ((unsigned char)*word < ' ' || *word == 0x7f)
            buf_printf(buf, "\\u%04x", (unsigned)(unsigned char)*word);
        else
            buf_append(buf, word, 1);
    }
}

/* A flow scalar that reads as this very word. */
static void put_word(struct buf *buf, const char *word)
{
    if (is_plain(word)) {
        buf_puts(buf, word);
        return;
    }
    buf_puts(buf, "\"");
    put_escaped(buf, word);
    buf_puts(buf, "\"");
}

/* For comments: one line of it. */
static void put_comment(struct buf *buf, const char *word)
{
    for (; *word; word++)
        buf_append(buf, (unsigned char)*word < ' ' || *word == 0x7f ? "?" : word, 1);
}

static const char *duration(uint64_t ns, char room[UNIT_ROOM])
{
    return unit_print(UNIT_DURATION, (int64_t)ns, room, UNIT_ROOM);
}

/* Two digits are enough of a bound, and easier to read; never below the value. */
static uint64_t round_up(uint64_t ns)
{
    uint64_t step = 1;

    while (ns / step >= 100)
        step *= 10;
    return (ns + step - 1) / step * step;
}

/* A program's name as one of the playbook. */
static void name_of(const char *program, char name[NAME_MAX_])
{
    const char *slash = strrchr(program, '/');
    size_t length = 0;

    for (const char *letter = slash ? slash + 1 : program; *letter && length < NAME_MAX_ - 1; letter++)
        if (isalnum((unsigned char)*letter) || (*letter == '-' && length))
            name[length++] = (char)tolower((unsigned char)*letter);
    name[length] = '\0';
    if (!isalpha((unsigned char)name[0]))
        snprintf(name, NAME_MAX_, "program");
}

/* A shell is nobody's service: what it started, and answers, is. */
static const char *program_of(const struct findings *findings)
{
    static const char *const shells[] = { "sh", "bash", "dash", "env" };
    const char *program = findings->options->argv[0], *slash = strrchr(program, '/');
    const char *colon = strrchr(findings->endpoint.address, ':');
    bool shell = false;

    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
        shell |= !strcmp(slash ? slash + 1 : program, shells[i]);
    for (size_t i = 0; i < findings->count && shell && colon; i++)
        if (sighting_is(&findings->list[i], WATCH_LISTEN) && sighting_port(&findings->list[i]) == strtol(colon + 1, NULL, 10))
            return findings->list[i].comm;
    return program;
}

/* ---- edges ---------------------------------------------------------------------------------------------------------------- */

static uint64_t connects_under_load(const struct sighting *edge)
{
    return edge->connects - edge->connects_before;
}

static uint64_t bytes_under_load(const struct sighting *edge)
{
    return edge->bytes > edge->bytes_before ? edge->bytes - edge->bytes_before : 0;
}

static uint64_t weight(const struct sighting *edge)
{
    return connects_under_load(edge) * 1000 + bytes_under_load(edge);
}

/* A program that connects to its own port is not behind a dependency. */
static bool is_own(const struct findings *findings, const struct sighting *edge)
{
    for (size_t i = 0; i < findings->count; i++)
        if (sighting_is(&findings->list[i], WATCH_LISTEN) && sighting_port(&findings->list[i]) == sighting_port(edge) &&
            !strcmp(findings->list[i].comm, edge->comm))
            return true;
    return false;
}

static bool is_edge(const struct findings *findings, const struct sighting *sighting)
{
    return sighting_is(sighting, WATCH_CONNECT) && !is_own(findings, sighting);
}

/* Does the load keep it busy: a connect in fifty requests, or two bytes a request? Else a fault there may find nothing to act on. */
static bool is_busy(const struct findings *findings, const struct sighting *edge)
{
    return connects_under_load(edge) * 50 > findings->measure.requests || bytes_under_load(edge) > 2 * findings->measure.requests;
}

/* The edge that the load keeps busiest; NULL when it uses none. */
static const struct sighting *busiest(const struct findings *findings)
{
    const struct sighting *best = NULL;

    for (size_t i = 0; i < findings->count; i++)
        if (is_edge(findings, &findings->list[i]) && is_busy(findings, &findings->list[i]) &&
            weight(&findings->list[i]) > (best ? weight(best) : 0))
            best = &findings->list[i];
    return best;
}

/* A name for the edge: what usually is at that port; with its place in the list when another has it. */
static void edge_name(const struct findings *findings, const struct sighting *edge, char name[NAME_MAX_])
{
    uint16_t port = sighting_port(edge);
    const char *usual = NULL;
    unsigned before = 0;

    for (const struct sighting *other = findings->list; other < edge; other++)
        before += is_edge(findings, other) && sighting_port(other) == port;
    for (size_t i = 0; i < sizeof(known_ports) / sizeof(known_ports[0]); i++)
        if (known_ports[i].port == port)
            usual = known_ports[i].name;
    if (usual)
        snprintf(name, NAME_MAX_, "%s", usual);
    else
        snprintf(name, NAME_MAX_, "tcp%u", port);
    if (before)
        snprintf(name + strlen(name), NAME_MAX_ - strlen(name), "n%u", before + 1);
}

/* ---- what was seen -------------------------------------------------------------------------------------------------------- */

static void put_sighting(struct buf *buf, const struct findings *findings, const struct sighting *sighting)
{
    char address[INIT_ADDRESS_MAX];
    const char *kind = sighting->address.ss_family != AF_UNIX && sighting->type == SOCK_DGRAM ? "udp " : "";

    sighting_print(sighting, address);
    buf_printf(buf, "#   %-9s %s%-*s  %s", sighting->kind == WATCH_LISTEN ? "listens" : "connects", kind, 28 - (int)strlen(kind), address,
               sighting->comm);
    if (sighting->kind == WATCH_CONNECT && sighting->connects)
        buf_printf(buf, "  %" PRIu64 " time%s, %" PRIu64 " of them under the load", sighting->connects, sighting->connects == 1 ? "" : "s",
                   connects_under_load(sighting));
    else if (sighting->kind == WATCH_CONNECT)
        buf_puts(buf, "  past the watcher (io_uring, or a socket it was given)");
    if (sighting->open)
        buf_printf(buf, "; %" PRIu64 " open at the end, %" PRIu64 " bytes under the load", sighting->open, bytes_under_load(sighting));
    if (sighting->kind == WATCH_CONNECT && !is_edge(findings, sighting))
        buf_puts(buf, sighting_is(sighting, WATCH_CONNECT) ? "; to itself" : "; no proxy here");
    buf_puts(buf, "\n");
}

static void put_measure(struct buf *buf, const struct measure *measure)
{
    char median[UNIT_ROOM], p99[UNIT_ROOM];

    buf_printf(buf, "# The load, %s: %" PRIu64 " requests, %.2f %% of them good, half of these within %s, 99 %% within %s.\n", measure->url,
               measure->requests, measure->requests ? 100.0 * (double)measure->good / (double)measure->requests : 0.0,
               duration(round_up(measure->median_ns), median), duration(round_up(measure->p99_ns), p99));
}

static void put_seen(struct buf *buf, const struct findings *findings)
{
    buf_puts(buf, "#\n# Written by: perturb init --");
    for (char *const *word = findings->options->argv; *word; word++) {
        buf_puts(buf, " ");
        put_comment(buf, *word);
    }
    buf_printf(buf, "\n# which saw in %.1f s, of the program and its children:\n#\n", (double)findings->watched_ns / (double)NS_PER_S);
    for (size_t i = 0; i < findings->count; i++)
        put_sighting(buf, findings, &findings->list[i]);
    if (findings->dropped)
        buf_printf(buf, "#   ... and %zu more, past what this list holds\n", findings->dropped);
    buf_puts(buf, "#\n");
    put_measure(buf, &findings->measure);
    if (findings->ended)
        buf_puts(buf, "# The program ended by itself meanwhile: a run wants one that stays.\n");
}

/* ---- the sections --------------------------------------------------------------------------------------------------------- */

static void put_head(struct buf *buf, const struct findings *findings, const char *name, const struct sighting *edge)
{
    char address[INIT_ADDRESS_MAX] = "";

    if (edge)
        buf_printf(buf, "# What one learns: does %s stay good while what it needs at %s is a little slower?\n", name, sighting_print(edge, address));
    else
        buf_printf(buf, "# What one learns: do the clients of %s stay good while its answers are a little slower?\n", name);
    buf_puts(buf, "# It passes as it is. Make it tell something: raise the latency, or take another fault (`perturb faults`), until it does not.\n");
    put_seen(buf, findings);
    buf_printf(buf, "perturb: 1\ntitle: The service %s stays good while %s is slower\nservice: %s\ntags: [init]\nrigour: quick\nvars:\n", name,
               edge ? "a dependency" : "its network", name);
}

static void put_targets(struct buf *buf, const struct findings *findings, const char *name)
{
    const struct endpoint *endpoint = &findings->endpoint;
    const char *given = findings->options->ready;

    buf_printf(buf, "targets:\n  %s:\n    command: [", name);
    for (char *const *word = findings->options->argv; *word; word++) {
        buf_puts(buf, word == findings->options->argv ? "" : ", ");
        put_word(buf, *word);
    }
    buf_puts(buf, "]\n");
    buf_printf(buf, "    ready: {%s: ", given ? (strstr(given, "://") ? "http" : "tcp") :
                                        endpoint->kind == ENDPOINT_HTTP && endpoint->status / 100 == 2 ? "http" : "tcp");
    if (given)
        put_word(buf, given);
    else
        buf_printf(buf, "\"%s%s%s\"", endpoint->kind == ENDPOINT_HTTP && endpoint->status / 100 == 2 ? "http://" : "", endpoint->address,
                   endpoint->kind == ENDPOINT_HTTP && endpoint->status / 100 == 2 ? "/" : "");
    buf_puts(buf, "}\n");
}

/* `to` narrows the capture to the very address. */
static void put_capture(struct buf *buf, const struct findings *findings, const struct sighting *edge, const char *target)
{
    char name[NAME_MAX_], address[INIT_ADDRESS_MAX];
    char *host = address, *colon;

    edge_name(findings, edge, name);
    sighting_print(edge, address);
    colon = strrchr(address, ':');
    *colon = '\0';
    if (host[0] == '[') {
        host++;
        colon[-1] = '\0';
    }
    buf_printf(buf, "  %s: {capture: {tcp: %u, to: \"%s/%d\", target: %s, via: shim}}\n", name, sighting_port(edge), host,
               edge->address.ss_family == AF_INET6 ? 128 : 32, target);
}

/* Before whatever the load asks. */
static void put_front(struct buf *buf, const struct findings *findings)
{
    const char *host = strstr(findings->measure.url, "://") + 3;
    size_t length = strcspn(host, "/");
    const char *closing = memchr(host, ']', length);

    buf_printf(buf, "  front: {upstream: \"%.*s%s\"}   # the load comes through it\n", (int)length, host,
               memchr(closing ? closing : host, ':', length - (size_t)(closing ? closing - host : 0)) ? "" :
               findings->measure.url[0] == 'h' ? ":80" : ":6379");
}

static void put_proxies(struct buf *buf, const struct findings *findings, const char *target, bool front)
{
    size_t edges = 0;

    for (size_t i = 0; i < findings->count; i++)
        edges += is_edge(findings, &findings->list[i]);
    buf_printf(buf, "proxies:%s\n", edges ? "                           # the program goes on connecting to where it always did" : "");
    for (size_t i = 0; i < findings->count; i++)
        if (is_edge(findings, &findings->list[i]))
            put_capture(buf, findings, &findings->list[i], target);
    if (front)
        put_front(buf, findings);
}

/* The URL as it is, or by the proxy before the program. */
static void put_url(struct buf *buf, const struct findings *findings, bool front)
{
    const char *url = findings->measure.url, *path = strchr(strstr(url, "://") + 3, '/');
    char word[INIT_URL_MAX + 64];

    if (!front) {
        put_word(buf, url);
        return;
    }
    buf_printf(buf, "\"%.*s${proxies.front.listen}", (int)(strstr(url, "://") + 3 - url), url);
    snprintf(word, sizeof(word), "%s", path ? path : "");
    put_escaped(buf, word);
    buf_puts(buf, "\"");
}

static void put_load(struct buf *buf, const struct findings *findings, bool front)
{
    const struct measure *measure = &findings->measure;
    uint64_t timeout_ns = round_up(10 * measure->p99_ns);
    bool http = !strncmp(measure->url, "http", 4);
    char room[UNIT_ROOM];

    if (timeout_ns < TIMEOUT_MIN_NS)
        timeout_ns = TIMEOUT_MIN_NS;
    if (timeout_ns > TIMEOUT_MAX_NS)
        timeout_ns = TIMEOUT_MAX_NS;
    buf_printf(buf, "load:\n  main:\n    %s: {url: ", http ? "http" : "resp");
    put_url(buf, findings, front);
    if (!http)
        buf_puts(buf, ", command: [PING]");
    else if (!findings->options->load && findings->endpoint.status && findings->endpoint.status / 100 != 2)
        buf_printf(buf, ", status: [\"%d\"]", findings->endpoint.status);
    buf_printf(buf, ", timeout: %s}\n    rate: \"${vars.rate}\"\n", duration(timeout_ns, room));
}

/* Three times what was seen: of the failures, one more than there were, because none in n says no more than that they are rarer than
 * three in n; and of the median. */
static void put_hypothesis(struct buf *buf, const struct measure *measure)
{
    double failed = (double)(measure->requests - measure->good + 1) / (double)(measure->requests + 1);
    double good_min = 100.0 - 300.0 * failed;
    uint64_t median_ns = round_up(3 * measure->median_ns);
    char room[UNIT_ROOM];

    buf_printf(buf, "steady-state-hypothesis:               # three times what was seen, and some air\n"
                    "  - {signal: main.goodput, min: %.4g%%}\n"
                    "  - {signal: main.p50, max: %s}\n",
               good_min > GOOD_MAX ? GOOD_MAX : good_min < GOOD_MIN ? GOOD_MIN : good_min, duration(median_ns < MEDIAN_FLOOR_NS ? MEDIAN_FLOOR_NS : median_ns, room));
}

static void put_method(struct buf *buf, const struct findings *findings, const struct sighting *edge)
{
    char name[NAME_MAX_] = "front";

    if (edge)
        edge_name(findings, edge, name);
    buf_printf(buf, "method:\n"
                    "  - {fault: latency, proxy: %s, direction: to_client, latency: \"${vars.latency}\", at: 1s, for: 3s}\n"
                    "expect:\n"
                    "  convergence: {max: 5s, band: 10%%, hold: 3s}\n"
                    "  loss: {max: 1s}\n", name);
}

int init_write(const struct findings *findings, struct buf *ret_text)
{
    const struct sighting *edge = busiest(findings);
    uint64_t delay_ns = NS_PER_S * 1000 / (uint64_t)findings->options->rate_mhz / 2; /* a program that serves one at a time keeps up */
    char name[NAME_MAX_], rate[UNIT_ROOM], delay[UNIT_ROOM];

    if (!edge && !strncmp(findings->measure.url, "https", 5))
        return -ENOTSUP;
    for (char *const *word = findings->options->argv; *word; word++)
        if (utf8_valid_length(*word, strlen(*word)) != strlen(*word))
            return -EILSEQ;
    name_of(program_of(findings), name);
    put_head(ret_text, findings, name, edge);
    buf_printf(ret_text, "  rate: %s\n  latency: %-26s    # mild; --var latency=300ms is less so\n",
               unit_print(UNIT_FREQUENCY, findings->options->rate_mhz, rate, sizeof(rate)),
               duration(delay_ns < DELAY_MAX_NS ? delay_ns : DELAY_MAX_NS, delay));
    put_targets(ret_text, findings, name);
    put_proxies(ret_text, findings, name, !edge);
    put_load(ret_text, findings, !edge);
    put_hypothesis(ret_text, &findings->measure);
    put_method(ret_text, findings, edge);
    return ret_text->failed ? -E2BIG : 0;
}

int init_write_starter(struct buf *ret_text)
{
    buf_puts(ret_text,
             "# What one learns: replace this line. Say in a sentence what a healthy system shows.\n"
             "# A starter: it runs and passes as it is (with python3). Put your own program in the place of `app`, or have it written:\n"
             "# `perturb init -- PROGRAM ARG...` watches a program and writes a playbook of what it saw.\n"
             "perturb: 1\n"
             "title: The service stays good while its network is slower\n"
             "service: app                           # names it in reports and trends\n"
             "rigour: quick                          # full: for trends, takes minutes\n"
             "vars:                                  # override with --var NAME=VALUE\n"
             "  rate: 50/s\n"
             "  latency: 10ms\n"
             "targets:                               # started in this order, each waited for until it is ready\n"
             "  app:\n"
             "    command: [python3, -m, http.server, \"${port.app}\", --bind, 127.0.0.1]   # ${port.NAME}: a free port\n"
             "    ready: {http: \"http://127.0.0.1:${port.app}/\"}                            # or {tcp: \"127.0.0.1:${port.app}\"}\n"
             "proxies:                               # where faults of the wire act\n"
             "  front: {upstream: \"127.0.0.1:${port.app}\"}\n"
             "  # redis: {capture: {tcp: 6379, target: app, via: shim}}    # a dependency; the program is told nothing of a proxy\n"
             "load:                                  # what measures it\n"
             "  main:\n"
             "    http: {url: \"http://${proxies.front.listen}/\", timeout: 1s}\n"
             "    rate: \"${vars.rate}\"\n"
             "steady-state-hypothesis:               # holds while nothing is disturbed, or nothing is injected\n"
             "  - {signal: main.goodput, min: 95%}\n"
             "method:                                # `perturb faults` lists what can be done to it\n"
             "  - {fault: latency, proxy: front, direction: to_client, latency: \"${vars.latency}\", at: 1s, for: 3s}\n"
             "  # - {fault: alloc_fail, target: app, probability: 1%, at: 1s, for: 3s}\n"
             "expect:                                # what makes it pass\n"
             "  convergence: {max: 5s, band: 10%, hold: 3s}\n"
             "  loss: {max: 1s}\n");
    return ret_text->failed ? -E2BIG : 0;
}
