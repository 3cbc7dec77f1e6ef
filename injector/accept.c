/* Listening, accepting, handing over. */
#include "injector/accept.h"

#include "scenarios/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ACCEPT_RETRY_NS (20 * NS_PER_MS) /* out of descriptors: try again */

/* ---- listeners -------------------------------------------------------------------------------------------------------- */

static void listen_on(struct loop *loop, struct listener *listener)
{
    listener->accepting = true;
    loop->ops->accept(loop->io, tag_of(OPERATION_ACCEPT, 0, listener->generation, listener->proxy->index),
                      listener->proxy->listen_fd);
}

static void listener_done(struct listener *listener)
{
    struct proxy *proxy = listener->proxy;

    listener->proxy = NULL;
    listener->closing = false;
    proxy_unref(proxy);
}

static bool accepts(const struct loop *loop, const struct proxy *proxy)
{
    return proxy->index % loop->limits.loops == loop->index;
}

void accept_open(struct loop *loop, struct proxy *proxy)
{
    struct listener *listener = &loop->listeners[proxy->index];

    assert(!listener->proxy);
    listener->proxy = proxy;
    listener->generation++;
    if (accepts(loop, proxy))
        listen_on(loop, listener);
}

static void stop_accepting(struct loop *loop, struct listener *listener)
{
    listener->closing = true;
    if (listener->accepting)
        loop->ops->cancel(loop->io, tag_of(OPERATION_ACCEPT, 0, listener->generation, listener->proxy->index));
    else
        listener_done(listener);
}

void accept_close(struct loop *loop, const struct proxy *proxy)
{
    if (loop->listeners[proxy->index].proxy == proxy)
        stop_accepting(loop, &loop->listeners[proxy->index]);
}

bool accept_is_closed(const struct loop *loop, const struct proxy *proxy)
{
    return loop->listeners[proxy->index].proxy != proxy;
}

void accept_stop(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->limits.proxies_max; i++)
        if (loop->listeners[i].proxy && !loop->listeners[i].closing)
            stop_accepting(loop, &loop->listeners[i]);
}

bool accept_is_stopped(const struct loop *loop)
{
    for (uint32_t i = 0; i < loop->limits.proxies_max; i++)
        if (loop->listeners[i].proxy)
            return false;
    return true;
}

/* ---- handing over ----------------------------------------------------------------------------------------------------- */

/* Whose turn it is, if that one has room. */
static struct loop *server_of(const struct loop *loop, uint64_t sequence)
{
    uint32_t count = loop->limits.loops;

    for (uint32_t i = 0; i < count; i++) {
        struct loop *server = &loop->peers[(loop->index + sequence - 1 + i) % count];

        if (__atomic_load_n(&server->connections_open, __ATOMIC_RELAXED) < server->limits.connections_max)
            return server;
    }
    return &loop->peers[loop->index];
}

static bool hand_over(struct loop *loop, struct loop *server, struct proxy *proxy, int fd, uint64_t sequence)
{
    struct handed handed = { .proxy = proxy, .fd = fd, .sequence = sequence, .adoptions = loop->adoptions };

    if (loop->armed)
        handed.ordinals = conn_count_in(loop, proxy, fd, sequence);
    __atomic_fetch_add(&proxy->references, 1, __ATOMIC_RELAXED);
    if (handoff_push(&server->handoff, &handed)) {
        loop_wake(server);
        return true;
    }
    free(handed.ordinals);
    proxy_unref(proxy);
    return false;
}

static void serve(struct loop *loop, struct proxy *proxy, int fd)
{
    uint64_t sequence = __atomic_add_fetch(&proxy->sequence, 1, __ATOMIC_RELAXED);
    struct loop *server = server_of(loop, sequence);

    if (server == loop || !hand_over(loop, server, proxy, fd, sequence))
        conn_accepted(loop, proxy, fd, sequence, NULL);
}

void accept_completed(struct loop *loop, struct listener *listener, const struct io_completion *completion)
{
    if (!completion->more)
        listener->accepting = false;
    if (completion->result >= 0) {
        if (listener->closing || loop->stopping)
            close(completion->result);
        else
            serve(loop, listener->proxy, completion->result);
    }
    if (listener->accepting)
        return;
    if (listener->closing || loop->stopping)
        listener_done(listener);
    else if (completion->result >= 0 || completion->result == -ECONNABORTED || completion->result == -EINTR)
        listen_on(loop, listener);
    else
        loop->accept_retry_ns = loop->now_ns + ACCEPT_RETRY_NS;
}

void accept_retry(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->limits.proxies_max; i++) {
        struct listener *listener = &loop->listeners[i];

        if (listener->proxy && !listener->accepting && accepts(loop, listener->proxy))
            listen_on(loop, listener);
    }
}

static void handed_done(struct loop *loop)
{
    const struct handed *handed = handoff_peek(&loop->handoff);
    struct proxy *proxy = handed->proxy;

    free(handed->ordinals);
    handoff_drop(&loop->handoff);
    proxy_unref(proxy);
}

void accept_take_handed(struct loop *loop)
{
    const struct handed *handed;

    while ((handed = handoff_peek(&loop->handoff)) && handed->adoptions <= loop->adoptions) {
        const struct listener *listener = &loop->listeners[handed->proxy->index];

        if (listener->proxy != handed->proxy || listener->closing || loop->stopping)
            close(handed->fd);
        else
            conn_accepted(loop, handed->proxy, handed->fd, handed->sequence, handed);
        handed_done(loop);
    }
}

void accept_drop_handed(struct loop *loop)
{
    const struct handed *handed;

    while ((handed = handoff_peek(&loop->handoff))) {
        close(handed->fd);
        handed_done(loop);
    }
}
