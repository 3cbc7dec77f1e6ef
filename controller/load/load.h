/* The open-loop load generator: sends requests on a fixed plan and keeps one record of each.
 *
 * 1. Every request is *planned* at an instant that depends on nothing the server does. Latency, time limit and attribution count
 *    from that instant, so a stall shows in every request planned during it (no coordinated omission).
 * 2. When the connection cap is reached the request waits and ages, oldest first; if its time limit passes before a connection
 *    is free it is recorded as LOAD_DROPPED, which is a failure of the system (DESIGN section 8), not of the generator. A cap
 *    of rate x timeout (the default, up to 512) is never reached.
 * 3. The generator's own lateness is measured apart: how long after its plan the loop first looked at a request, and, where no
 *    connection was free, how long the loop itself had been busy without a rest. `load_is_fit` judges by this alone.
 * 4. One request is one attempt: nothing is sent twice, redirects are not followed, proxies of the environment are ignored.
 * 5. Every planned request ends as exactly one record: planned = records + waiting + in flight, at any time and at the end.
 * 6. A mixed request (`mix`) is chosen by the index alone, so that a run can be replayed.
 * 7. Host names are resolved once, in load_new: the generator measures the service, not the resolver.
 *
 * 8. A load of another generator (LOAD_COMMAND, outside.h) is its records alone: what it plans, sends and waits for is its own. Rules 2
 *    and 5 are not ours to keep then; load_outside says what it does not tell.
 *
 * One thread a load (the loop); all other functions belong to one owner thread. Instants are CLOCK_MONOTONIC ns.
 * curl_global_init(3) is called by load_new and never undone. */
#ifndef PERTURB_CONTROLLER_LOAD_LOAD_H
#define PERTURB_CONTROLLER_LOAD_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/base/err.h"

enum load_protocol { LOAD_HTTP, LOAD_RESP, LOAD_TCP, LOAD_UDP, LOAD_POSTGRES, LOAD_COMMAND };

/* Of LOAD_COMMAND: how what it prints is read. The first tells each request; the others tell totals at their end. */
enum load_format { LOAD_JSON_LINES, LOAD_WRK, LOAD_K6, LOAD_FORMATS };

enum load_outcome {
    LOAD_OK,
    LOAD_HTTP_STATUS,    /* a complete answer whose status is outside the expected range */
    LOAD_TIMEOUT,        /* sent, not answered by planned + timeout */
    LOAD_CONNECT_FAILED, /* no connection, for another reason than a refusal (unreachable, TLS) */
    LOAD_RESET,          /* the connection ended before the answer was complete: RST, early FIN, send error */
    LOAD_REFUSED,        /* ECONNREFUSED */
    LOAD_WRONG_REPLY,    /* complete but not what was expected: body, RESP error reply, bytes that are no HTTP or RESP */
    LOAD_DROPPED,        /* never sent: no connection became free by planned + timeout */
    LOAD_FAILED,         /* by the word of another generator, which says no more */
    LOAD_OUTCOMES /* how many there are */
};

/* "ok", "http_status", "timeout", ...: static text, also used as metric label. */
const char *load_outcome_name(enum load_outcome outcome);

/* The arrival plan: ns after the start at which request `index` (0, 1, 2, ...) is due; non-decreasing; UINT64_MAX = no more.
 * Must be pure: it is called again for the same index, from the loop's thread. */
typedef uint64_t load_plan_function(const void *context, uint64_t index);

/* Judges a whole answer: true when it is what was expected. Called from the loop's thread; `body` is NUL-terminated. */
typedef bool load_check_function(const void *context, const char *body, size_t length);

/* One request of a mix. Each request of a plan is one of them, by weight: a pure function of (seed, name, index). Fields that are
 * zero are as in the spec. */
struct load_request {
    uint32_t weight; /* 1..1,000,000; default 1 */
    const char *url; /* HTTP */
    const char *method;
    const char *const *headers;
    const char *body;
    size_t body_bytes;
    const char *const *command;
    const char *command_inline;
    uint16_t status_min, status_max;
    const char *expect_text, *expect_value;
    load_check_function *check;
    const void *check_context; /* borrowed until load_free */
};

enum { LOAD_MIX_MAX = 64, LOAD_KEPT_MAX = 1024 * 1024, LOAD_TOKEN_MAX = 16 };

/* What to send. Zero means the default named. load_new copies everything but what is said to be borrowed until load_free. */
struct load_spec {
    const char *name;   /* of the load in its run; keys the trace ids; default "load" */
    const char *run_id; /* X-Perturb-Run header; no such header when NULL */
    uint64_t seed;      /* of the run; keys the trace ids */

    enum load_protocol protocol;
    const char *url;              /* "http://...", "https://..."; "redis://HOST[:PORT]", port 6379 unless told; "tcp://HOST:PORT";
                                   * "udp://HOST:PORT"; "postgres://USER:PASSWORD@HOST:PORT/DATABASE", libpq's form */
    const char *method;           /* HTTP, default "GET", or "POST" when there is a body */
    const char *const *headers;   /* HTTP, "Name: value" each, NULL-terminated; default none */
    const char *body;             /* HTTP: default none. TCP, UDP: the bytes sent, default none. PostgreSQL: the query, default SELECT 1 */
    size_t body_bytes;
    const char *const *command;   /* RESP: words of the command, NULL-terminated ... */
    const char *command_inline;   /* ... or one inline command, "GET item:1", split at blanks by the server; default "PING" */

    uint16_t status_min, status_max; /* HTTP, expected; default 200..299 */
    const char *expect_text;         /* 1..1024 bytes that must occur in the body (RESP, TCP, UDP: in the raw reply; PostgreSQL: in
                                      * the first value of the first row); default anything */
    const char *expect_value;        /* PostgreSQL: the first value of the first row, exactly; default anything */
    load_check_function *check;      /* of the whole body, of which at most LOAD_KEPT_MAX bytes are kept: more is a wrong reply */
    const void *check_context;       /* borrowed until load_free */

    const char *const *run;  /* LOAD_COMMAND: program and arguments, NULL-terminated. It is asked to end (SIGTERM; wrk and k6 SIGINT) */
    enum load_format format; /* when the plan does, and ended with its process group 10 s later; its errors go to spill_directory */
    bool ends_itself;        /* its end is its own: an end before it was asked is none too early */

    const struct load_request *mix; /* default: one request, of the fields above */
    size_t mix_count;               /* 0..LOAD_MIX_MAX */

    uint8_t http_version;  /* 1 (the default) or 2: by ALPN with https://, by prior knowledge with http://. An answer by another
                            * version is a wrong reply. With 2, connections_max counts requests on the way, which share connections */
    const char *ca_file;   /* https://: trusted certificates, PEM; default the system's */
    bool is_insecure;      /* https://: any certificate will do */

    uint32_t reply_bytes;     /* TCP: a reply is so many bytes long ... */
    const char *reply_until;  /* ... or ends with this text, 1..1024 bytes. With neither, each request has a connection of its own and
                               * the reply ends with the expected text, or else with the connection */
    uint32_t token_at, token_bytes; /* UDP: token_bytes (0..16) at this place of the datagram become the request's own, and a reply
                               * counts only with the same at reply_token_at. With none, each request has a socket of its own */
    uint32_t reply_token_at;
    bool token_is_text;       /* the token is written as hex digits, else as bytes, big-endian */

    double rate_per_s;              /* 0 < rate <= 1e6, fixed spacing; with a plan: its highest rate, for the default of connections */
    load_plan_function *plan;       /* instead of the rate */
    const void *plan_context;
    uint64_t timeout_ns;            /* from the planned instant; default 1 s (LOAD_COMMAND: none); at most 10 minutes */
    uint32_t connections_max;       /* 1..16384; default: what rate x timeout can need, at least 16, at most 512 */
    uint64_t late_after_ns;         /* lateness of the loop (rule 3) above this, one bin, makes a request late; default 20 ms */
    uint64_t records_max;           /* default 20 million; further requests count but leave no record (`unrecorded`) */
    const char *spill_directory;    /* records are moved to an unlinked file there, 655 KiB at a time; default: they stay in memory */
};

/* One finished request; 40 bytes. */
struct load_record {
    uint64_t planned_ns;
    uint64_t sent_ns; /* a connection was given to it (connecting, if needed, counts as latency); 0 when it never was */
    uint64_t done_ns; /* answered, failed or given up */
    uint32_t index;   /* in the plan; see load_trace_id */
    uint32_t bytes;   /* of body received (RESP: of reply), saturating */
    uint16_t http_code; /* 0 when none was received */
    uint8_t outcome;    /* enum load_outcome */
    uint8_t reserved[5];
};

/* Counts since the start. Each is exact once load_stop returned; before, they are read one after the other while the loop runs. */
struct load_counters {
    uint64_t planned;   /* due so far and seen by the loop */
    uint64_t sent;
    uint64_t outcomes[LOAD_OUTCOMES];
    uint64_t ok;        /* = outcomes[LOAD_OK] */
    uint64_t failed;    /* the sum of the others */
    uint64_t waiting;   /* due, no connection free yet */
    uint64_t in_flight;
    uint64_t connects;  /* connections begun */
    uint64_t late;            /* requests for which the loop was late by more than late_after_ns */
    uint64_t lateness_max_ns; /* of the loop, over all requests */
    uint64_t unrecorded;
    uint64_t unplanned; /* requests of another generator that told no planned instant */
    uint64_t unread;    /* lines of it that were not understood */
    bool broke_off;     /* it ended before it was asked to, or could not be ended or read */
};

/* What another generator said of itself at its end. NaN: it does not say. */
enum { LOAD_QUANTILES_MAX = 8 };
struct load_quantile {
    double share, at_s;
};
struct load_totals {
    uint64_t requests, outcomes[LOAD_OUTCOMES];
    double mean_s, most_s, length_s;
    struct load_quantile quantile[LOAD_QUANTILES_MAX];
    size_t quantile_count;
};

struct load;

/* Checks `spec`, resolves the host, returns new in *ret_load. 0; -EINVAL or -EHOSTUNREACH with every finding in `errs`
 * (`where` is the field's name; class ERR_INPUT, ERR_WORLD for the resolver); -ENOMEM, -EMFILE and the like likewise. */
int load_new(const struct load_spec *spec, struct errs *errs, struct load **ret_load);

/* Starts the loop's thread; request 0 is planned at start_ns + plan(0) (constant rate: at start_ns). An instant in the past is
 * allowed and counts as lateness. 0, -EALREADY, -EAGAIN (no thread). */
int load_start(struct load *load, uint64_t start_ns);

/* Plans nothing after now, waits until everything planned has ended: at most one timeout. Idempotent; 0, or -EINVAL when the
 * load was never started. load_stop_at plans up to an instant instead and does not wait; a later load_stop does. */
int load_stop(struct load *load);
int load_stop_at(struct load *load, uint64_t stop_ns);

/* From `from_ns` (planned instants; in the future) on, only `keep_ppm` of each million planned requests exist: the others are never due,
 * never counted, never recorded. Which ones is a pure function of the index, spread evenly; the last instant given holds until the next.
 * Calls come in order of from_ns. 0; -EINVAL for an instant that has passed, is out of order or no share; -ENOSPC after LOAD_SHEDS_MAX;
 * -EOPNOTSUPP for LOAD_COMMAND. */
enum { LOAD_SHEDS_MAX = 512 };
int load_shed(struct load *load, uint64_t from_ns, uint32_t keep_ppm);

/* The loop has ended: nothing more is planned, everything planned has ended. True of a load that was never started. */
bool load_is_over(const struct load *load);

/* Of LOAD_COMMAND, once it is over: its totals, NULL where its format has none or it printed none; what is wrong with what it did,
 * as one sentence, "" for nothing. Borrowed until load_free. */
const struct load_totals *load_outside_totals(const struct load *load);
const char *load_outside_trouble(const struct load *load);

/* Stops if need be, frees; accepts NULL; returns NULL. */
struct load *load_free(struct load *load);

void load_counters(const struct load *load, struct load_counters *ret_counters);

/* How many requests were planned in [bin, bin + 1) x LOAD_BIN_NS from the start, as far as the loop has come to them; of the last
 * LOAD_BINS_KEPT bins. May be asked while the loop runs. */
#define LOAD_BIN_NS UINT64_C(100000000)
enum { LOAD_BINS_KEPT = 1024 };
uint32_t load_planned_in(const struct load *load, uint64_t bin);

/* The records, in order of *ending* (LOAD_COMMAND: within LOAD_DISORDER_NS of it), may be read while the loop runs: record i never
 * changes once i < load_records_count.
 * load_snapshot calls `each` for records from, from + 1, ... up to the present count and returns that count, to be passed
 * next time. The pointer is valid until load_free. A non-zero return of `each` ends early: returns the index after it. */
#define LOAD_DISORDER_NS UINT64_C(1000000000)
typedef int load_record_function(void *context, const struct load_record *record);
uint64_t load_records_count(const struct load *load);
uint64_t load_snapshot(const struct load *load, uint64_t from, load_record_function *each, void *context);
const struct load_record *load_record_at(const struct load *load, uint64_t i); /* borrowed until load_free; i < count */

/* The same for whoever goes through all of them from the first on: gives back the memory of those behind it that were spilled, so that
 * a run of millions takes no more of it than one of thousands. They may still be read. */
const struct load_record *load_record_in_turn(const struct load *load, uint64_t i);

/* False when more than 1 % of the requests were late by the loop's own fault: the verdict is `load_unfit`. */
bool load_is_fit(const struct load_counters *counters);

/* The W3C trace id of request `index`, 32 lower-case hex digits and NUL: a pure function of (seed, name, index). It is sent as
 * `traceparent: 00-TRACE-SPAN-01` with every HTTP request. Source: W3C Trace Context, section 3.2. */
enum { LOAD_TRACE_ID_SIZE = 33 };
void load_trace_id(uint64_t seed, const char *name, uint64_t index, char ret_text[LOAD_TRACE_ID_SIZE]);

#endif
