/* A playbook as checked, typed values (DESIGN section 6). Sections are described by tables of keys (playbook.c), which the
 * parser, the unknown-key messages, the JSON Schema and the reference all walk.
 *
 * Texts and arrays live in the document's arena. Numbers that were not given hold ABSENT; texts NULL. Times are ns, shares ppm,
 * rates millihertz. */
#ifndef PERTURB_PLAYBOOK_PLAYBOOK_H
#define PERTURB_PLAYBOOK_PLAYBOOK_H

#include "scenarios/playbook/probes.h"
#include "scenarios/playbook/spec.h"
#include "scenarios/playbook/variables.h"

#include <stdbool.h>

struct ready_probe {
    const char *tcp, *http; /* one of them */
    int64_t timeout;
};

enum target_backend { TARGET_BACKEND_AUTO, TARGET_BACKEND_PRELOAD, TARGET_BACKEND_SECCOMP }; /* in the order of the key's words */

struct lock_watch {
    int64_t watch; /* 1: waits, holders and orders are noted */
    int64_t snapshot_after;
    int64_t breaks;  /* 0 off, 1 edeadlk, 2 crash: the order of the key's words */
    int64_t profile; /* 0: none; one in so many is timed */
};

struct target {
    const char *name; /* key in `targets` */
    const struct node *node;
    struct text_list command;
    struct text_list env; /* "KEY=value" */
    const char *directory;
    int64_t pid;
    const char *unit, *cgroup, *address;
    struct ready_probe ready;
    int64_t shim; /* 1: load libperturb.so though no fault asks for it */
    int64_t backend; /* enum target_backend */
    struct lock_watch locks;
    int64_t attach;  /* 1: a target that already runs is attached for call faults, and detached at the end */
};

enum capture_via { CAPTURE_VIA_AUTO, CAPTURE_VIA_NFTABLES, CAPTURE_VIA_SHIM };

/* Which connects of this machine's programs go through the proxy, though nobody told the programs so. */
struct capture {
    struct text_list tcp, to; /* as written: ports, CIDRs */
    const char *unit, *cgroup, *uid, *target; /* whose; at most one, none is everybody's */
    int64_t via; /* enum capture_via */
    uint16_t ports[CAPTURE_PORTS_MAX];
    size_t port_count;
    struct address_match networks[CAPTURE_NETWORKS_MAX];
    size_t network_count;
};

struct proxy {
    const char *name;
    const struct node *node;
    const char *listen, *upstream; /* NULL where it captures */
    bool captures;
    struct capture capture;
    int64_t protocol; /* enum protocol */
    int64_t idle;     /* ns, UDP: a session nobody used for so long ends */
};

/* ---- loads: a table of kinds in check_loads.c, their keys in keys_load.c ---- */

enum load_kind { WORKLOAD_HTTP, WORKLOAD_RESP, WORKLOAD_TCP, WORKLOAD_UDP, WORKLOAD_POSTGRES, WORKLOAD_COMMAND, WORKLOAD_KINDS };

struct http_load {
    const char *url, *method, *body;
    struct text_list headers; /* "Name: value" */
    struct text_list status;  /* "200", "200-299" */
    struct text_list json;    /* "PATH=value" */
    const char *expect, *version, *ca;
    int64_t insecure;
    int64_t timeout;
};

struct resp_load {
    const char *url;
    struct text_list command;
    const char *expect;
    int64_t timeout;
};

struct tcp_load {
    const char *url, *send, *expect, *until;
    int64_t bytes;
    int64_t timeout;
};

struct udp_load {
    const char *url, *send, *hex, *expect;
    int64_t token_at, token_bytes, reply_token_at; /* ABSENT: as token_at */
    int64_t timeout;
};

struct postgres_load {
    const char *url, *query, *value, *expect;
    int64_t timeout;
};

/* A load generator of others. */
#define LOAD_FORMAT_WORDS "json wrk k6"
struct command_load {
    struct text_list run;
    int64_t format; /* index into LOAD_FORMAT_WORDS */
    int64_t timeout; /* ns; 0: as the generator judges */
};

/* One request of a mix: what it does not say is as in the load's section. */
struct request {
    const struct node *node;
    int64_t weight;
    const char *url, *method, *body, *send, *query, *value, *expect;
    struct text_list headers, status, json, command;
    uint16_t status_min, status_max; /* of `status`; 0: as in the load */
};

#define ARRIVAL_SHAPE_WORDS "constant ramp step spike rates instants"
enum arrival_shape { ARRIVAL_CONSTANT, ARRIVAL_RAMP, ARRIVAL_STEP, ARRIVAL_SPIKE, ARRIVAL_RATES, ARRIVAL_INSTANTS };

struct arrival_plan {
    int64_t shape;   /* enum arrival_shape */
    int64_t spacing; /* 1: Poisson */
    int64_t to;      /* millihertz */
    int64_t at, length;
    const char *file;
};

struct workload {
    const char *name;
    const struct node *node;
    struct http_load http;
    struct resp_load resp;
    struct tcp_load tcp;
    struct udp_load udp;
    struct postgres_load postgres;
    struct command_load command;
    struct section_list requests; /* struct request */
    struct arrival_plan arrival;
    int64_t rate, connections; /* rate: millihertz, ABSENT where a recording has it, or a command says none */

    const char *control_of; /* the load whose undisturbed twin this is */
    size_t control;         /* of a load that has such a twin: the twin's index; else SIZE_MAX */

    enum load_kind kind; /* from here on found by check_loads */
    const char *url; /* NULL: a command */
    int64_t timeout; /* ns */
    uint16_t status_min, status_max;
    uint64_t hash; /* of its mix or its command, ports taken as equal; 0 without either */
};

/* It tells each request, so that there are series of it; else totals at its end. */
static inline bool workload_has_series(const struct workload *load)
{
    return load->kind != WORKLOAD_COMMAND || load->command.format == 0;
}

enum signal_kind { SIGNAL_GOODPUT, SIGNAL_ERRORS, SIGNAL_RATE, SIGNAL_QUANTILE, SIGNAL_PROBE };

/* What to make of a probe's samples in a window. */
enum probe_stat { PROBE_MEAN, PROBE_MAX, PROBE_MIN, PROBE_LAST, PROBE_CHANGE, PROBE_UP, PROBE_QUANTILE };

/* LOAD.goodput, LOAD.errors (shares of planned requests), LOAD.rate (good per second), LOAD.p50 ... LOAD.p99.9 (latency);
 * PROBE (its mean), PROBE.max .min .last, PROBE.rate (change per second), PROBE.up (share of samples that did not fail), PROBE.p95. */
struct signal {
    const char *name;
    enum signal_kind kind;
    size_t load;  /* index into loads; SIZE_MAX for a probe */
    size_t probe; /* index into probes, SIGNAL_PROBE only */
    enum probe_stat stat;
    double quantile; /* 0.99 */
    enum unit unit;  /* of its bounds */
    bool higher_is_better;
};

static inline bool signal_is_of_load(const struct signal *signal)
{
    return signal->kind != SIGNAL_PROBE;
}

struct bound {
    const struct node *node;
    const char *signal_text, *min_text, *max_text;
    struct signal signal;
    int64_t min, max; /* ABSENT when not given */
};

/* What a guard does when it trips; bits. */
enum guard_action { GUARD_ABORT = 1, GUARD_RELEASE = 2, GUARD_CAPTURE = 4, GUARD_NOTIFY = 8 };
#define GUARD_ACTION_WORDS "abort release capture notify"

struct guard {
    const struct node *node;
    const char *signal_text, *above_text, *below_text;
    struct signal signal;
    int64_t above, below, hold; /* hold: "for", the window that is judged */
    int64_t every, breaches;    /* judged so often; trips at so many breaches in a row */
    struct text_list then, captures, notify;
    uint32_t actions; /* enum guard_action */
};

/* Evidence that is kept with the run: what a URL, a command or the kernel said at a moment. */
enum evidence_when { EVIDENCE_BEFORE = 1, EVIDENCE_DURING = 2, EVIDENCE_AFTER = 4 };
#define EVIDENCE_WHEN_WORDS "before during after"

struct evidence {
    const char *name;
    const struct node *node;
    const char *url, *proc, *stacks; /* one of them and the command; proc, stacks: a target */
    struct text_list command, when;
    int64_t at, timeout, size_max, samples;
    uint32_t moments; /* enum evidence_when; 0: only when a guard asks */
};

struct step {
    const struct node *node;
    const char *fault, *point, *proxy, *target;
    const char *hold;  /* in place of a fault; by the time it is checked it is in playbook.holds instead */
    int64_t otherwise; /* of a hold */
    int64_t at, duration; /* duration: "for"; ABSENT = until the end of the run */
    int64_t repeat, every; /* as written; by the time it is checked each repetition is a step of its own */
    int64_t repetition;    /* 0 is the first */
    struct fault_spec spec;
    enum layer layer;
};

/* A point of the method at which nothing further begins until somebody says go. What acts goes on, and is released in its time. */
enum { HOLD_ABORTS, HOLD_GOES_ON }; /* in the order of the key's words */
enum { HOLDS_MAX = 64 };
struct hold {
    const char *text;
    int64_t at, bound; /* ns; `at` as of a step, the holds before it not counted */
    int64_t otherwise;
};

struct rollback {
    const struct node *node;
    struct text_list command;
    int64_t timeout;
};

struct convergence_expectation {
    int64_t max, band, hold;
    int64_t bin;
    struct text_list signals;
    int64_t allow_new_level;
};

struct limit_expectation {
    int64_t max;
};

struct knee_expectation {
    int64_t min, under_fault; /* millihertz */
    int64_t hysteresis;       /* ppm of the knee before */
};

struct expectation {
    struct convergence_expectation convergence;
    struct limit_expectation loss;
    struct limit_expectation amplification; /* thousandths: 1500 is 1.5 attempts a request */
    struct knee_expectation knee;
    struct section_list during, after; /* struct bound: under the faults; in the last hold of the observation */
};

/* What is promised to users: what burns the budget, and what a ramp holds a step to. */
struct service_level {
    int64_t latency, quantile, objective, period; /* quantile and objective: ppm */
};

/* Load that is taken away when the service does not come back by itself. ABSENT: by the rigour. */
struct metastability {
    int64_t shed, duration;
};

enum ramp_when { RAMP_BEFORE = 1, RAMP_FAULT = 2, RAMP_AFTER = 4 };
#define RAMP_WHEN_WORDS "before under-fault after"
enum { RAMP_WATER_MAX = 8 };

/* The search for the most load that is served as promised. */
struct ramp {
    const char *load_name;
    int64_t from, to, steps, bisect, repeat, hold, settle, delta;
    struct text_list when, water;
    uint32_t moments; /* enum ramp_when; 0: there is no ramp */
    size_t load;
    struct signal water_signals[RAMP_WATER_MAX];
    size_t water_count;
};

/* ---- a game day ---- */

struct gameday_roles {
    const char *commander, *driver, *observer, *abort_owner;
};

struct gameday_goals {
    int64_t detect, acknowledge, mitigate;
};

struct gameday_findings {
    const char *owner;
    int64_t due;
};

struct gameday_section {
    const struct node *node; /* NULL: there is none */
    int64_t scenario;        /* 1: secret */
    struct gameday_roles roles;
    struct text_list checklist;
    struct gameday_goals goals;
    struct gameday_findings findings;
};

struct wire_options {
    int64_t precise;
};

struct playbook {
    struct document document;
    struct variables variables;
    char hash[17]; /* of the text and the overrides: FNV-1a, 16 hex digits */

    int64_t version;
    const char *title, *description, *service, *owner, *tier;
    struct text_list tags;
    int64_t rigour; /* 0 quick, 1 full */
    const char *seed_text;
    uint64_t seed;
    bool seed_given;
    int64_t warmup, observe, lease;

    struct section_list targets;   /* struct target */
    struct section_list proxies;   /* struct proxy */
    struct section_list loads;     /* struct workload */
    struct section_list probes;    /* struct probe */
    struct section_list evidence;  /* struct evidence: the key is `captures` */
    struct section_list hypothesis; /* struct bound */
    struct section_list method;    /* struct step */
    struct section_list holds;     /* struct hold, by `at` */
    struct section_list guards;    /* struct guard */
    struct section_list rollbacks; /* struct rollback */
    struct expectation expect;
    struct wire_options wire;
    struct service_level slo;
    struct metastability metastability;
    struct ramp ramp;
    struct gameday_section gameday;
    struct signal *signals; /* the deciding ones: expect.convergence.signals, else shares and rates of the hypothesis */
    size_t signal_count;
};

struct playbook_options {
    const struct variable_override *overrides;
    size_t override_count;
    uint16_t (*free_port)(void *context, const char *name);
    void *context;
};

/* Reads, expands and checks a whole file. 0; -EINVAL or -EIO with every error of the file added. playbook_done after either. */
int playbook_read(struct playbook *playbook, const char *file, const struct playbook_options *options, struct errs *errs);
int playbook_parse(struct playbook *playbook, const char *name, const char *text, size_t length, bool is_json,
                   const struct playbook_options *options, struct errs *errs);
void playbook_done(struct playbook *playbook); /* accepts a zeroed one */

/* Finders by name; NULL when absent. */
const struct target *playbook_target(const struct playbook *playbook, const char *name);
const struct proxy *playbook_proxy(const struct playbook *playbook, const char *name);

/* Resolves "LOAD.goodput" and the like. 0, or -EINVAL with an error added at `node`. */
int playbook_signal(const struct playbook *playbook, const struct node *node, const char *text, struct signal *ret_signal,
                    struct errs *errs);

#endif
