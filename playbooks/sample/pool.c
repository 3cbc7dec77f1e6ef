/* A fixed number of connections to the store. A slot's fd changes only in the hands of its borrower, under the lock. */
#include "playbooks/sample/pool.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "scenarios/base/clock.h"

void pool_init(struct pool *pool, const struct net_address *address, unsigned size)
{
    pthread_condattr_t attributes;

    *pool = (struct pool){ .address = *address, .size = size };
    for (unsigned i = 0; i < POOL_MAX; i++)
        pool->slots[i].fd = -1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->returned, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int free_slot_find(const struct pool *pool, unsigned *ret_slot)
{
    int rc = -EAGAIN;

    for (unsigned i = 0; i < pool->size; i++) {
        if (pool->slots[i].lent)
            continue;
        if (rc < 0 || pool->slots[i].fd >= 0) /* one that is connected, if any */
            *ret_slot = i;
        rc = 0;
        if (pool->slots[i].fd >= 0)
            break;
    }
    return rc;
}

static int slot_reserve(struct pool *pool, uint64_t deadline_ns, unsigned *ret_slot)
{
    const struct timespec deadline = ns_timespec(deadline_ns);
    int rc;

    pthread_mutex_lock(&pool->lock);
    while ((rc = pool->closed ? -ECANCELED : free_slot_find(pool, ret_slot)) == -EAGAIN) {
        pool->waits++;
        int waited = deadline_ns ? pthread_cond_timedwait(&pool->returned, &pool->lock, &deadline)
                                 : pthread_cond_wait(&pool->returned, &pool->lock);
        if (waited == ETIMEDOUT) {
            rc = -ETIMEDOUT;
            break;
        }
    }
    if (rc == 0) {
        pool->slots[*ret_slot].lent = true;
        pool->in_use++;
    }
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

static void slot_set_fd(struct pool *pool, unsigned slot, int fd)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->slots[slot].fd >= 0)
        close(pool->slots[slot].fd);
    pool->slots[slot].fd = fd;
    if (fd >= 0 && pool->closed)
        (void)shutdown(fd, SHUT_RDWR);
    pthread_mutex_unlock(&pool->lock);
}

static bool is_alive(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* The socket is in the slot while it connects, so that pool_close reaches it. */
static int slot_connect(struct pool *pool, unsigned slot, uint64_t deadline_ns)
{
    int fd = -1;
    int rc = net_connect_begin(&pool->address, &fd);

    pthread_mutex_lock(&pool->lock);
    pool->connects++;
    pthread_mutex_unlock(&pool->lock);
    if (rc < 0)
        return rc;
    slot_set_fd(pool, slot, fd);
    rc = net_wait(fd, POLLOUT, deadline_ns);
    return rc < 0 ? rc : net_connect_result(fd);
}

int pool_borrow(struct pool *pool, uint64_t deadline_ns, unsigned *ret_slot)
{
    unsigned slot;
    int rc = slot_reserve(pool, deadline_ns, &slot);

    if (rc < 0)
        return rc;
    if (pool->slots[slot].fd < 0 || !is_alive(pool->slots[slot].fd))
        rc = slot_connect(pool, slot, deadline_ns);
    if (rc < 0)
        pool_return(pool, slot, true);
    else
        *ret_slot = slot;
    return rc;
}

int pool_fd(const struct pool *pool, unsigned slot)
{
    return pool->slots[slot].fd;
}

void pool_return(struct pool *pool, unsigned slot, bool broken)
{
    if (broken)
        slot_set_fd(pool, slot, -1);
    pthread_mutex_lock(&pool->lock);
    pool->slots[slot].lent = false;
    pool->in_use--;
    pthread_cond_signal(&pool->returned);
    pthread_mutex_unlock(&pool->lock);
}

void pool_close(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->closed = true;
    for (unsigned i = 0; i < pool->size; i++)
        if (pool->slots[i].fd >= 0)
            (void)shutdown(pool->slots[i].fd, SHUT_RDWR);
    pthread_cond_broadcast(&pool->returned);
    pthread_mutex_unlock(&pool->lock);
}
