/* One direction of a connection: bytes in from the kernel, through the chain, out to the kernel. */
#include "injector/loop.h"

#include "injector/event.h"

#include "scenarios/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

enum {
    WINDOW_SHARE = 8, HOLD_SHARE = 2, /* of the free memory, as divisors */
    DIRECT_BYTES = 16384,
    LARGE_RUN = 2, SMALL_RUN = 32,
    SENDS_A_TURN_MAX = 16, /* of a direction, by calls of our own: others wait meanwhile */
};

static bool is_failure(int result)
{
    return result < 0 && result != -EAGAIN && result != -EINTR;
}

/* What the destination takes at once goes at once, by a call of our own: that costs less than a request and its completion, and
 * released bytes do not wait for the end of the turn. The sum of the parts, or -errno. */
static int send_now(int fd, struct iovec *parts, uint32_t count)
{
    struct msghdr head = { .msg_iov = parts, .msg_iovlen = count };
    ssize_t sent;

    if (count == 1)
        sent = send(fd, parts[0].iov_base, parts[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        sent = sendmsg(fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : (int)sent;
}

/* ---- in --------------------------------------------------------------------------------------------------------------- */

/* A chunk with `size` bytes of room behind its fill: the link's tail, or a new one that becomes it. NULL when none is left. */
static struct chunk *room_for(struct conn *conn, struct link *link, uint32_t size)
{
    struct pool *pool = conn->loop->pool;

    if (link->tail && link->tail->capacity - link->tail->filled >= size)
        return link->tail;
    pool_unref(pool, link->tail);
    link->tail = size <= CHUNK_SMALL_BYTES ? pool_chunk_small(pool) : NULL;
    if (!link->tail)
        link->tail = pool_chunk(pool);
    return link->tail;
}

/* Small receives are copied together, so that held bytes do not pin a whole receive buffer each; large ones are kept as they
 * are. Takes the chunk's reference. NULL when memory is out. */
static struct segment *segment_of(struct conn *conn, int direction, struct chunk *chunk)
{
    struct link *link = &conn->links[direction];
    struct pool *pool = conn->loop->pool;
    uint32_t size = chunk->filled;
    bool waits = link->send_busy || conn->chain.out[direction].count || chain_is_staged(&conn->chain, direction);
    bool pins = chunk->capacity > CHUNK_SMALL_BYTES;
    struct chunk *target = NULL;
    struct segment *segment;

    if ((size <= CHUNK_SMALL_BYTES && (pins || waits)) || (size <= CHUNK_BYTES / 2 && waits))
        target = room_for(conn, link, size);
    if (target) {
        memcpy(target->bytes + target->filled, chunk->bytes, size);
        segment = pool_segment(pool, target, target->filled, size);
        target->filled += size;
    } else {
        segment = pool_segment(pool, chunk, 0, size);
    }
    pool_unref(pool, chunk);
    return segment;
}

/* Two small chunks filled to the brim make it a stream, many receives that a small one would have held make it messages. */
static void note_size(struct link *link, const struct chunk *chunk)
{
    bool speaks_against = link->large ? chunk->filled < CHUNK_SMALL_BYTES : chunk->filled == chunk->capacity;

    link->size_run = speaks_against ? (uint8_t)(link->size_run + 1) : 0;
    if (link->size_run < (link->large ? SMALL_RUN : LARGE_RUN))
        return;
    link->size_run = 0;
    link->large = !link->large;
}

static void take(struct conn *conn, int direction, struct segment *segment)
{
    if (!segment) {
        conn_reset(conn);
        return;
    }
    segment->came_ns = conn->loop->now_ns;
    chain_push(&conn->chain, direction, segment);
}

void link_source_ended(struct conn *conn, int direction, uint32_t flags)
{
    struct link *link = &conn->links[direction];
    struct segment *segment;

    if (link->came_end)
        return;
    link->came_end = true;
    if (conn->state > CONN_OPEN || link->broken)
        return;
    if (link->ended && flags & SEGMENT_RST) {
        conn_reset(conn); /* a fault ended the direction before: no end can travel in order any more */
        return;
    }
    segment = pool_segment(conn->loop->pool, NULL, 0, 0);
    if (segment)
        segment->flags = flags;
    take(conn, direction, segment);
}

void link_count_received(struct conn *conn, int direction, uint64_t bytes)
{
    share_add(&conn->proxy->shares[conn->loop->index].received[direction], bytes);
}

void link_count_sent(struct conn *conn, int direction, uint64_t bytes)
{
    conn->links[direction].sent_bytes += bytes;
    share_add(&conn->proxy->shares[conn->loop->index].bytes[direction], bytes);
}

/* Who speaks now? A turn of the client is one attempt of a request/response protocol without pipelining. */
void link_count_exchange(struct conn *conn, bool is_client)
{
    if (is_client && !conn->client_spoke)
        share_add(&conn->proxy->shares[conn->loop->index].exchanges, 1);
    conn->client_spoke = is_client;
}

void link_received(struct conn *conn, int direction, const struct io_completion *completion)
{
    struct link *link = &conn->links[direction];

    if (!completion->more) {
        link->recv_busy = false;
        link->recv_cancelled = false;
        conn->inflight--;
    }
    if (completion->chunk) {
        note_size(link, completion->chunk);
        bulk_note_receive(&link->bulk, completion->chunk->filled);
        link_count_exchange(conn, direction == 0);
        link_count_received(conn, direction, completion->chunk->filled);
        if (conn->state > CONN_OPEN || link->broken || link->came_end)
            pool_unref(conn->loop->pool, completion->chunk);
        else
            take(conn, direction, segment_of(conn, direction, completion->chunk));
    } else if (!completion->result) {
        link_source_ended(conn, direction, SEGMENT_FIN);
    } else if (completion->result == -ENOBUFS) {
        conn->loop->lacked_chunks = true;
        conn_starve(conn);
    } else if (completion->result != -ECANCELED && completion->result != -EAGAIN && completion->result != -EINTR) {
        link_source_ended(conn, direction, SEGMENT_RST);
    }
    conn_touch(conn);
}

static void pause_full(struct conn *conn, struct link *link, uint64_t held_bytes)
{
    struct proxy_share *share = &conn->proxy->shares[conn->loop->index];
    const struct armed *armed = conn->loop->armed;

    if (link->full)
        return;
    link->full = true;
    share_set(&share->hold_full_bytes, held_bytes);
    share_set(&share->hold_full_ns, conn->loop->now_ns);
    __atomic_store_n(&share->hold_full, share->hold_full + 1, __ATOMIC_RELEASE);
    if (armed && share->hold_full_epoch != armed->plan->epoch) {
        share_set(&share->hold_full_epoch, armed->plan->epoch);
        event_tell(armed->event_fd);
    }
}

/* May the link take more bytes? Once paused, only when it has fallen to half of each bound. A link may have at most a share of the
 * memory that is free (dynamic thresholds: A. K. Choudhury, E. L. Hahne, IEEE/ACM Trans. Networking 6(2), 1998). */
static bool has_room(struct conn *conn, int direction)
{
    const struct injector_limits *limits = &conn->loop->limits;
    struct link *link = &conn->links[direction];
    uint64_t part = link->paused ? 2 : 1, free_bytes = pool_bytes_free(conn->loop->pool);
    uint64_t way_cost = queue_cost(&conn->chain.out[direction]) + queue_cost(&link->sending);
    uint64_t held_bytes, held_cost;

    if (way_cost && way_cost >= MIN(limits->window_bytes, free_bytes / WINDOW_SHARE) / part)
        return false;
    chain_held(&conn->chain, direction, &held_bytes, &held_cost);
    if (!held_cost) {
        link->full = false;
        return true;
    }
    if (held_cost >= MIN(limits->hold_connection_bytes_max, free_bytes / HOLD_SHARE) / part) {
        pause_full(conn, link, held_bytes);
        return false;
    }
    if (proxy_held_cost(conn->proxy) >= limits->hold_proxy_bytes_max / part) {
        pause_full(conn, link, held_bytes);
        conn_starve(conn);
        return false;
    }
    link->full = false;
    return true;
}

static bool wants_more(struct conn *conn, int direction)
{
    struct link *link = &conn->links[direction];

    if (link->came_end || conn->fds[direction] < 0 || (direction == TO_CLIENT && !conn->connected))
        return false;
    if (conn->state == CONN_LINGER)
        return true;
    if (link->broken || conn->state > CONN_OPEN || chain_stalled(&conn->chain, direction))
        return false;
    link->paused = !has_room(conn, direction);
    return !link->paused;
}

/* Near a bound that links share, a burst of receives between two looks would go far beyond it. */
static bool must_be_careful(const struct conn *conn)
{
    return pool_is_low(conn->loop->pool) || conn->proxy->shares[conn->loop->index].careful ||
           proxy_held_cost(conn->proxy) >= conn->loop->limits.hold_proxy_bytes_max / 2;
}

/* Splices, or waits for what was received to be gone. False: the direction is to receive. */
static bool read_in_bulk(struct conn *conn, int direction)
{
    struct link *link = &conn->links[direction];
    bool idle = !link->recv_busy && !link->send_busy && !link->sending.count && !conn->chain.out[direction].count;

    if (!link->bulk.on && bulk_wanted(conn, direction) && idle)
        (void)bulk_begin(conn, direction);
    if (link->bulk.on)
        bulk_advance(conn, direction);
    return link->bulk.on;
}

void link_read(struct conn *conn, int direction)
{
    struct link *link = &conn->links[direction];
    const struct io_ops *ops = conn->loop->ops;
    bool one_by_one = must_be_careful(conn);

    if (read_in_bulk(conn, direction))
        return;
    if (!wants_more(conn, direction) || bulk_wanted(conn, direction) ||
        (link->recv_busy && ((link->recv_repeats && one_by_one) || link->recv_large != link->large))) {
        if (link->recv_busy && !link->recv_cancelled) {
            link->recv_cancelled = true;
            ops->cancel(conn->loop->io, conn_tag(conn, OPERATION_RECV, direction));
        }
        return;
    }
    if (link->recv_busy)
        return;
    if (!ops->can_recv(conn->loop->io)) {
        conn->loop->lacked_chunks = true;
        conn_starve(conn);
        return;
    }
    link->recv_busy = true;
    link->recv_repeats = !one_by_one;
    link->recv_large = link->large;
    conn->inflight++;
    (link->large || !ops->recv_small ? ops->recv : ops->recv_small)(conn->loop->io, conn_tag(conn, OPERATION_RECV, direction),
                                                                    conn->fds[direction], link->recv_repeats);
}

/* ---- out -------------------------------------------------------------------------------------------------------------- */

void link_drop(struct conn *conn, int direction)
{
    struct link *link = &conn->links[direction];

    bulk_drop(conn, direction);
    queue_clear(&conn->chain.out[direction], conn->loop->pool);
    if (!link->send_busy)
        queue_clear(&link->sending, conn->loop->pool);
    pool_unref(conn->loop->pool, link->tail);
    link->tail = NULL;
}

/* What is left for the destination is lost, its own stream ends in a reset. */
void link_break(struct conn *conn, int direction)
{
    struct link *link = &conn->links[direction], *other = &conn->links[!direction];

    link->broken = true;
    link_drop(conn, direction);
    other->reset_behind = true;
    if (other->ended)
        conn_reset(conn);
}

/* So many bytes at the front of what is being sent were taken. */
static void account_sent(struct conn *conn, int direction, uint32_t size)
{
    struct link *link = &conn->links[direction];
    struct pool *pool = conn->loop->pool;

    link_count_sent(conn, direction, size);
    while (size) {
        uint32_t part = MIN(size, link->sending.first->size);

        queue_skip(&link->sending, pool, part);
        size -= part;
    }
    if (!link->sending.count && !conn->chain.out[direction].count) {
        pool_unref(pool, link->tail);
        link->tail = NULL;
    }
}

/* Nothing waits for what was just sent: the connection need not be looked at. */
static bool is_quiet(const struct conn *conn, int direction)
{
    const struct link *link = &conn->links[direction];

    return conn->state == CONN_OPEN && !conn->chain.count && !link->sending.count && !conn->chain.out[direction].count && link->recv_busy &&
           !link->recv_cancelled && !link->paused;
}

void link_sent(struct conn *conn, int direction, int result)
{
    struct link *link = &conn->links[direction];

    link->send_busy = false;
    link->free_ns = conn->loop->now_ns;
    conn->inflight--;
    account_sent(conn, direction, result > 0 ? (uint32_t)result : 0);
    if (!is_quiet(conn, direction))
        conn_touch(conn);
    if (conn->state >= CONN_CLOSING)
        queue_clear(&link->sending, conn->loop->pool);
    else if (is_failure(result) && conn->state <= CONN_OPEN)
        link_break(conn, direction);
}

/* How late the released bytes go. Those that became due while the destination was still taking others are late by its doing. */
static void note_lateness(struct conn *conn, const struct link *link, const struct segment *segment, uint64_t *now_ns)
{
    if (!(segment->flags & SEGMENT_HELD) || segment->came_ns <= link->free_ns)
        return;
    if (!*now_ns)
        *now_ns = clock_now_ns();
    histogram_add(&conn->proxy->shares[conn->loop->index].lateness, *now_ns > segment->came_ns ? *now_ns - segment->came_ns : 0);
}

static uint32_t gather(struct conn *conn, int direction, struct iovec *parts)
{
    struct link *link = &conn->links[direction];
    struct queue *out = &conn->chain.out[direction];
    uint64_t now_ns = 0;
    uint32_t count = 0;

    while (out->first && !(out->first->flags & SEGMENT_END) && link->sending.count < IO_PARTS_MAX &&
           !(link->sending.last && link->sending.last->flags & SEGMENT_CUT)) {
        note_lateness(conn, link, out->first, &now_ns);
        queue_push(&link->sending, queue_pop(out));
    }
    for (struct segment *segment = link->sending.first; segment; segment = segment->next)
        parts[count++] = (struct iovec){ segment_bytes(segment), segment->size };
    return count;
}

/* Sends until nothing is left that may go now, or the destination takes no more: the rest is a request of the backend. */
static void send_out(struct conn *conn, int direction)
{
    struct link *link = &conn->links[direction];
    struct iovec parts[IO_PARTS_MAX];
    uint32_t count;

    for (int calls = 0; (count = gather(conn, direction, parts)) > 0; calls++) {
        uint64_t before = link->sending.bytes;
        int result = (link->sending.bytes >= DIRECT_BYTES || link->sending.first->flags & SEGMENT_HELD) && calls < SENDS_A_TURN_MAX ? send_now(conn->fds[!direction], parts, count) : -EAGAIN;

        if (is_failure(result)) {
            link_break(conn, direction);
            return;
        }
        account_sent(conn, direction, result > 0 ? (uint32_t)result : 0);
        if (result > 0 && (uint64_t)result == before)
            continue;
        count = gather(conn, direction, parts);
        link->send_busy = true;
        conn->inflight++;
        conn->loop->ops->send(conn->loop->io, conn_tag(conn, OPERATION_SEND, direction), conn->fds[!direction], parts, count);
        return;
    }
}

void link_send(struct conn *conn, int direction)
{
    struct link *link = &conn->links[direction];
    struct queue *out = &conn->chain.out[direction];

    if (link->broken || link->ended) {
        link_drop(conn, direction);
        return;
    }
    if (link->send_busy || link->bulk.on || (direction == TO_UPSTREAM && !conn->connected))
        return;
    send_out(conn, direction);
    if (link->send_busy || link->broken)
        return;
    if (out->first) {
        struct segment *end = queue_pop(out);
        uint32_t flags = end->flags;

        pool_segment_free(conn->loop->pool, end);
        conn_stream_ended(conn, direction, flags);
    }
}
