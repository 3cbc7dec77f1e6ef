/* The active faults as a flat, pointer-free, versioned image: what an executor is given and never changes.
 *
 * 1. A plan is immutable once published; a change is a new plan with a higher epoch.
 * 2. Executors refuse a plan whose epoch is not above the last they saw (ESTALE), whose version or size is not theirs
 *    (EPROTO), or that names an unknown fault, an out-of-range parameter or an unterminated text (EINVAL): `plan_check`.
 * 3. Time to live travels as a duration; an executor adds it to its own CLOCK_MONOTONIC. Past it, no rule acts.
 * The same image lies in the shims' control page, in the wire executor's loops and in messages. Shim-safe. */
#ifndef PERTURB_VOCAB_PLAN_H
#define PERTURB_VOCAB_PLAN_H

#include "scenarios/vocab/fault.h"

enum {
    PLAN_MAGIC = 0x50525442, /* "PRTB" */
    PLAN_VERSION = 4,
    PLAN_RULES_MAX = 1024,
    RULE_NAME_MAX = 48,
    RULE_SCOPE_MAX = 48,
    RULE_PATH_MAX = 128,
    RULE_CALLER_MAX = 96,
    RULE_THREAD_MAX = 16,
    RULE_HOST_MAX = 64,
    RULE_ERRORS_MAX = 8,
    RULE_ERRNO_MAX = 4095,
    RULE_LABEL_MAX = 64,
};

/* An address pattern: CIDR and a port range. family 0 matches any address; port_last 0 matches any port. */
struct address_match {
    uint16_t family; /* AF_INET, AF_INET6 or 0 */
    uint16_t prefix_bits;
    uint16_t port_first, port_last; /* host order, inclusive */
    uint8_t address[16];            /* network order; IPv4 in the first four */
    uint32_t negate;                /* 1: match what lies outside */
    uint32_t present;               /* 1: the selector was given */
};

struct selector {
    uint32_t probability_ppm; /* PPM is always */
    uint32_t observe;         /* 1: count, do not act */
    uint64_t first, last;     /* matches per stream that count, from 1; last 0 is no end. Datagrams: per session and direction */
    uint64_t nth;             /* every n-th of those; 1 is each */
    uint64_t budget;          /* times over all streams; 0 is no limit ("once" is 1) */
    uint64_t size_min, size_max;
    uint64_t from_ns, until_ns; /* since arming; until 0 is no end */
    uint64_t ramp_ns;
    int32_t fd; /* -1 is any */
    uint32_t direction; /* enum direction bits */
    uint32_t path_negate, thread_negate, caller_negate, host_negate, label_negate;
    uint32_t each_site;  /* call layer: 1: once at each call site */
    uint32_t active_max; /* stream layer: connections acted on at a time; 0 is no limit */
    char path[RULE_PATH_MAX]; /* "" is any */
    char thread[RULE_THREAD_MAX];
    char caller[RULE_CALLER_MAX]; /* module file name, or "symbol:" and the name of a function */
    char host[RULE_HOST_MAX]; /* in lower case */
    char label[RULE_LABEL_MAX];
    struct address_match peer, client;
};

struct rule_error {
    uint16_t error, weight; /* weight is at least 1 */
};

struct plan_rule {
    char name[RULE_NAME_MAX];   /* instance name, unique in the plan; draws depend on it and not on the place in the list */
    char scope[RULE_SCOPE_MAX]; /* which proxy or target it acts on; "" for all of the executor's */
    char to[RULE_SCOPE_MAX];    /* host layer: the other end, a target or an address; "" is all others */
    uint64_t name_hash;         /* rng_hash(name) */
    uint32_t fault;             /* enum fault_id */
    uint32_t error_any;   /* call layer: 1: an errno that the call can return (errnos.def), whatever the parameter says */
    uint32_t error_count; /* else, when not 0: one of `errors`, by their weights; the parameter is the first */
    struct rule_error errors[RULE_ERRORS_MAX];
    uint64_t points; /* call layer: BIT(point) */
    union fault_params params;
    struct selector selector;
};

struct plan {
    uint32_t magic, version;
    uint32_t rule_size; /* sizeof(struct plan_rule), so that a foreign build is recognised */
    uint32_t rule_count;
    uint64_t epoch;
    uint64_t seed;
    struct plan_rule rules[];
};

#define PLAN_SIZE(rule_count) (sizeof(struct plan) + (size_t)(rule_count) * sizeof(struct plan_rule))

/* What an executor reports of a rule. Instants are CLOCK_MONOTONIC ns, 0 when it never happened. */
struct rule_counts {
    uint64_t matched;  /* the predicates held */
    uint64_t eligible; /* and ordinal and time window too */
    uint64_t fired;    /* it acted (or would have, under observe) */
    uint64_t skipped;  /* eligible and drawn, but the budget was spent */
    uint64_t first_ns, last_ns;
};

struct rule_status {
    char name[RULE_NAME_MAX];
    struct rule_counts counts;
    uint64_t in_flight; /* calls asleep or bytes held right now */
};

/* Does it ask who made the call? Only the shim knows. */
static inline bool selector_asks_caller(const struct selector *selector)
{
    return selector->caller[0] || selector->each_site;
}

/* A rule with every selector at "any, always" and every parameter at its default. `name` may be NULL (the fault's name). */
void plan_rule_init(struct plan_rule *rule, const struct fault_desc *fault, const char *name);

/* Checks an image of `size` bytes that somebody else wrote. 0, -EPROTO, -EINVAL. */
int plan_check(const struct plan *plan, size_t size);

#endif
