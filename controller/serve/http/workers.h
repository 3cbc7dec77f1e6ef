/* Threads that do what may take long, so that the thread which moves bytes never waits. */
#ifndef PERTURB_SERVE_WORKERS_H
#define PERTURB_SERVE_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

struct workers;

/* `count` threads for ordinary jobs and one more that takes only urgent ones, so that a stop never queues behind a slow look. Jobs are
 * given to `work` in the order they came. 0 or a negative errno. */
int workers_start(size_t count, void (*work)(void *job), struct workers **ret_workers);

/* Hands over a job; it waits its turn without a bound of its own (connections are bounded). 0, -ENOMEM, -ESHUTDOWN after workers_stop. */
int workers_give(struct workers *workers, void *job, bool urgent);

/* Waits until every job given was worked on, ends the threads. Accepts NULL. */
void workers_stop(struct workers *workers);

/* Stops and frees. Accepts NULL. */
void workers_free(struct workers *workers);

#endif
