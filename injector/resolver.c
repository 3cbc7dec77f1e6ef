/* Names looked up on helper threads: getaddrinfo(3) blocks, for seconds when a name server is silent, and cannot be given up. So a
 * helper shares the resolver with its owner by reference and finishes unheard when the owner has gone.
 *
 * 1. The lock is never held over a look-up. The loop takes it to ask and to take, a few instructions each.
 * 2. A request that waits for a name that has just been looked up shares the answer: a burst of dials is one question. */
#include "injector/resolve.h"

#include "injector/event.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HELPERS_MAX = 4, TEXT_MAX = 160 };

struct request {
    struct request *next;
    struct resolved answer;
    char text[TEXT_MAX];
};

struct resolver {
    pthread_mutex_t lock;
    pthread_cond_t asked;
    struct request *first, **last; /* not looked at yet, oldest first */
    struct request *answered;
    uint32_t references; /* the owner's and one a helper */
    uint32_t helpers, idle;
    int wake_fd;
    bool closed; /* the owner has gone, wake_fd with it */
};

int resolver_new(int wake_fd, struct resolver **ret_resolver)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    if (!resolver)
        return -ENOMEM;
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->asked, NULL);
    resolver->last = &resolver->first;
    resolver->references = 1;
    resolver->wake_fd = wake_fd;
    *ret_resolver = resolver;
    return 0;
}

static void free_list(struct request *list)
{
    while (list) {
        struct request *next = list->next;

        free(list);
        list = next;
    }
}

/* Called with the lock held; gives it up. */
static void unref(struct resolver *resolver)
{
    bool last = !--resolver->references;

    pthread_mutex_unlock(&resolver->lock);
    if (!last)
        return;
    free_list(resolver->first);
    free_list(resolver->answered);
    pthread_cond_destroy(&resolver->asked);
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

/* Every request for the same name moves to `answered`. */
static void answer_all(struct resolver *resolver, const struct request *known)
{
    struct request **at = &resolver->first;

    while (*at) {
        struct request *request = *at;
        uint64_t tag = request->answer.tag;

        if (strcmp(request->text, known->text)) {
            at = &request->next;
            continue;
        }
        *at = request->next;
        request->answer = known->answer;
        request->answer.tag = tag;
        request->next = resolver->answered;
        resolver->answered = request;
    }
    resolver->last = at;
}

static void *help(void *context)
{
    struct resolver *resolver = context;

    pthread_mutex_lock(&resolver->lock);
    while (!resolver->closed) {
        struct request *request = resolver->first;

        if (!request) {
            resolver->idle++;
            pthread_cond_wait(&resolver->asked, &resolver->lock);
            resolver->idle--;
            continue;
        }
        resolver->first = request->next;
        if (!resolver->first)
            resolver->last = &resolver->first;
        pthread_mutex_unlock(&resolver->lock);
        request->answer.result = resolve_address(request->text, false, &request->answer.address, &request->answer.size);
        pthread_mutex_lock(&resolver->lock);
        answer_all(resolver, request);
        request->next = resolver->answered;
        resolver->answered = request;
        if (!resolver->closed)
            event_tell(resolver->wake_fd);
    }
    unref(resolver);
    return NULL;
}

/* With the lock held: somebody will look at the queue. */
static bool has_helper(struct resolver *resolver)
{
    pthread_t thread;

    if (resolver->idle || resolver->helpers == HELPERS_MAX)
        return true;
    if (pthread_create(&thread, NULL, help, resolver))
        return resolver->helpers > 0;
    pthread_detach(thread);
    resolver->helpers++;
    resolver->references++;
    return true;
}

int resolver_ask(struct resolver *resolver, uint64_t tag, const char *text)
{
    struct request *request = calloc(1, sizeof(*request));
    bool helped;

    if (!request)
        return -ENOMEM;
    if (strlen(text) >= TEXT_MAX) {
        free(request);
        return -EINVAL;
    }
    request->answer.tag = tag;
    memcpy(request->text, text, strlen(text) + 1);
    pthread_mutex_lock(&resolver->lock);
    helped = has_helper(resolver);
    if (helped) {
        *resolver->last = request;
        resolver->last = &request->next;
        pthread_cond_signal(&resolver->asked);
    }
    pthread_mutex_unlock(&resolver->lock);
    if (helped)
        return 0;
    free(request);
    return -EAGAIN;
}

bool resolver_take(struct resolver *resolver, struct resolved *ret_resolved)
{
    struct request *request;

    pthread_mutex_lock(&resolver->lock);
    request = resolver->answered;
    if (request)
        resolver->answered = request->next;
    pthread_mutex_unlock(&resolver->lock);
    if (!request)
        return false;
    *ret_resolved = request->answer;
    free(request);
    return true;
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    pthread_mutex_lock(&resolver->lock);
    resolver->closed = true;
    pthread_cond_broadcast(&resolver->asked);
    unref(resolver);
}
