/* The keys of loads: one kind, one section. */
#include "scenarios/playbook/keys.h"

#define TIMEOUT_KEY(type)                                                                                                           \
    { "timeout", VALUE(UNIT_DURATION, MILLISECOND, 600 * SECOND, SECOND), AT(type, timeout),                                        \
      .help = "Deadline of a request, from its planned instant." }

static const struct key_desc http_keys[] = {
    { "url", KEY_TEXT, AT(http_load, url), .required = true, .help = "What is requested, by http:// or https://." },
    { "method", KEY_TEXT, AT(http_load, method), .help = "Default GET, or POST with a body." },
    { "headers", KEY_PAIRS, AT(http_load, headers), .words = ": ", .help = "Headers of every request: to colour the traffic, for one." },
    { "body", KEY_TEXT, AT(http_load, body), .help = "Body of every request." },
    { "version", KEY_TEXT, AT(http_load, version), .help = "1.1 (the default) or 2: by ALPN with https://, by prior knowledge with http://. An answer by another is a wrong reply." },
    { "ca", KEY_TEXT, AT(http_load, ca), .help = "File of the certificates that are trusted, PEM. Default: the system's." },
    { "insecure", VALUE(UNIT_BOOL, 0, 1, 0), AT(http_load, insecure), .help = "Any certificate will do." },
    { "status", KEY_TEXTS, AT(http_load, status), .help = "Statuses that are good: 200 or 200-299 (the default)." },
    { "expect", KEY_TEXT, AT(http_load, expect), .help = "A text that a good answer holds." },
    { "json", KEY_PAIRS, AT(http_load, json), .words = "=", .help = "What a good answer holds as JSON: value by path, such as pools[0].state." },
    TIMEOUT_KEY(http_load),
};
static const struct section_desc http_section = { "http", sizeof(struct http_load), KEYS(http_keys), NO_NODE, NO_NAME,
                                                  .help = "Load over HTTP/1.1 or HTTP/2." };

static const struct key_desc resp_keys[] = {
    { "url", KEY_TEXT, AT(resp_load, url), .required = true, .help = "redis://HOST:PORT." },
    { "command", KEY_TEXTS, AT(resp_load, command), .help = "Command and arguments. Default PING." },
    { "expect", KEY_TEXT, AT(resp_load, expect), .help = "A text that a good reply holds." },
    TIMEOUT_KEY(resp_load),
};
static const struct section_desc resp_section = { "resp", sizeof(struct resp_load), KEYS(resp_keys), NO_NODE, NO_NAME,
                                                  .help = "Load over RESP, the Redis protocol." };

static const struct key_desc tcp_keys[] = {
    { "url", KEY_TEXT, AT(tcp_load, url), .required = true, .help = "tcp://HOST:PORT." },
    { "send", KEY_TEXT, AT(tcp_load, send), .help = "What each request sends." },
    { "bytes", VALUE(UNIT_SIZE, 0, INT64_C(1) << 30, 0), AT(tcp_load, bytes), .help = "A reply is so many bytes long." },
    { "until", KEY_TEXT, AT(tcp_load, until), .help = "A reply ends with this text. Without bytes and until each request has its own connection." },
    { "expect", KEY_TEXT, AT(tcp_load, expect), .help = "A text that a good reply holds; without bytes and until it also ends the reply." },
    TIMEOUT_KEY(tcp_load),
};
static const struct section_desc tcp_section = { "tcp", sizeof(struct tcp_load), KEYS(tcp_keys), NO_NODE, NO_NAME,
                                                 .help = "Requests and replies over TCP." };

static const struct key_desc udp_keys[] = {
    { "url", KEY_TEXT, AT(udp_load, url), .required = true, .help = "udp://HOST:PORT." },
    { "send", KEY_TEXT, AT(udp_load, send), .help = "The datagram of each request." },
    { "hex", KEY_TEXT, AT(udp_load, hex), .help = "In place of send: the datagram as hex digits." },
    { "token-at", VALUE(UNIT_COUNT, 0, 65000, 0), AT(udp_load, token_at), .help = "Where in the datagram the request's token goes." },
    { "token-bytes", VALUE(UNIT_COUNT, 0, 16, 0), AT(udp_load, token_bytes), .help = "So many bytes there become the token that a reply must bear; 0: none, each request has its own socket. With send they are hex digits." },
    { "reply-token-at", VALUE(UNIT_COUNT, 0, 65000, ABSENT), AT(udp_load, reply_token_at), .help = "Where the reply has it. Default token-at." },
    { "expect", KEY_TEXT, AT(udp_load, expect), .help = "A text that a good reply holds." },
    TIMEOUT_KEY(udp_load),
};
static const struct section_desc udp_section = { "udp", sizeof(struct udp_load), KEYS(udp_keys), NO_NODE, NO_NAME,
                                                 .help = "Requests and replies over UDP." };

static const struct key_desc postgres_keys[] = {
    { "url", KEY_TEXT, AT(postgres_load, url), .required = true, .help = "postgres://USER:PASSWORD@HOST:PORT/DATABASE." },
    { "query", KEY_TEXT, AT(postgres_load, query), .help = "What is asked, by the simple query protocol. Default SELECT 1." },
    { "value", KEY_TEXT, AT(postgres_load, value), .help = "What the first value of the first row is, exactly." },
    { "expect", KEY_TEXT, AT(postgres_load, expect), .help = "A text that the first value of the first row holds." },
    TIMEOUT_KEY(postgres_load),
};
static const struct section_desc postgres_section = { "postgres", sizeof(struct postgres_load), KEYS(postgres_keys), NO_NODE, NO_NAME,
                                                      .help = "Queries to PostgreSQL." };

static const struct key_desc command_keys[] = {
    { "run", KEY_TEXTS, AT(command_load, run), .required = true, .help = "Program and arguments. It starts with the load and is asked to end with it: SIGTERM; wrk and k6 SIGINT." },
    { "format", VALUE(UNIT_ENUM, 0, 2, 0), AT(command_load, format), .words = LOAD_FORMAT_WORDS,
      .help = "What it prints. json: a line a request, {\"planned\": s, \"t\": s, \"latency_ms\": n, \"ok\": true}; wrk: its text; k6: its summary as JSON. The last two tell totals only." },
    { "timeout", VALUE(UNIT_DURATION, 0, 600 * SECOND, 0), AT(command_load, timeout), .help = "json: slower requests have failed, counted from the planned instant. 0: as the command says." },
};
static const struct section_desc command_section = { "command", sizeof(struct command_load), KEYS(command_keys), NO_NODE, NO_NAME,
                                                     .help = "Load by another generator, whose output is read." };

static const struct key_desc request_keys[] = {
    { "weight", VALUE(UNIT_COUNT, 1, 1000000, 1), AT(request, weight), .help = "How often, beside the others' weights." },
    { "url", KEY_TEXT, AT(request, url), .help = "http." },
    { "method", KEY_TEXT, AT(request, method), .help = "http." },
    { "headers", KEY_PAIRS, AT(request, headers), .words = ": ", .help = "http: in place of the load's." },
    { "body", KEY_TEXT, AT(request, body), .help = "http." },
    { "status", KEY_TEXTS, AT(request, status), .help = "http." },
    { "json", KEY_PAIRS, AT(request, json), .words = "=", .help = "http." },
    { "command", KEY_TEXTS, AT(request, command), .help = "resp." },
    { "send", KEY_TEXT, AT(request, send), .help = "tcp, udp." },
    { "query", KEY_TEXT, AT(request, query), .help = "postgres." },
    { "value", KEY_TEXT, AT(request, value), .help = "postgres." },
    { "expect", KEY_TEXT, AT(request, expect), .help = "A text that a good reply holds." },
};
static const struct section_desc request_section = { "request", sizeof(struct request), KEYS(request_keys), offsetof(struct request, node),
                                                     NO_NAME, .help = "One request of a mix; what it does not say is as in the load." };

static const struct key_desc arrival_keys[] = {
    { "shape", VALUE(UNIT_ENUM, 0, 5, ARRIVAL_CONSTANT), AT(arrival_plan, shape), .words = ARRIVAL_SHAPE_WORDS,
      .help = "constant; ramp, step and spike from rate to `to`; rates and instants as recorded in `file`." },
    { "spacing", VALUE(UNIT_ENUM, 0, 1, 0), AT(arrival_plan, spacing), .words = "even poisson", .help = "Poisson draws by the seed." },
    { "to", VALUE(UNIT_FREQUENCY, 0, 1000000000, ABSENT), AT(arrival_plan, to), .help = "ramp, step, spike: to this rate." },
    { "at", VALUE(UNIT_DURATION, 0, DAY, 0), AT(arrival_plan, at), .help = "ramp, step, spike: when it begins, from the start of the load." },
    { "for", VALUE(UNIT_DURATION, MILLISECOND, DAY, ABSENT), AT(arrival_plan, length), .help = "ramp: how long it climbs; spike: how long it lasts." },
    { "file", KEY_TEXT, AT(arrival_plan, file), .help = "rates: requests of each second, a line each; instants: seconds from the start." },
};
static const struct section_desc arrival_section = { "arrival", sizeof(struct arrival_plan), KEYS(arrival_keys), NO_NODE, NO_NAME,
                                                     .help = "When requests are due." };

static const struct key_desc load_keys[] = {
    { "http", KEY_SECTION, AT(workload, http), .section = &http_section, .help = "HTTP requests." },
    { "resp", KEY_SECTION, AT(workload, resp), .section = &resp_section, .help = "Redis commands." },
    { "tcp", KEY_SECTION, AT(workload, tcp), .section = &tcp_section, .help = "Bytes over TCP." },
    { "udp", KEY_SECTION, AT(workload, udp), .section = &udp_section, .help = "Datagrams." },
    { "postgres", KEY_SECTION, AT(workload, postgres), .section = &postgres_section, .help = "SQL queries." },
    { "command", KEY_SECTION, AT(workload, command), .section = &command_section, .help = "Another load generator." },
    { "requests", KEY_LIST, AT(workload, requests), .section = &request_section, .help = "A mix: each request is one of these, by weight and seed." },
    { "arrival", KEY_SECTION, AT(workload, arrival), .section = &arrival_section, .help = "When requests are due. Default: evenly, at `rate`." },
    { "rate", VALUE(UNIT_FREQUENCY, 1, 1000000000, ABSENT), AT(workload, rate), .help = "Requests planned per second; needed but for recordings and commands. Of a command: what it is told to plan; a plan that falls short of it makes the load unfit." },
    { "control-of", KEY_TEXT, AT(workload, control_of), .help = "A load whose undisturbed twin this one asks, at the same instants: that load is judged against it." },
    { "connections", VALUE(UNIT_COUNT, 1, 16384, 0), AT(workload, connections), .help = "At most so many connections (HTTP/2: requests on the way); 0 chooses." },
};
const struct section_desc load_section = { "load", sizeof(struct workload), KEYS(load_keys), offsetof(struct workload, node),
                                           offsetof(struct workload, name), .help = "Open-loop load: the measuring stick." };
