/* The proxies of a loop and its turn. */
#include "injector/datagram/udp_priv.h"

#include "injector/event.h"
#include "injector/loop.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <unistd.h>

enum { BUCKETS = 256, EVENTS_MAX = 64, EVENT_ROUNDS_MAX = 16, SOCKET_BUFFER_BYTES = 4 << 20 };

/* An event of a listening socket: behind every session's. */
#define LISTENER_EVENT (UINT64_C(1) << 63)

/* ---- the hub ---------------------------------------------------------------------------------------------------------- */

int udp_new(struct loop *loop, struct udp **ret_udp)
{
    struct udp *udp = calloc(1, sizeof(*udp));

    if (!udp)
        return -ENOMEM;
    udp->loop = loop;
    udp->sessions_max = loop->limits.connections_max * loop->limits.loops; /* a proxy has one loop: all that there may be */
    udp->sessions = calloc(udp->sessions_max, sizeof(struct udp_session *));
    udp->slots_free = calloc(udp->sessions_max, sizeof(*udp->slots_free));
    udp->buffers = mmap(NULL, (size_t)UDP_BATCH * UDP_BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (udp->buffers == MAP_FAILED)
        udp->buffers = NULL;
    udp->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (udp->sessions && udp->slots_free && udp->buffers && udp->epoll_fd >= 0) {
        *ret_udp = udp;
        return 0;
    }
    udp_free(udp);
    return -ENOMEM;
}

static void end_endpoint(struct endpoint *endpoint)
{
    while (endpoint->flow.oldest)
        session_end((struct udp_session *)(void *)endpoint->flow.oldest);
    flow_done(&endpoint->flow);
    free(endpoint->buckets);
    proxy_unref(endpoint->proxy);
    free(endpoint);
}

void udp_free(struct udp *udp)
{
    if (!udp)
        return;
    while (udp->endpoints) {
        struct endpoint *endpoint = udp->endpoints;

        udp->endpoints = endpoint->next;
        end_endpoint(endpoint);
    }
    if (udp->epoll_fd >= 0)
        close(udp->epoll_fd);
    if (udp->buffers)
        munmap(udp->buffers, (size_t)UDP_BATCH * UDP_BUFFER_BYTES);
    free(udp->sessions);
    free(udp->slots_free);
    free(udp);
}

/* ---- proxies ---------------------------------------------------------------------------------------------------------- */

/* Room for bursts: beyond the system's limit where we may. */
static void widen(int fd)
{
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){ SOCKET_BUFFER_BYTES }, sizeof(int)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){ SOCKET_BUFFER_BYTES }, sizeof(int));
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){ SOCKET_BUFFER_BYTES }, sizeof(int)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ SOCKET_BUFFER_BYTES }, sizeof(int));
}

/* Bound to any address, the socket has to tell which one a datagram was sent to. */
static int ask_for_local(int fd, const struct sockaddr_storage *address)
{
    const struct sockaddr_in6 *in6 = (const void *)address;
    const struct sockaddr_in *in = (const void *)address;
    int result = 0;

    if (address->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
        result = setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &(int){ 1 }, sizeof(int));
    else if (address->ss_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY))
        result = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &(int){ 1 }, sizeof(int));
    return result < 0 ? -errno : 0;
}

int udp_bind(const struct sockaddr_storage *address, socklen_t size, int *ret_fd)
{
    AUTO_CLOSE int fd = -1;
    int result;

    if (address->ss_family == AF_UNIX)
        return -EINVAL;
    fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    widen(fd);
    result = ask_for_local(fd, address);
    if (result < 0)
        return result;
    if (bind(fd, (const struct sockaddr *)address, size) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static void watch(struct udp *udp)
{
    udp->watched = true;
    udp->loop->ops->readable(udp->loop->io, tag_of(OPERATION_DATAGRAM, 0, 0, 0), udp->epoll_fd);
}

static struct endpoint *endpoint_new(struct udp *udp, struct proxy *proxy)
{
    struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
    struct udp_session **buckets = calloc(BUCKETS, sizeof(struct udp_session *));

    if (!endpoint || !buckets) {
        free(endpoint);
        free(buckets);
        return NULL;
    }
    endpoint->udp = udp;
    endpoint->proxy = proxy;
    endpoint->share = &proxy->shares[udp->loop->index];
    endpoint->idle_ns = proxy->spec.idle_ns;
    endpoint->buckets = buckets;
    endpoint->bucket_count = BUCKETS;
    endpoint->flow.held_cost_max = udp->loop->limits.hold_proxy_bytes_max;
    endpoint->flow.session_cost_max = udp->loop->limits.hold_connection_bytes_max;
    endpoint->flow.counts = endpoint->share->datagrams;
    endpoint->flow.emit = batch_emit;
    endpoint->flow.context = endpoint;
    flow_init(&endpoint->flow, proxy->hash);
    return endpoint;
}

int udp_open(struct udp *udp, struct proxy *proxy)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = LISTENER_EVENT | proxy->index };
    struct endpoint *endpoint = endpoint_new(udp, proxy);
    int result = endpoint ? 0 : -ENOMEM;

    if (endpoint && epoll_ctl(udp->epoll_fd, EPOLL_CTL_ADD, proxy->listen_fd, &event) < 0) {
        result = -errno;
        free(endpoint->buckets);
        free(endpoint);
    }
    if (result < 0) {
        proxy_unref(proxy);
        return result;
    }
    endpoint->next = udp->endpoints;
    udp->endpoints = endpoint;
    if (udp->loop->armed)
        (void)flow_adopt(&endpoint->flow, udp->loop->armed, udp->loop->now_ns); /* without memory it counts as skipped */
    if (!udp->watched)
        watch(udp);
    return 0;
}

void udp_close(struct udp *udp, const struct proxy *proxy)
{
    for (struct endpoint **at = &udp->endpoints; *at; at = &(*at)->next) {
        struct endpoint *endpoint = *at;

        if (endpoint->proxy != proxy)
            continue;
        *at = endpoint->next;
        (void)flow_adopt(&endpoint->flow, NULL, udp->loop->now_ns);
        batch_flush(udp);
        (void)epoll_ctl(udp->epoll_fd, EPOLL_CTL_DEL, proxy->listen_fd, NULL);
        end_endpoint(endpoint);
        return;
    }
}

/* ---- plans ------------------------------------------------------------------------------------------------------------ */

static void tell_held(struct endpoint *endpoint)
{
    const struct flow *flow = &endpoint->flow;

    proxy_hold(endpoint->proxy, flow->held_bytes - endpoint->told_bytes, flow->held_cost - endpoint->told_cost);
    endpoint->told_bytes = flow->held_bytes;
    endpoint->told_cost = flow->held_cost;
}

void udp_adopt(struct udp *udp, struct armed *armed)
{
    for (struct endpoint *endpoint = udp->endpoints; endpoint; endpoint = endpoint->next)
        (void)flow_adopt(&endpoint->flow, armed, udp->loop->now_ns);
    batch_flush(udp); /* what was held has gone when the release is acknowledged */
    for (struct endpoint *endpoint = udp->endpoints; endpoint; endpoint = endpoint->next)
        tell_held(endpoint);
}

void udp_consider(struct udp *udp)
{
    for (struct endpoint *endpoint = udp->endpoints; endpoint; endpoint = endpoint->next)
        flow_consider(&endpoint->flow, udp->loop->now_ns);
}

/* ---- the turn --------------------------------------------------------------------------------------------------------- */

void udp_ready(struct udp *udp, bool more)
{
    udp->ready = true;
    if (!more)
        watch(udp);
}

void udp_resolved(struct udp *udp, const struct resolved *resolved)
{
    uint32_t slot = (uint32_t)resolved->tag, generation = (uint32_t)(resolved->tag >> 32) & GENERATION_MASK;
    struct udp_session *session = slot < udp->slots_used ? udp->sessions[slot] : NULL;

    if (session && session->generation == generation && session->resolving)
        session_resolved(session, resolved);
}

static void serve_event(struct udp *udp, uint64_t event)
{
    uint32_t number = (uint32_t)event;

    if (event & LISTENER_EVENT) {
        for (struct endpoint *endpoint = udp->endpoints; endpoint; endpoint = endpoint->next)
            if (endpoint->proxy->index == number)
                batch_receive_clients(endpoint);
    } else if (udp->sessions[number] && udp->sessions[number]->generation == (uint32_t)(event >> 32)) {
        batch_receive_upstream(udp->sessions[number]);
    }
}

/* Until nothing is there, or until others on this loop are to have their turn. */
static void receive_all(struct udp *udp)
{
    struct epoll_event events[EVENTS_MAX];

    for (int round = 0; udp->ready && round < EVENT_ROUNDS_MAX; round++) {
        int count = epoll_wait(udp->epoll_fd, events, EVENTS_MAX, 0);

        udp->ready = count > 0;
        for (int i = 0; i < count; i++)
            serve_event(udp, events[i].data.u64);
    }
}

static bool is_idle(const struct udp_session *session, uint64_t now_ns)
{
    return now_ns - session->last_ns >= session->endpoint->idle_ns;
}

static void expire(struct endpoint *endpoint, uint64_t now_ns)
{
    struct udp_session *session;

    while ((session = (struct udp_session *)(void *)endpoint->flow.oldest) && is_idle(session, now_ns)) {
        if (session->resolving || session->flow.held_cost[0] || session->flow.held_cost[1]) {
            session->last_ns = now_ns; /* something of it is still on its way */
            flow_touch(&endpoint->flow, &session->flow);
            continue;
        }
        session_end(session);
        share_add(&endpoint->share->sessions_expired, 1);
    }
}

/* Datagrams were lost at the bound: the epoch's first wakes the control thread. */
static void tell_no_room(struct endpoint *endpoint, uint64_t now_ns)
{
    struct proxy_share *share = endpoint->share;
    const struct armed *armed = endpoint->flow.armed;
    uint64_t no_room = share->datagrams[0].no_room + share->datagrams[1].no_room, lost = no_room - endpoint->no_room;

    if (!lost)
        return;
    endpoint->no_room = no_room;
    share_set(&share->hold_full_bytes, endpoint->flow.held_bytes);
    share_set(&share->hold_full_ns, now_ns);
    __atomic_store_n(&share->hold_full, share->hold_full + lost, __ATOMIC_RELEASE);
    if (!armed || share->hold_full_epoch == armed->plan->epoch)
        return;
    share_set(&share->hold_full_epoch, armed->plan->epoch);
    if (armed->event_fd >= 0)
        event_tell(armed->event_fd);
}

void udp_turn(struct udp *udp)
{
    uint64_t now_ns;

    if (!udp->endpoints)
        return;
    receive_all(udp);
    now_ns = clock_now_ns();
    for (struct endpoint *endpoint = udp->endpoints; endpoint; endpoint = endpoint->next)
        flow_run(&endpoint->flow, now_ns);
    batch_flush(udp);
    for (struct endpoint *endpoint = udp->endpoints; endpoint; endpoint = endpoint->next) {
        expire(endpoint, now_ns);
        tell_no_room(endpoint, now_ns);
        tell_held(endpoint);
    }
}

uint64_t udp_next_ns(const struct udp *udp)
{
    uint64_t next_ns = udp->ready ? 0 : UINT64_MAX;

    for (const struct endpoint *endpoint = udp->endpoints; endpoint; endpoint = endpoint->next) {
        const struct udp_session *oldest = (const struct udp_session *)(const void *)endpoint->flow.oldest;

        next_ns = MIN(next_ns, flow_next_ns(&endpoint->flow));
        if (oldest)
            next_ns = MIN(next_ns, oldest->last_ns + endpoint->idle_ns);
    }
    return next_ns;
}

/* ---- counters, for the control thread ----------------------------------------------------------------------------------- */

void udp_add_counts(struct proxy_status *status, const struct proxy_share *share)
{
    for (int i = 0; i < 2; i++) {
        const struct datagram_counts *counts = &share->datagrams[i];

        status->datagrams[i].came += __atomic_load_n(&counts->came, __ATOMIC_RELAXED);
        status->datagrams[i].passed += __atomic_load_n(&counts->passed, __ATOMIC_RELAXED);
        status->datagrams[i].dropped += __atomic_load_n(&counts->dropped, __ATOMIC_RELAXED);
        status->datagrams[i].doubled += __atomic_load_n(&counts->doubled, __ATOMIC_RELAXED);
        status->datagrams[i].no_room += __atomic_load_n(&counts->no_room, __ATOMIC_RELAXED);
        status->datagrams[i].failed += __atomic_load_n(&counts->failed, __ATOMIC_RELAXED);
    }
    status->sessions_expired += __atomic_load_n(&share->sessions_expired, __ATOMIC_RELAXED);
    status->sessions_evicted += __atomic_load_n(&share->sessions_evicted, __ATOMIC_RELAXED);
    status->upstream_refused += __atomic_load_n(&share->upstream_refused, __ATOMIC_RELAXED);
    status->overrun += __atomic_load_n(&share->overrun, __ATOMIC_RELAXED);
}
