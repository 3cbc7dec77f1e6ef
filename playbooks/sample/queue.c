/* Requests waiting for a worker. */
#include "playbooks/sample/queue.h"

#include <errno.h>
#include <stdlib.h>

int queue_init(struct queue *queue, size_t capacity)
{
    *queue = (struct queue){ .capacity = capacity, .jobs = calloc(capacity, sizeof(*queue->jobs)) };
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->filled, NULL);
    return queue->jobs ? 0 : -ENOMEM;
}

void queue_done(struct queue *queue)
{
    free(queue->jobs);
    pthread_mutex_destroy(&queue->lock);
    pthread_cond_destroy(&queue->filled);
}

bool queue_push(struct queue *queue, const struct job *job)
{
    pthread_mutex_lock(&queue->lock);
    bool fits = queue->length < queue->capacity;
    if (fits) {
        queue->jobs[(queue->first + queue->length++) % queue->capacity] = *job;
        pthread_cond_signal(&queue->filled);
    }
    pthread_mutex_unlock(&queue->lock);
    return fits;
}

bool queue_pop(struct queue *queue, struct job *ret_job)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->length == 0 && !queue->closed)
        pthread_cond_wait(&queue->filled, &queue->lock);
    bool found = !queue->closed;
    if (found) {
        *ret_job = queue->jobs[queue->first];
        queue->first = (queue->first + 1) % queue->capacity;
        queue->length--;
    }
    pthread_mutex_unlock(&queue->lock);
    return found;
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

size_t queue_length(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t length = queue->length;
    pthread_mutex_unlock(&queue->lock);
    return length;
}
