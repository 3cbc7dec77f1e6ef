/* A live run as seen from outside: its lines folded into what a view shows. Pure: no clock, no file, no terminal.
 *
 * Seconds are the run's own, 0 the start of its load; NaN is not known. Instants of events are kept as CLOCK_MONOTONIC ns, because
 * events may come before the sample that tells when second 0 was. Texts are as the run has them: hostile. */
#ifndef PERTURB_WATCH_STATE_H
#define PERTURB_WATCH_STATE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WATCH_NAME_MAX = 96, WATCH_TEXT_MAX = 300, WATCH_LOADS_MAX = 4, WATCH_FAULTS_MAX = 64, WATCH_GUARDS_MAX = 16, WATCH_EVENTS = 200, WATCH_MARKS_MAX = 64 };

struct watch_bin {
    uint32_t good, failed;
    float p99_s; /* NaN: nothing answered */
};

struct watch_load {
    char name[WATCH_NAME_MAX];
    struct watch_bin *bins; /* owned; from second 0 on, WATCH_BIN_S each */
    size_t count, capacity;
    double goodput, rate, p99_s; /* now */
};

struct watch_fault {
    char name[WATCH_NAME_MAX];
    bool is_armed;
    uint64_t from_ns, until_ns; /* it was armed; 0: not yet */
    char matched[24], fired[24];
};

struct watch_guard {
    char name[WATCH_TEXT_MAX];
    double value, margin;
    bool is_breached;
};

struct watch_event {
    uint64_t ns;
    char kind[32];
    char text[WATCH_TEXT_MAX];
};

struct watch_mark {
    uint64_t ns;
    char name[16];
};

struct watch {
    char run[64], title[WATCH_TEXT_MAX], phase[32];
    bool is_secret;
    uint64_t zero_ns, first_ns; /* of second 0, 0 before the load; of the first event */
    double sampled_s;           /* the end of the newest bin; NaN before the first */
    double amplification;
    struct watch_load loads[WATCH_LOADS_MAX];
    size_t load_count;
    struct watch_fault faults[WATCH_FAULTS_MAX];
    size_t fault_count;
    struct watch_guard guards[WATCH_GUARDS_MAX];
    size_t guard_count;
    struct watch_mark marks[WATCH_MARKS_MAX];
    size_t mark_count;
    struct watch_event events[WATCH_EVENTS]; /* a ring */
    size_t event_count;                      /* of all */
    char hold[WATCH_TEXT_MAX];               /* what the method waits at; "" */
    uint64_t hold_until_ns;
    char verdict[64], why[WATCH_TEXT_MAX]; /* "" before */
    int status;                            /* -1 before the run ended */
    char aborted[WATCH_TEXT_MAX];
};

#define WATCH_BIN_S 0.1

void watch_init(struct watch *watch);
void watch_done(struct watch *watch);

void watch_take_plan(struct watch *watch, const cJSON *plan);
void watch_take_event(struct watch *watch, const char *line);
void watch_take_sample(struct watch *watch, const char *line);

/* An event as words: its fields' values, the numbers by name. */
void watch_event_text(const cJSON *fields, char *text, size_t size);

/* Is this event worth a line of its own to somebody who watches? */
bool watch_event_shows(const char *kind);

/* On the run's clock; before its load, from the first event on. */
double watch_seconds(const struct watch *watch, uint64_t ns);

#endif
