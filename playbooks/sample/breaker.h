/* A circuit breaker: stops calling a dependency that fails, and tries it again now and then.
 *
 *   CLOSED --(>= BREAKER_CALLS_MIN calls in the window, half of them failed)--> OPEN
 *   OPEN --(open_ns passed; the next caller becomes the probe)--> HALF_OPEN
 *   HALF_OPEN --(BREAKER_PROBES good probes in a row)--> CLOSED      --(a probe failed)--> OPEN
 *
 * Pure: time comes in as a parameter. One lock inside; any thread. */
#ifndef PERTURB_PLAYBOOKS_SAMPLE_BREAKER_H
#define PERTURB_PLAYBOOKS_SAMPLE_BREAKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { BREAKER_WINDOW = 20, BREAKER_CALLS_MIN = 5, BREAKER_PROBES = 2 };

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    pthread_mutex_t lock;
    uint64_t open_ns; /* how long it stays open */
    enum breaker_state state;
    uint64_t opened_at_ns;
    bool probing;         /* HALF_OPEN: a probe is out */
    unsigned probes_good; /* HALF_OPEN: in a row */
    bool failed[BREAKER_WINDOW]; /* CLOSED: a ring of the last calls */
    unsigned calls, failures, next;
    uint64_t entered[3]; /* transitions into each state */
};

void breaker_init(struct breaker *breaker, uint64_t open_ns);

/* May the dependency be called now? Every true is followed by exactly one breaker_report. */
bool breaker_allows(struct breaker *breaker, uint64_t now_ns);
void breaker_report(struct breaker *breaker, bool good, uint64_t now_ns);

/* Copies state and transition counts. */
void breaker_read(struct breaker *breaker, enum breaker_state *ret_state, uint64_t ret_entered[3]);
const char *breaker_state_name(enum breaker_state state);

#endif
