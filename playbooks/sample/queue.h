/* Requests waiting for a worker: a bounded ring, first in, first out. */
#ifndef PERTURB_PLAYBOOKS_SAMPLE_QUEUE_H
#define PERTURB_PLAYBOOKS_SAMPLE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "playbooks/sample/http.h"

enum { ITEM_ID_SIZE = 49 };

struct job {
    struct http_ticket ticket;
    uint64_t received_ns;
    char id[ITEM_ID_SIZE];
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct job *jobs;
    size_t capacity, first, length;
    bool closed;
};

int queue_init(struct queue *queue, size_t capacity); /* 0, -ENOMEM */
void queue_done(struct queue *queue);
bool queue_push(struct queue *queue, const struct job *job);  /* false when full */
bool queue_pop(struct queue *queue, struct job *ret_job);     /* waits; false once closed */
void queue_close(struct queue *queue);
size_t queue_length(struct queue *queue);

#endif
