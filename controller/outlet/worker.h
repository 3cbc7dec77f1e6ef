/* The thread of an outlet: sends what lies in its folder of the outbox, in order, and its heartbeat while the run lives. */
#ifndef PERTURB_OUTLET_WORKER_H
#define PERTURB_OUTLET_WORKER_H

#include "controller/outlet/outbox.h"

#include <pthread.h>
#include <stdatomic.h>

/* What workers share with whoever makes deliveries. */
struct desk {
    const struct outlet_config *config;
    const char *root, *path;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    struct story story;
    cJSON *sample;   /* the last of live.jsonl; NULL: none */
    bool draining;   /* nothing comes any more: who is done may leave */
    size_t done;     /* workers that have left */
    atomic_bool stop; /* leave now; what is not sent stays */
};

struct worker {
    struct desk *desk;
    const struct outlet *outlet;
    pthread_t thread;
    uint64_t beat_due_ns;
};

int worker_start(struct worker *worker); /* 0 or -EAGAIN */
void worker_join(struct worker *worker);

/* The path with its id put in; false where there is none and nothing else to do. *ret_method is the delivery's, or POST for its `otherwise`. */
bool worker_address(const struct delivery *delivery, const char *id, char *path, size_t size, const char **ret_method);

#endif
