/* The keys of a probe. */
#include "scenarios/playbook/keys.h"

static const struct key_desc proc_keys[] = {
    { "target", KEY_TEXT, AT(proc_probe, target), .required = true, .help = "Whose processes: a target that is spawned, or has a pid, unit or cgroup." },
    { "field", VALUE(UNIT_ENUM, 0, 4, 0), AT(proc_probe, field), .words = PROC_FIELD_WORDS,
      .help = "Threads, open descriptors, resident bytes, CPUs' worth of time used, or processes; summed over the target and its children." },
};
static const struct section_desc proc_section = { "proc", sizeof(struct proc_probe), KEYS(proc_keys), NO_NODE, NO_NAME,
                                                  .help = "What the kernel tells of a target." };

static const struct key_desc command_keys[] = {
    { "run", KEY_TEXTS, AT(command_probe, run), .required = true, .help = "Program and arguments. It failed unless it ends with status 0 in time." },
    { "path", KEY_TEXT, AT(command_probe, path), .help = "Where in its output, which then is JSON, the number lies: a.b[0].c. Default: the first number it prints." },
};
static const struct section_desc command_section = { "command", sizeof(struct command_probe), KEYS(command_keys), NO_NODE, NO_NAME,
                                                     .help = "What a program prints." };

static const struct key_desc json_keys[] = {
    { "url", KEY_TEXT, AT(json_probe, url), .required = true, .help = "An endpoint that answers with JSON: expvar, actuator, anyone's." },
    { "path", KEY_TEXT, AT(json_probe, path), .required = true, .help = "Where the number lies: memstats.HeapAlloc, pools[0].active." },
};
static const struct section_desc json_section = { "json", sizeof(struct json_probe), KEYS(json_keys), NO_NODE, NO_NAME,
                                                  .help = "A number in a JSON document." };

static const struct key_desc http_keys[] = {
    { "url", KEY_TEXT, AT(http_probe, url), .required = true, .help = "What is asked for, on a connection of its own each time." },
    { "field", VALUE(UNIT_ENUM, 0, 2, 0), AT(http_probe, field), .words = HTTP_FIELD_WORDS,
      .help = "Time to the whole answer (an answer that is not good is no data), its status, or whether it is good: 1 or 0." },
    { "headers", KEY_PAIRS, AT(http_probe, headers), .words = ": ", .help = "Headers of the request." },
    { "status", KEY_TEXTS, AT(http_probe, status), .help = "Statuses that are good: 200 or 200-299 (the default)." },
    { "expect", KEY_TEXT, AT(http_probe, expect), .help = "A text that a good answer holds." },
};
static const struct section_desc http_section = { "http-probe", sizeof(struct http_probe), KEYS(http_keys), NO_NODE, NO_NAME,
                                                  .help = "How a URL answers." };

static const struct key_desc tcp_keys[] = {
    { "address", KEY_TEXT, AT(tcp_probe, address), .required = true, .help = "HOST:PORT." },
    { "field", VALUE(UNIT_ENUM, 0, 1, 0), AT(tcp_probe, field), .words = TCP_FIELD_WORDS, .help = "Time until it accepts, or whether it does: 1 or 0." },
};
static const struct section_desc tcp_section = { "tcp-probe", sizeof(struct tcp_probe), KEYS(tcp_keys), NO_NODE, NO_NAME,
                                                 .help = "How an address accepts connections." };

static const struct key_desc process_keys[] = {
    { "target", KEY_TEXT, AT(process_probe, target), .required = true, .help = "A target that is spawned, or has a pid, unit or cgroup." },
    { "field", VALUE(UNIT_ENUM, 0, 1, 0), AT(process_probe, field), .words = PROCESS_FIELD_WORDS,
      .help = "Whether it runs: 1 or 0; or how often another process has taken its place so far." },
};
static const struct section_desc process_section = { "process-probe", sizeof(struct process_probe), KEYS(process_keys), NO_NODE, NO_NAME,
                                                     .help = "Whether a target runs." };

static const struct key_desc file_keys[] = {
    { "path", KEY_TEXT, AT(file_probe, path), .required = true, .help = "The file, read whole each time." },
    { "pattern", KEY_TEXT, AT(file_probe, pattern), .help = "PCRE2; its first group is the number, and the first match counts. Default: the first number." },
};
static const struct section_desc file_section = { "file-probe", sizeof(struct file_probe), KEYS(file_keys), NO_NODE, NO_NAME,
                                                  .help = "A number in a file." };

#define EXTRACT(id, name, unit, better, help) " " name
static const char extract_words[] =
#include "scenarios/playbook/extracts.def"
    ;
#undef EXTRACT

static const struct key_desc log_keys[] = {
    { "target", KEY_TEXT, AT(log_probe, target), .help = "Whose output: a target that is spawned." },
    { "path", KEY_TEXT, AT(log_probe, path), .help = "In its place, a file: followed from its end, through rotation and truncation." },
    { "pattern", KEY_TEXT, AT(log_probe, pattern), .help = "PCRE2, line by line: its first group is the number. Without a group, lines are counted from the start of the load." },
    { "extract", VALUE(UNIT_ENUM, 0, EXTRACT_COUNT - 1, ABSENT), AT(log_probe, extract), .words = extract_words + 1, .help = "In its place, a ready-made reading of a well-known log." },
};
static const struct section_desc log_section = { "log-probe", sizeof(struct log_probe), KEYS(log_keys), NO_NODE, NO_NAME,
                                                 .help = "Numbers in lines as they are written." };

static const struct key_desc prometheus_keys[] = {
    { "url", KEY_TEXT, AT(prometheus_probe, url), .required = true, .help = "Of the server: http://HOST:9090." },
    { "query", KEY_TEXT, AT(prometheus_probe, query), .required = true, .help = "An instant query that yields one number. None, NaN and infinities are no data." },
    { "headers", KEY_PAIRS, AT(prometheus_probe, headers), .words = ": ", .help = "Headers of the request, such as Authorization." },
};
static const struct section_desc prometheus_section = { "prometheus-probe", sizeof(struct prometheus_probe), KEYS(prometheus_keys), NO_NODE, NO_NAME,
                                                        .help = "What a Prometheus answers." };

static const struct key_desc alertmanager_keys[] = {
    { "url", KEY_TEXT, AT(alertmanager_probe, url), .required = true, .help = "Of the alert manager: http://HOST:9093." },
    { "match", KEY_TEXTS, AT(alertmanager_probe, match), .required = true, .help = "Matchers that an alert fits, all of them: name=value, name!=value, name=~regex, name!~regex." },
    { "silenced", VALUE(UNIT_BOOL, 0, 1, 0), AT(alertmanager_probe, silenced), .help = "Those that are silenced or inhibited count too." },
    { "detects", VALUE(UNIT_BOOL, 0, 1, 0), AT(alertmanager_probe, detects),
      .help = "The first alert after the injection is the instant of detection, where none fired before it." },
    { "headers", KEY_PAIRS, AT(alertmanager_probe, headers), .words = ": ", .help = "Headers of the request, such as Authorization." },
};
static const struct section_desc alertmanager_section = { "alertmanager-probe", sizeof(struct alertmanager_probe), KEYS(alertmanager_keys), NO_NODE, NO_NAME,
                                                          .help = "How many alerts fire." };

static const struct key_desc redis_keys[] = {
    { "url", KEY_TEXT, AT(redis_probe, url), .required = true, .help = "redis://HOST:PORT." },
    { "field", KEY_TEXT, AT(redis_probe, field), .required = true, .help = "Of INFO: used_memory, connected_clients; of a field with parts: db0.keys." },
    { "user", KEY_TEXT, AT(redis_probe, user), .help = "To log in as, with a password." },
    { "password", KEY_TEXT, AT(redis_probe, password), .help = "To log in with: ${env.NAME}." },
};
static const struct section_desc redis_section = { "redis-probe", sizeof(struct redis_probe), KEYS(redis_keys), NO_NODE, NO_NAME,
                                                   .help = "What a Redis tells of itself." };

static const struct key_desc postgres_keys[] = {
    { "connection", KEY_TEXT, AT(postgres_probe, connection), .required = true, .help = "As libpq takes it: postgresql://USER@HOST/DATABASE, or host=... dbname=..." },
    { "query", KEY_TEXT, AT(postgres_probe, query), .required = true, .help = "SQL; the number is in the first column of the first row." },
};
static const struct section_desc postgres_section = { "postgres-probe", sizeof(struct postgres_probe), KEYS(postgres_keys), NO_NODE, NO_NAME,
                                                      .help = "What a PostgreSQL answers." };

static const struct key_desc proxy_keys[] = {
    { "proxy", KEY_TEXT, AT(proxy_probe, proxy), .required = true, .help = "Which proxy: an edge between two services." },
    { "field", VALUE(UNIT_ENUM, 0, 7, 0), AT(proxy_probe, field), .words = PROXY_FIELD_WORDS,
      .help = "Connections open now; so far: connections, failed connects upstream, attempts, bytes passed on; bytes held now." },
};
static const struct section_desc proxy_section = { "proxy-probe", sizeof(struct proxy_probe), KEYS(proxy_keys), NO_NODE, NO_NAME,
                                                   .help = "A counter of a proxy of this playbook." };

static const struct key_desc fault_keys[] = {
    { "fault", KEY_TEXT, AT(fault_probe, fault), .required = true, .help = "Which step of the method: its name, else the fault's." },
    { "field", VALUE(UNIT_ENUM, 0, 3, 0), AT(fault_probe, field), .words = FAULT_FIELD_WORDS, .help = "Events so far on which it acted, matched, was eligible, or had spent its budget." },
};
static const struct section_desc fault_section = { "fault-probe", sizeof(struct fault_probe), KEYS(fault_keys), NO_NODE, NO_NAME,
                                                   .help = "A counter of a fault of this playbook, inside a target, on the wire or of the host." };

static const struct key_desc part_keys[] = {
    { "signal", KEY_TEXT, AT(health_part, signal_text), .required = true, .help = "As in the hypothesis, of a load or another probe." },
    { "good", KEY_TEXT, AT(health_part, good_text), .required = true, .help = "Counts as 1 from here on." },
    { "bad", KEY_TEXT, AT(health_part, bad_text), .required = true, .help = "Counts as 0 from here on." },
    { "weight", VALUE(UNIT_RATIO, 1, 1000000, 1000), AT(health_part, weight), .help = "Of it among the others." },
    { "without-data", VALUE(UNIT_ENUM, 0, 1, 0), AT(health_part, without_data), .words = "unknown bad", .help = "What no data makes of it: the score unknown, or this part 0." },
};
static const struct section_desc part_section = { "health-part", sizeof(struct health_part), KEYS(part_keys), offsetof(struct health_part, node), NO_NAME,
                                                  .help = "One signal of the score." };

static const struct key_desc health_keys[] = {
    { "of", KEY_LIST, AT(health_probe, of), .section = &part_section, .required = true, .help = "The signals, each linear between bad and good." },
    { "for", VALUE(UNIT_DURATION, 100 * MILLISECOND, 3600 * SECOND, SECOND), AT(health_probe, window),
      .help = "Window that each signal is taken over; at least two readings of a probe." },
};
static const struct section_desc health_section = { "health-probe", sizeof(struct health_probe), KEYS(health_keys), NO_NODE, NO_NAME,
                                                    .help = "A score of 0 to 100% over other signals, their weighted mean." };

static const struct key_desc probe_keys[] = {
    { "proc", KEY_SECTION, AT(probe, proc), .section = &proc_section, .help = "What the kernel tells of a target." },
    { "command", KEY_SECTION, AT(probe, command), .section = &command_section, .help = "What a program prints." },
    { "json", KEY_SECTION, AT(probe, json), .section = &json_section, .help = "A number in a JSON document." },
    { "http", KEY_SECTION, AT(probe, http), .section = &http_section, .help = "How a URL answers." },
    { "tcp", KEY_SECTION, AT(probe, tcp), .section = &tcp_section, .help = "How an address accepts connections." },
    { "process", KEY_SECTION, AT(probe, process), .section = &process_section, .help = "Whether a target runs." },
    { "file", KEY_SECTION, AT(probe, file), .section = &file_section, .help = "A number in a file." },
    { "log", KEY_SECTION, AT(probe, log), .section = &log_section, .help = "Numbers in lines as they are written." },
    { "prometheus", KEY_SECTION, AT(probe, prometheus), .section = &prometheus_section, .help = "What a Prometheus answers." },
    { "alertmanager", KEY_SECTION, AT(probe, alertmanager), .section = &alertmanager_section, .help = "How many alerts fire." },
    { "redis", KEY_SECTION, AT(probe, redis), .section = &redis_section, .help = "What a Redis tells of itself." },
    { "postgres", KEY_SECTION, AT(probe, postgres), .section = &postgres_section, .help = "What a PostgreSQL answers." },
    { "proxy", KEY_SECTION, AT(probe, proxy), .section = &proxy_section, .help = "A counter of a proxy." },
    { "fault", KEY_SECTION, AT(probe, fault), .section = &fault_section, .help = "A counter of a fault." },
    { "health", KEY_SECTION, AT(probe, health), .section = &health_section, .help = "A score over other signals." },
    { "every", VALUE(UNIT_DURATION, 10 * MILLISECOND, 3600 * SECOND, SECOND), AT(probe, every), .help = "Time from one sample's planned start to the next." },
    { "timeout", VALUE(UNIT_DURATION, MILLISECOND, 600 * SECOND, SECOND), AT(probe, timeout), .help = "A sample that takes longer has failed." },
    { "unit", VALUE(UNIT_ENUM, 0, 6, 0), AT(probe, unit_word), .words = PROBE_UNIT_WORDS,
      .help = "Of its value, and so of its bounds; of json, command, file, log by pattern, prometheus, redis, postgres." },
    { "better", VALUE(UNIT_ENUM, 0, 1, ABSENT), AT(probe, better), .words = "lower higher", .help = "Which side is good. Default: as the kind has it, else lower." },
    { "backlog", VALUE(UNIT_BOOL, 0, 1, 0), AT(probe, backlog), .help = "It counts work that waits: the report tells how long it took to drain once the service was back." },
};
const struct section_desc probe_section = { "probe", sizeof(struct probe), KEYS(probe_keys), offsetof(struct probe, node),
                                            offsetof(struct probe, name), .help = "A number that is read again and again: exactly one of its kinds is given." };
