/* The event record: one schema for terminal, JSON lines, server-sent events and store, resumable by `seq`.
 *   {seq, clock, ns, source, epoch, kind, fields}
 * A record is flat and of fixed size, so that it crosses sockets as it is. Texts are cut at EVENT_TEXT_MAX - 1 bytes. */
#ifndef PERTURB_VOCAB_EVENT_H
#define PERTURB_VOCAB_EVENT_H

#include "scenarios/base/buf.h"
#include "scenarios/base/units.h"

#include <stdbool.h>
#include <stdint.h>

enum { EVENT_TEXT_MAX = 96, EVENT_TEXTS = 2, EVENT_NUMBERS = 3 };

enum event_kind {
#define EVENT(kind, ...) EVENT_##kind,
#include "scenarios/vocab/events.def"
    EVENT_KIND_COUNT
};

enum event_source { SOURCE_GUARDIAN, SOURCE_RUNNER, SOURCE_WIRE, SOURCE_PRELOAD, SOURCE_HOST, SOURCE_SECCOMP, SOURCE_COUNT };

struct event {
    uint64_t seq;   /* from 1, given by the log; 0 before */
    uint64_t ns;    /* CLOCK_MONOTONIC of the event itself, not of its recording */
    uint64_t epoch; /* of the plan, 0 when none */
    uint32_t source;
    uint32_t kind;
    int64_t number[EVENT_NUMBERS];
    char text[EVENT_TEXTS][EVENT_TEXT_MAX];
};

struct event_number_desc {
    const char *name;
    enum unit unit;
};

struct event_desc {
    const char *name;
    const char *help;
    const char *texts[EVENT_TEXTS]; /* NULL past the last */
    struct event_number_desc numbers[EVENT_NUMBERS];
};

extern const struct event_desc event_descs[EVENT_KIND_COUNT];
extern const char *const source_names[SOURCE_COUNT];

/* Fills a record; texts may be NULL. Copies. */
void event_init(struct event *event, enum event_kind kind, enum event_source source, uint64_t ns, const char *text0,
                const char *text1);

/* One JSON object, no newline; 64-bit ns and numbers beyond 2^53 as strings (a double holds 53 bits). 0 or -E2BIG, -ENOMEM. */
int event_print_json(const struct event *event, struct buf *out);

/* For people: "  +12.345678 fault_armed slow-redis time_to_live=5s". `origin_ns` is the run's zero. */
int event_print_text(const struct event *event, uint64_t origin_ns, struct buf *out);

#endif
