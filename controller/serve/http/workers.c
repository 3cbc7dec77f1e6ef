/* One queue a lane under one mutex; a lane's threads sleep on its condition. */
#include "controller/serve/http/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { LANES = 2, WORKERS_MAX = 16 };

struct job {
    struct job *next;
    void *what;
};

struct lane {
    struct workers *workers;
    struct job *first, **end;
    pthread_cond_t wake;
};

struct workers {
    pthread_mutex_t mutex;
    void (*work)(void *job);
    struct lane lane[LANES]; /* ordinary, urgent */
    bool stopping;
    pthread_t thread[WORKERS_MAX + 1];
    size_t thread_count;
};

static void *work_on(void *argument)
{
    struct lane *lane = argument;
    struct workers *workers = lane->workers;

    pthread_mutex_lock(&workers->mutex);
    for (;;) {
        struct job *job = lane->first;

        if (!job && workers->stopping)
            break;
        if (!job) {
            pthread_cond_wait(&lane->wake, &workers->mutex);
            continue;
        }
        lane->first = job->next;
        if (!lane->first)
            lane->end = &lane->first;
        pthread_mutex_unlock(&workers->mutex);
        workers->work(job->what);
        free(job);
        pthread_mutex_lock(&workers->mutex);
    }
    pthread_mutex_unlock(&workers->mutex);
    return NULL;
}

/* Signals belong to the service's loop: the threads inherit a mask with all of them blocked. */
static int start_thread(struct workers *workers, struct lane *lane)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&workers->thread[workers->thread_count], NULL, work_on, lane);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    workers->thread_count += error == 0;
    return -error;
}

int workers_start(size_t count, void (*work)(void *job), struct workers **ret_workers)
{
    struct workers *workers = calloc(1, sizeof(*workers));
    int result = 0;

    if (!workers)
        return -ENOMEM;
    workers->work = work;
    pthread_mutex_init(&workers->mutex, NULL);
    for (size_t i = 0; i < LANES; i++) {
        workers->lane[i].workers = workers;
        workers->lane[i].end = &workers->lane[i].first;
        pthread_cond_init(&workers->lane[i].wake, NULL);
    }
    for (size_t i = 0; i < count && i < WORKERS_MAX && result == 0; i++)
        result = start_thread(workers, &workers->lane[0]);
    if (result == 0)
        result = start_thread(workers, &workers->lane[1]);
    if (result < 0) {
        workers_free(workers);
        return result;
    }
    *ret_workers = workers;
    return 0;
}

int workers_give(struct workers *workers, void *what, bool urgent)
{
    struct lane *lane = &workers->lane[urgent];
    struct job *job = malloc(sizeof(*job));
    bool stopping;

    if (!job)
        return -ENOMEM;
    *job = (struct job){ .what = what };
    pthread_mutex_lock(&workers->mutex);
    stopping = workers->stopping;
    if (!stopping) {
        *lane->end = job;
        lane->end = &job->next;
        pthread_cond_signal(&lane->wake);
    }
    pthread_mutex_unlock(&workers->mutex);
    if (stopping)
        free(job);
    return stopping ? -ESHUTDOWN : 0;
}

void workers_stop(struct workers *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->mutex);
    workers->stopping = true;
    for (size_t i = 0; i < LANES; i++)
        pthread_cond_broadcast(&workers->lane[i].wake);
    pthread_mutex_unlock(&workers->mutex);
    for (size_t i = 0; i < workers->thread_count; i++)
        pthread_join(workers->thread[i], NULL);
    workers->thread_count = 0;
}

void workers_free(struct workers *workers)
{
    if (!workers)
        return;
    workers_stop(workers);
    for (size_t i = 0; i < LANES; i++)
        pthread_cond_destroy(&workers->lane[i].wake);
    pthread_mutex_destroy(&workers->mutex);
    free(workers);
}
