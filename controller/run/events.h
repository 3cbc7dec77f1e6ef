/* The run's event log: every event once, numbered, kept in order of recording, to as many sinks as are open.
 * Sinks: events.jsonl in the run directory (flushed line by line), and standard output (text or JSON lines). */
#ifndef PERTURB_RUN_EVENTS_H
#define PERTURB_RUN_EVENTS_H

#include "scenarios/vocab/event.h"

#include <stdio.h>

enum { EVENTS_MAX = 100000 };

struct event_log {
    struct event *list; /* owned */
    size_t count, capacity;
    uint64_t dropped; /* past EVENTS_MAX */
    uint64_t origin_ns; /* the run's zero; 0 until the load starts */
    FILE *file;   /* JSON lines; NULL when none */
    FILE *stream; /* for people or programs; NULL when none */
    bool stream_is_json;
    /* Called after each event, for the live view. */
    void (*observer)(void *context, const struct event *event);
    void *context;
};

/* Opens DIRECTORY/events.jsonl. 0 or -errno. */
int event_log_open(struct event_log *log, const char *directory);
void event_log_close(struct event_log *log);

/* Numbers, keeps and tells one event. */
void event_log_add(struct event_log *log, const struct event *event);

/* A runner's own event, of now. */
void event_log_note(struct event_log *log, enum event_kind kind, const char *text0, const char *text1, int64_t number0, int64_t number1);

#endif
