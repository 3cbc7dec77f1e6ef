/* Probes of a playbook: a kind is a section here, its keys in keys_probe.c, its row in check_probes.c, its reading in controller/probe
 * (or, where the run itself knows the number, in controller/run). `field` is the enum beside it, in the order of its words. */
#ifndef PERTURB_PLAYBOOK_PROBES_H
#define PERTURB_PLAYBOOK_PROBES_H

#include "scenarios/base/units.h"
#include "scenarios/playbook/lists.h"

struct node;

enum probe_kind {
    PROBE_PROC,
    PROBE_COMMAND,
    PROBE_JSON,
    PROBE_HTTP,
    PROBE_TCP,
    PROBE_PROCESS,
    PROBE_FILE,
    PROBE_LOG,
    PROBE_PROMETHEUS,
    PROBE_ALERTMANAGER,
    PROBE_REDIS,
    PROBE_POSTGRES,
    PROBE_PROXY,  /* the engine tells: its executors' counters */
    PROBE_FAULT,  /* so */
    PROBE_HEALTH, /* so: of other signals */
    PROBE_KINDS
};

#define PROC_FIELD_WORDS "tasks descriptors rss cpu processes"
enum proc_field { PROC_TASKS, PROC_DESCRIPTORS, PROC_RSS, PROC_CPU, PROC_PROCESSES };

struct proc_probe {
    const char *target;
    int64_t field;
};

struct command_probe {
    struct text_list run;
    const char *path; /* into its output as JSON; NULL: the first number */
};

struct json_probe {
    const char *url, *path;
};

#define HTTP_FIELD_WORDS "latency status up"
enum http_field { HTTP_LATENCY, HTTP_STATUS, HTTP_UP };

struct http_probe {
    const char *url, *expect;
    struct text_list headers; /* "Name: value" */
    struct text_list status;  /* "200", "200-299"; checked */
    int64_t field;
};

#define TCP_FIELD_WORDS "latency up"
enum tcp_field { TCP_LATENCY, TCP_UP };

struct tcp_probe {
    const char *address;
    int64_t field;
};

#define PROCESS_FIELD_WORDS "up restarts"
enum process_field { PROCESS_UP, PROCESS_RESTARTS };

struct process_probe {
    const char *target;
    int64_t field;
};

struct file_probe {
    const char *path, *pattern; /* pattern NULL: the first number */
};

/* A row of extracts.def each; what they read is said there. */
enum log_extract {
#define EXTRACT(id, name, unit, better, help) EXTRACT_##id,
#include "scenarios/playbook/extracts.def"
#undef EXTRACT
    EXTRACT_COUNT
};

struct log_probe {
    const char *target, *path; /* one of them */
    const char *pattern;       /* this, or: */
    int64_t extract;           /* enum log_extract; ABSENT */
};

struct prometheus_probe {
    const char *url, *query;
    struct text_list headers; /* "Name: value" */
};

struct alertmanager_probe {
    const char *url;
    struct text_list match, headers; /* matchers (scenarios/base/matcher.h); "Name: value" */
    int64_t silenced, detects;       /* 1: silenced and inhibited ones count too; the first is the instant of detection */
};

struct redis_probe {
    const char *url, *field, *user, *password;
};

struct postgres_probe {
    const char *connection, *query;
};

#define PROXY_FIELD_WORDS "open connections failed attempts bytes bytes_to_upstream bytes_to_client held"
enum proxy_field { PROXY_OPEN, PROXY_CONNECTIONS, PROXY_FAILED, PROXY_ATTEMPTS, PROXY_BYTES, PROXY_TO_UPSTREAM, PROXY_TO_CLIENT, PROXY_HELD };

struct proxy_probe {
    const char *proxy;
    int64_t field;
};

#define FAULT_FIELD_WORDS "fired matched eligible skipped"
enum fault_field { FAULT_FIRED, FAULT_MATCHED, FAULT_ELIGIBLE, FAULT_SKIPPED };

struct fault_probe {
    const char *fault; /* name of a rule */
    int64_t field;
};

/* One signal of a health score: 1 at `good` and beyond, 0 at `bad` and beyond, linear between. */
struct health_part {
    const struct node *node;
    const char *signal_text, *good_text, *bad_text;
    const struct signal *signal; /* checked */
    int64_t good, bad;           /* in the signal's unit */
    int64_t weight;              /* thousandths */
    int64_t without_data;        /* 0: the whole is unknown; 1: it counts as bad */
};

struct health_probe {
    struct section_list of; /* struct health_part */
    int64_t window;
};

#define PROBE_UNIT_WORDS "number count bytes seconds share per_s bytes_per_s"

struct probe {
    const char *name;
    const struct node *node;
    struct proc_probe proc;
    struct command_probe command;
    struct json_probe json;
    struct http_probe http;
    struct tcp_probe tcp;
    struct process_probe process;
    struct file_probe file;
    struct log_probe log;
    struct prometheus_probe prometheus;
    struct alertmanager_probe alertmanager;
    struct redis_probe redis;
    struct postgres_probe postgres;
    struct proxy_probe proxy;
    struct fault_probe fault;
    struct health_probe health;
    int64_t every, timeout;
    int64_t backlog; /* 1: work that waits, of which the time to drain is told */
    int64_t unit_word, better; /* better: 0 lower, 1 higher */
    enum probe_kind kind; /* which of the sections was given */
    enum unit unit;
};

#endif
