/* Splicing: pipes, moves, waits. */
#include "injector/bulk.h"

#include "injector/loop.h"
#include "scenarios/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/param.h>
#include <unistd.h>

enum {
    RECEIVES_FULL = 8,
    SMALL_MOVES_MAX = 16,        /* so many in a row end the mode: receiving is cheaper for messages */
    SMALL_BYTES = 16 * 1024,
    ROUNDS_MAX = 4,              /* moves of a direction in one turn */
    PIPE_BYTES = 1024 * 1024,
    PIPE_BYTES_LESS = 256 * 1024, /* where the user's share of pipe pages is spent */
};

#define PIPE_RETRY_NS NS_PER_S

/* ---- pipes ------------------------------------------------------------------------------------------------------------ */

static bool pipe_take(struct bulk_pool *pool, struct bulk_pipe *ret_pipe)
{
    struct bulk_pipe made;
    int size;

    if (pool->idle_count) {
        *ret_pipe = pool->idle[--pool->idle_count];
        return true;
    }
    if (pool->count == BULK_PIPES_MAX || pipe2(made.fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    size = fcntl(made.fds[1], F_SETPIPE_SZ, PIPE_BYTES);
    if (size < 0)
        size = fcntl(made.fds[1], F_SETPIPE_SZ, PIPE_BYTES_LESS);
    if (size < 0)
        size = fcntl(made.fds[1], F_GETPIPE_SZ);
    if (size <= 0) {
        close(made.fds[0]);
        close(made.fds[1]);
        return false;
    }
    made.capacity = (uint32_t)size;
    pool->count++;
    *ret_pipe = made;
    return true;
}

/* May a direction stop receiving in the hope of a pipe? */
static bool pipe_is_likely(const struct bulk_pool *pool, uint64_t now_ns)
{
    return pool->idle_count || (pool->count < BULK_PIPES_MAX && now_ns >= pool->retry_ns);
}

static void pipe_close(struct bulk_pool *pool, const struct bulk_pipe *pipe)
{
    close(pipe->fds[0]);
    close(pipe->fds[1]);
    pool->count--;
}

void bulk_pool_done(struct bulk_pool *pool)
{
    while (pool->idle_count)
        pipe_close(pool, &pool->idle[--pool->idle_count]);
}

/* ---- in and out of the mode ------------------------------------------------------------------------------------------- */

void bulk_note_receive(struct bulk *bulk, uint32_t size)
{
    if (size < CHUNK_BYTES)
        bulk->full_run = 0;
    else if (bulk->full_run < RECEIVES_FULL)
        bulk->full_run++;
}

bool bulk_wanted(struct conn *conn, int direction)
{
    struct link *link = &conn->links[direction];

    return link->bulk.full_run == RECEIVES_FULL && conn->state == CONN_OPEN && !link->came_end && !link->broken && !link->ended &&
           !chain_watches(&conn->chain, direction) && pipe_is_likely(&conn->loop->pipes, conn->loop->now_ns);
}

bool bulk_begin(struct conn *conn, int direction)
{
    struct bulk *bulk = &conn->links[direction].bulk;

    bulk->full_run = 0;
    if (!pipe_take(&conn->loop->pipes, &bulk->pipe)) {
        conn->loop->pipes.retry_ns = conn->loop->now_ns + PIPE_RETRY_NS;
        return false;
    }
    bulk->small_run = 0;
    bulk->piped = 0;
    bulk->on = true;
    share_add(&conn->proxy->shares[conn->loop->index].bulks, 1);
    return true;
}

void bulk_cancel(struct conn *conn, int direction)
{
    for (int side = 0; side < 2; side++)
        if (conn->links[direction].bulk.waits[side])
            conn->loop->ops->cancel(conn->loop->io, conn_tag(conn, side ? OPERATION_WRITABLE : OPERATION_READABLE, direction));
}

void bulk_drop(struct conn *conn, int direction)
{
    struct bulk *bulk = &conn->links[direction].bulk;
    struct bulk_pool *pool = &conn->loop->pipes;

    bulk->full_run = 0;
    if (!bulk->on)
        return;
    bulk->on = false;
    bulk_cancel(conn, direction);
    if (bulk->piped)
        pipe_close(pool, &bulk->pipe);
    else
        pool->idle[pool->idle_count++] = bulk->pipe;
    bulk->piped = 0;
}

/* ---- moving ----------------------------------------------------------------------------------------------------------- */

static void wait_for(struct conn *conn, int direction, int side)
{
    struct bulk *bulk = &conn->links[direction].bulk;
    enum operation operation = side ? OPERATION_WRITABLE : OPERATION_READABLE;

    if (bulk->waits[side])
        return;
    bulk->waits[side] = true;
    conn->inflight++;
    conn->loop->ops->poll(conn->loop->io, conn_tag(conn, operation, direction), conn->fds[side ? !direction : direction],
                          side ? POLLOUT : POLLIN);
}

void bulk_ready(struct conn *conn, int direction, int side)
{
    conn->links[direction].bulk.waits[side] = false;
    conn->inflight--;
    conn_touch(conn);
}

static ssize_t move(int from, int to, uint32_t size)
{
    ssize_t moved = splice(from, NULL, to, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    return moved < 0 ? -errno : moved;
}

/* Bytes moved; 0 the end; -EAGAIN. Anything else ends the source. */
static ssize_t fill(struct conn *conn, int direction)
{
    struct bulk *bulk = &conn->links[direction].bulk;
    ssize_t moved = move(conn->fds[direction], bulk->pipe.fds[1], bulk->pipe.capacity - bulk->piped);

    if (moved > 0) {
        bulk->piped += (uint32_t)moved;
        conn->chain.offset[direction] += (uint64_t)moved;
        bulk->small_run = moved < SMALL_BYTES ? (uint8_t)(bulk->small_run + 1) : 0;
        link_count_exchange(conn, direction == TO_UPSTREAM);
        link_count_received(conn, direction, (uint64_t)moved);
    }
    return moved == -EINTR ? -EAGAIN : moved;
}

static ssize_t empty(struct conn *conn, int direction)
{
    struct bulk *bulk = &conn->links[direction].bulk;
    ssize_t moved = bulk->piped ? move(bulk->pipe.fds[0], conn->fds[!direction], bulk->piped) : -EAGAIN;

    if (moved > 0) {
        bulk->piped -= (uint32_t)moved;
        link_count_sent(conn, direction, (uint64_t)moved);
    }
    return moved == -EINTR ? -EAGAIN : moved;
}

static bool leaves(const struct conn *conn, int direction)
{
    const struct link *link = &conn->links[direction];

    return link->came_end || link->bulk.small_run >= SMALL_MOVES_MAX || conn->chain.out[direction].count ||
           chain_watches(&conn->chain, direction);
}

/* Rounds of filling and emptying. 0; -EPIPE, -ECONNRESET and the like: the destination takes no more. */
static ssize_t rounds(struct conn *conn, int direction)
{
    const struct bulk *bulk = &conn->links[direction].bulk;
    int count = conn->loop->armed ? 1 : ROUNDS_MAX; /* deadlines of other connections are not to wait for long */
    ssize_t in, out;

    for (int round = 0; round < count; round++) {
        in = -EAGAIN;
        if (!leaves(conn, direction) && bulk->piped < bulk->pipe.capacity)
            in = fill(conn, direction);
        if (!in || (in < 0 && in != -EAGAIN))
            link_source_ended(conn, direction, in ? SEGMENT_RST : SEGMENT_FIN);
        out = empty(conn, direction);
        if (out < 0 && out != -EAGAIN)
            return out;
        if (in <= 0 && out <= 0)
            break;
    }
    return 0;
}

static bool set_blocking(const struct conn *conn, bool blocking)
{
    int flags = O_RDWR | (blocking ? 0 : O_NONBLOCK);

    return fcntl(conn->fds[0], F_SETFL, flags) >= 0 && fcntl(conn->fds[1], F_SETFL, flags) >= 0;
}

void bulk_advance(struct conn *conn, int direction)
{
    struct link *link = &conn->links[direction];
    ssize_t result = set_blocking(conn, false) ? rounds(conn, direction) : -EBADF;

    (void)set_blocking(conn, true);
    if (result < 0) {
        link_break(conn, direction);
        return;
    }
    if (conn->state != CONN_OPEN)
        return;
    if (link->bulk.piped) {
        wait_for(conn, direction, 1);
    } else if (leaves(conn, direction)) {
        bulk_drop(conn, direction);
        conn_touch(conn); /* to send an end that waited, or to receive */
    } else {
        wait_for(conn, direction, 0);
    }
}
