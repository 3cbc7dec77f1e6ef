/* The life of a connection: accepted, dialled, advanced, ended. States and invariants stand in conn.h. */
#include "injector/conn.h"

#include "injector/capture.h"
#include "injector/loop.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <unistd.h>

#define LINGER_NS (2 * NS_PER_S)
#define FLUSH_NS (1 * NS_PER_S)
#define FLUSH_STEP_NS (1 * NS_PER_MS)

static struct proxy_share *share_of(const struct conn *conn)
{
    return &conn->proxy->shares[conn->loop->index];
}

static void close_with_reset(int fd)
{
    if (fd < 0)
        return;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1, .l_linger = 0 }, sizeof(struct linger));
    close(fd);
}

void conn_touch(struct conn *conn)
{
    if (conn->dirty)
        return;
    conn->dirty = true;
    conn->next_dirty = conn->loop->dirty;
    conn->loop->dirty = conn;
}

void conn_starve(struct conn *conn)
{
    if (conn->starved)
        return;
    conn->starved = true;
    conn->next_starved = conn->loop->starved;
    conn->loop->starved = conn;
}

/* ---- begin ------------------------------------------------------------------------------------------------------------ */

static void dial_failed(struct conn *conn)
{
    share_add(&share_of(conn)->connects_failed, 1);
    if (conn->proxy->spec.flags & PROXY_REFUSES_SOFTLY)
        conn_cut(conn);
    else
        conn_reset(conn);
}

static void dial_to(struct conn *conn, const struct sockaddr_storage *address, socklen_t size)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        dial_failed(conn);
        return;
    }
    if (capture_mark(conn->proxy, fd) < 0) {
        close(fd);
        dial_failed(conn); /* unmarked it would come back to us */
        return;
    }
    if (address->ss_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    conn->fds[1] = fd;
    conn->connecting = true;
    conn->inflight++;
    conn->loop->ops->connect(conn->loop->io, conn_tag(conn, OPERATION_CONNECT, 0), fd, (const struct sockaddr *)address, size);
}

static void dial_original(struct conn *conn)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };

    if (!conn->destination) {
        dial_failed(conn);
        return;
    }
    memcpy(&address, conn->destination, sizeof(*conn->destination));
    free(TAKE_PTR(conn->destination));
    dial_to(conn, &address, address.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
}

static void dial(struct conn *conn)
{
    const struct proxy *proxy = conn->proxy;

    if (proxy->capture_port) {
        dial_original(conn);
        return;
    }
    if (proxy->upstream_size) {
        dial_to(conn, &proxy->upstream, proxy->upstream_size);
        return;
    }
    if (resolver_ask(conn->loop->resolver, conn_tag(conn, OPERATION_CONNECT, 0), proxy->spec.upstream) < 0)
        dial_failed(conn);
    else
        conn->resolving = true;
}

void conn_resolved(struct conn *conn, const struct resolved *resolved)
{
    conn->resolving = false;
    if (conn->state != CONN_DIALLING)
        return;
    if (resolved->result < 0)
        dial_failed(conn);
    else
        dial_to(conn, &resolved->address, resolved->size);
    conn_touch(conn);
}

static const struct sockaddr *client_of(int fd, union client_address *address)
{
    socklen_t size = sizeof(*address);

    return getpeername(fd, &address->any, &size) < 0 ? NULL : &address->any;
}

static void learn_client(struct conn *conn)
{
    if (!conn->chain.client)
        conn->chain.client = client_of(conn->fds[0], &conn->client);
}

uint64_t *conn_count_in(const struct loop *loop, const struct proxy *proxy, int fd, uint64_t sequence)
{
    union client_address address;
    struct chain chain;

    chain_init(&chain, NULL, proxy->hash, sequence);
    chain.client = client_of(fd, &address);
    return chain_count_in(&chain, loop->armed, loop->now_ns);
}

/* At once: by the time of a dial that is held back, who knew may be gone. */
static void learn_destination(struct conn *conn)
{
    struct sockaddr_storage address;
    socklen_t size;

    if (capture_destination(conn->proxy, conn->fds[0], &address, &size) < 0 || size > sizeof(*conn->destination))
        return;
    conn->destination = calloc(1, sizeof(*conn->destination)); /* without memory the dial fails */
    if (conn->destination)
        memcpy(conn->destination, &address, size);
}

void conn_accepted(struct loop *loop, struct proxy *proxy, int fd, uint64_t sequence, const struct handed *handed)
{
    struct proxy_share *share = &proxy->shares[loop->index];
    struct conn *conn = loop_take_slot(loop);

    share_add(&share->connections, 1);
    if (!conn) {
        share_add(&share->connects_failed, 1);
        close_with_reset(fd);
        return;
    }
    __atomic_fetch_add(&proxy->references, 1, __ATOMIC_RELAXED);
    share_add(&share->connections_open, 1);
    conn->proxy = proxy;
    conn->fds[0] = fd;
    conn->fds[1] = -1;
    conn->state = CONN_DIALLING;
    conn->began_ns = loop->now_ns;
    if (proxy->capture_port)
        learn_destination(conn);
    chain_init(&conn->chain, loop->pool, proxy->hash, sequence);
    if (loop->armed) {
        learn_client(conn);
        if (handed)
            chain_counted(&conn->chain, handed->ordinals, handed->adoptions < loop->adoptions);
        (void)chain_adopt(&conn->chain, loop->armed, loop->now_ns, true); /* without memory it counts as skipped */
        chain_counted(&conn->chain, NULL, false);
    }
    conn_touch(conn);
}

void conn_connect_done(struct conn *conn, int result)
{
    conn->inflight--;
    conn->connecting = false;
    if (conn->state == CONN_DIALLING && result < 0) {
        dial_failed(conn);
    } else if (result >= 0) {
        conn->connected = true;
        if (conn->state == CONN_DIALLING)
            conn->state = CONN_OPEN;
    }
    conn_touch(conn);
}

/* ---- end -------------------------------------------------------------------------------------------------------------- */

static void cancel_all(struct conn *conn)
{
    const struct io_ops *ops = conn->loop->ops;

    if (conn->connecting)
        ops->cancel(conn->loop->io, conn_tag(conn, OPERATION_CONNECT, 0));
    for (int direction = 0; direction < DIRECTIONS; direction++) {
        if (conn->links[direction].recv_busy)
            ops->cancel(conn->loop->io, conn_tag(conn, OPERATION_RECV, direction));
        if (conn->links[direction].send_busy)
            ops->cancel(conn->loop->io, conn_tag(conn, OPERATION_SEND, direction));
        bulk_cancel(conn, direction);
    }
}

static void drop_all(struct conn *conn)
{
    chain_done(&conn->chain);
    for (int direction = 0; direction < DIRECTIONS; direction++)
        link_drop(conn, direction);
}

static void tell_held(struct conn *conn)
{
    struct proxy_share *share = share_of(conn);
    uint64_t bound = conn->loop->limits.hold_proxy_bytes_max;
    uint64_t bytes = 0, cost = 0;

    for (int direction = 0; direction < DIRECTIONS; direction++) {
        uint64_t more_bytes, more_cost;

        chain_held(&conn->chain, direction, &more_bytes, &more_cost);
        bytes += more_bytes;
        cost += more_cost;
    }
    if (bytes == conn->told_bytes && cost == conn->told_cost)
        return;
    proxy_hold(conn->proxy, bytes - conn->told_bytes, cost - conn->told_cost);
    conn->told_bytes = bytes;
    conn->told_cost = cost;
    if (!share->careful && proxy_held_cost(conn->proxy) >= bound / 2) {
        share->careful = true;
        loop_touch_proxy(conn->loop, conn->proxy);
    } else if (share->careful && proxy_held_cost(conn->proxy) < bound / 4) {
        share->careful = false;
    }
}

static void finish(struct conn *conn)
{
    if (conn->state == CONN_RESETTING) {
        chain_closed(&conn->chain, TO_CLIENT, clock_now_ns()); /* before the first victim can have seen it */
        close_with_reset(conn->fds[0]);
        close_with_reset(conn->fds[1]);
    } else {
        close(conn->fds[0]);
        if (conn->fds[1] >= 0)
            close(conn->fds[1]);
    }
    drop_all(conn);
    tell_held(conn);
    timer_set(&conn->loop->timers, &conn->timer, UINT64_MAX);
    share_add(&share_of(conn)->connections_open, UINT64_MAX);
    proxy_unref(conn->proxy);
    free(TAKE_PTR(conn->destination));
    loop_give_slot(conn->loop, conn);
}

static void begin_end(struct conn *conn, enum conn_state state)
{
    if (conn->state == CONN_CLOSING || conn->state == CONN_RESETTING)
        return;
    conn->state = (uint8_t)state;
    cancel_all(conn);
    conn_touch(conn);
}

void conn_reset(struct conn *conn)
{
    begin_end(conn, CONN_RESETTING);
}

void conn_cut(struct conn *conn)
{
    begin_end(conn, CONN_CLOSING);
}

static void shut_writing(struct conn *conn, int direction)
{
    int fd = conn->fds[!direction];

    conn->links[direction].ended = true;
    if (fd >= 0 && (direction == TO_CLIENT || conn->connected))
        (void)shutdown(fd, SHUT_WR);
}

void conn_end(struct conn *conn)
{
    if (conn->state >= CONN_LINGER)
        return;
    if (!conn->connected) {
        conn_cut(conn);
        return;
    }
    conn->state = CONN_LINGER;
    conn->deadline_ns = conn->loop->now_ns + LINGER_NS;
    drop_all(conn);
    for (int direction = 0; direction < DIRECTIONS; direction++)
        if (!conn->links[direction].send_busy)
            shut_writing(conn, direction);
    conn_touch(conn);
}

/* Nothing sent is unacknowledged, or the socket is dead and never will be. */
static bool is_flushed(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);
    int unsent = 0;

    if (fd < 0 || ioctl(fd, SIOCOUTQ, &unsent) < 0 || !unsent)
        return true;
    return !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) && info.tcpi_state == TCP_CLOSE;
}

void conn_stream_ended(struct conn *conn, int direction, uint32_t flags)
{
    if (flags & SEGMENT_RST || conn->links[direction].reset_behind) {
        conn->state = CONN_FLUSH;
        conn->flush_fd = conn->fds[!direction];
        conn->deadline_ns = conn->loop->now_ns + FLUSH_NS;
        conn_touch(conn);
    } else if (flags & SEGMENT_CLOSE) {
        chain_closed(&conn->chain, direction, clock_now_ns());
        conn_end(conn);
    } else if (conn->links[!direction].came_end && conn->links[!direction].ended) {
        conn->links[direction].ended = true; /* the close that follows says so */
    } else {
        shut_writing(conn, direction);
        if (conn->proxy->spec.flags & PROXY_ENDS_WHOLE) {
            link_source_ended(conn, !direction, SEGMENT_FIN);
            conn_touch(conn);
        }
    }
}

/* ---- advance ---------------------------------------------------------------------------------------------------------- */

static bool is_over(const struct conn *conn, int direction)
{
    return conn->links[direction].ended || conn->links[direction].broken || conn->chain.end_discarded[direction];
}

static void advance_open(struct conn *conn)
{
    uint64_t now_ns = conn->loop->now_ns;

    for (int direction = 0; direction < DIRECTIONS; direction++)
        chain_pump(&conn->chain, direction, now_ns);
    if (conn->chain.reset) {
        conn_reset(conn);
        return;
    }
    if (conn->fds[1] < 0 && !conn->resolving && !chain_open_stalled(&conn->chain))
        dial(conn);
    for (int direction = 0; direction < DIRECTIONS && conn->state <= CONN_OPEN; direction++)
        link_send(conn, direction);
    for (int direction = 0; direction < DIRECTIONS && conn->state <= CONN_OPEN; direction++)
        link_read(conn, direction);
    if (conn->state <= CONN_OPEN && is_over(conn, TO_UPSTREAM) && is_over(conn, TO_CLIENT))
        begin_end(conn, CONN_CLOSING);
}

static void advance_linger(struct conn *conn)
{
    for (int direction = 0; direction < DIRECTIONS; direction++) {
        struct link *link = &conn->links[direction];

        if (!link->send_busy && !link->ended) {
            link_drop(conn, direction);
            shut_writing(conn, direction);
        }
        link_read(conn, direction);
    }
    if ((conn->links[0].came_end && conn->links[1].came_end) || conn->loop->now_ns >= conn->deadline_ns)
        begin_end(conn, CONN_CLOSING);
}

static void advance_flush(struct conn *conn)
{
    bool busy = conn->links[conn->flush_fd == conn->fds[0] ? TO_CLIENT : TO_UPSTREAM].send_busy;

    if ((!busy && is_flushed(conn->flush_fd)) || conn->loop->now_ns >= conn->deadline_ns)
        conn_reset(conn);
}

static uint64_t next_ns(const struct conn *conn)
{
    switch (conn->state) {
    case CONN_DIALLING:
    case CONN_OPEN:
        return chain_next_ns(&conn->chain);
    case CONN_LINGER:
        return conn->deadline_ns;
    case CONN_FLUSH:
        return conn->loop->now_ns + FLUSH_STEP_NS;
    default:
        return UINT64_MAX;
    }
}

void conn_advance(struct conn *conn)
{
    if (conn->state == CONN_FREE)
        return;
    if (conn->state <= CONN_OPEN)
        advance_open(conn);
    if (conn->state == CONN_LINGER)
        advance_linger(conn);
    if (conn->state == CONN_FLUSH)
        advance_flush(conn);
    if (conn->state >= CONN_CLOSING && !conn->inflight) {
        finish(conn);
        return;
    }
    tell_held(conn);
    timer_set(&conn->loop->timers, &conn->timer, next_ns(conn));
}

/* ---- plans ------------------------------------------------------------------------------------------------------------ */

void conn_adopt(struct conn *conn, struct armed *armed)
{
    if (conn->state > CONN_OPEN) {
        chain_closed(&conn->chain, TO_CLIENT, conn->loop->now_ns); /* the reset is on its way; its rule is about to go */
        drop_all(conn);
        conn->chain.armed = NULL;
        conn_touch(conn);
        return;
    }
    if (armed)
        learn_client(conn);
    (void)chain_adopt(&conn->chain, armed, conn->loop->now_ns, false);
    conn_touch(conn);
}

void conn_consider(struct conn *conn)
{
    if (conn->state > CONN_OPEN || !conn->chain.armed)
        return;
    chain_consider(&conn->chain, conn->loop->now_ns, false);
    conn_touch(conn);
}
