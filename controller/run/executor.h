/* The engine's side of an executor: questions with answers, events unasked in between. One at a time, never blocking for ever. */
#ifndef PERTURB_RUN_EXECUTOR_H
#define PERTURB_RUN_EXECUTOR_H

#include "scenarios/vocab/message.h"

enum { EXECUTOR_TIMEOUT_MS = 3000 };

struct executor {
    int fd; /* -1 when there is none */
    uint64_t seq;
    void (*on_event)(void *context, const struct event *event);
    void *context;
};

/* Asks and waits for the answer; events that come meanwhile are handed on. `payload` is borrowed; `ret_answer` may be NULL, else
 * it is to be ended with message_done. Returns the answer's result, or -ETIMEDOUT, -EPIPE, -ECONNRESET when there is none. */
int executor_ask(struct executor *executor, enum message_verb verb, uint64_t epoch, uint64_t ttl_ns, const void *payload, size_t size,
                 int timeout_ms, struct message *ret_answer);

/* Asks the wire executor who it is. Where io_uring was refused and not asked for, standard error says so: ask once. 0, or as above. */
int executor_hello(struct executor *executor, struct wire_hello *ret_hello);

/* Hands on the events that have come. 0, or -ECONNRESET when the executor has gone. */
int executor_pump(struct executor *executor);

#endif
