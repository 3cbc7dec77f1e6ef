/* Clients: found by address, dialled for, ended. */
#include "injector/datagram/udp_priv.h"

#include "injector/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- the table -------------------------------------------------------------------------------------------------------- */

static bool same_address(const union udp_address *a, const union udp_address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    return a->in6.sin6_port == b->in6.sin6_port && a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
           !memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr));
}

static bool same_local(const struct udp_local *a, const struct udp_local *b)
{
    return a->family == b->family && a->interface == b->interface && !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t size)
{
    for (const uint8_t *at = bytes; size > 0; size--)
        hash = (hash ^ *at++) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t hash_of(const union udp_address *client, const struct udp_local *local)
{
    uint64_t hash = mix_bytes(UINT64_C(0xcbf29ce484222325), local->bytes, sizeof(local->bytes));

    if (client->any.sa_family == AF_INET) {
        hash = mix_bytes(hash, &client->in.sin_port, sizeof(client->in.sin_port));
        hash = mix_bytes(hash, &client->in.sin_addr, sizeof(client->in.sin_addr));
    } else {
        hash = mix_bytes(hash, &client->in6.sin6_port, sizeof(client->in6.sin6_port));
        hash = mix_bytes(hash, &client->in6.sin6_addr, sizeof(client->in6.sin6_addr));
    }
    return hash ^ hash >> 32;
}

struct udp_session *session_find(const struct endpoint *endpoint, const union udp_address *client, const struct udp_local *local, uint64_t *ret_hash)
{
    uint64_t hash = hash_of(client, local);
    struct udp_session *session = endpoint->buckets[hash & (endpoint->bucket_count - 1)];

    *ret_hash = hash;
    while (session && (session->hash != hash || !same_address(&session->client, client) || !same_local(&session->local, local)))
        session = session->next;
    return session;
}

/* Twice the buckets, when there are more sessions than buckets. Without memory it goes on with long ones. */
static void grow(struct endpoint *endpoint)
{
    uint32_t count = 2 * endpoint->bucket_count;
    struct udp_session **buckets = endpoint->session_count > endpoint->bucket_count ? calloc(count, sizeof(struct udp_session *)) : NULL;

    if (!buckets)
        return;
    for (uint32_t i = 0; i < endpoint->bucket_count; i++)
        while (endpoint->buckets[i]) {
            struct udp_session *session = endpoint->buckets[i], **to = &buckets[session->hash & (count - 1)];

            endpoint->buckets[i] = session->next;
            session->next = *to;
            *to = session;
        }
    free(endpoint->buckets);
    endpoint->buckets = buckets;
    endpoint->bucket_count = count;
}

static void insert(struct endpoint *endpoint, struct udp_session *session)
{
    struct udp_session **bucket;

    endpoint->session_count++;
    grow(endpoint);
    bucket = &endpoint->buckets[session->hash & (endpoint->bucket_count - 1)];
    session->next = *bucket;
    *bucket = session;
    share_add(&endpoint->share->connections_open, 1);
}

static void take_out(struct endpoint *endpoint, const struct udp_session *session)
{
    struct udp_session **at = &endpoint->buckets[session->hash & (endpoint->bucket_count - 1)];

    while (*at != session)
        at = &(*at)->next;
    *at = session->next;
    endpoint->session_count--;
    share_add(&endpoint->share->connections_open, UINT64_MAX);
}

/* ---- the upstream ----------------------------------------------------------------------------------------------------- */

static struct udp_session *oldest_of(const struct endpoint *endpoint)
{
    return (struct udp_session *)(void *)endpoint->flow.oldest; /* the flow's part comes first */
}

/* Makes room at the price of the session that was not used for the longest time. False when there is none but `spared`. */
static bool evict(struct endpoint *endpoint, const struct udp_session *spared)
{
    struct udp_session *oldest = oldest_of(endpoint);

    if (!oldest || oldest == spared)
        return false;
    session_end(oldest);
    share_add(&endpoint->share->sessions_evicted, 1);
    return true;
}

static int open_socket(int family, struct endpoint *endpoint, const struct udp_session *session)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && evict(endpoint, session))
        fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd;
}

static bool dial_to(struct udp_session *session, const struct sockaddr_storage *address, socklen_t size)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)session->generation << 32 | session->slot };

    session->fd = open_socket(address->ss_family, session->endpoint, session);
    return session->fd >= 0 && connect(session->fd, (const struct sockaddr *)address, size) == 0 &&
           epoll_ctl(session->endpoint->udp->epoll_fd, EPOLL_CTL_ADD, session->fd, &event) == 0;
}

static bool dial(struct udp_session *session)
{
    const struct proxy *proxy = session->endpoint->proxy;

    if (proxy->upstream_size)
        return dial_to(session, &proxy->upstream, proxy->upstream_size);
    session->resolving = resolver_ask(session->endpoint->udp->loop->resolver,
                                      tag_of(OPERATION_DATAGRAM, 0, session->generation, session->slot), proxy->spec.upstream) >= 0;
    return session->resolving;
}

void session_wait(struct udp_session *session, const uint8_t *bytes, uint32_t size)
{
    struct packet *packet = flow_keep(&session->endpoint->flow, &session->flow, 0, bytes, size);

    if (!packet)
        return;
    packet->next = NULL;
    *session->waiting_end = packet;
    session->waiting_end = &packet->next;
}

static struct packet *take_waiting(struct udp_session *session)
{
    struct packet *packet = session->waiting;

    if (!packet)
        return NULL;
    session->waiting = packet->next;
    if (!session->waiting)
        session->waiting_end = &session->waiting;
    flow_release(&session->endpoint->flow, packet);
    return packet;
}

void session_resolved(struct udp_session *session, const struct resolved *resolved)
{
    struct endpoint *endpoint = session->endpoint;
    struct packet *packet;

    session->resolving = false;
    if (resolved->result < 0 || !dial_to(session, &resolved->address, resolved->size)) {
        share_add(&endpoint->share->connects_failed, 1);
        session_end(session);
        return;
    }
    while ((packet = take_waiting(session)))
        batch_emit(endpoint, &session->flow, 0, packet->bytes, packet->size, packet);
}

/* ---- begin and end ---------------------------------------------------------------------------------------------------- */

static bool take_slot(struct udp *udp, struct udp_session *session)
{
    if (udp->slots_free_count)
        session->slot = udp->slots_free[--udp->slots_free_count];
    else if (udp->slots_used < udp->sessions_max)
        session->slot = udp->slots_used++;
    else
        return false;
    session->generation = ++udp->generation & GENERATION_MASK;
    udp->sessions[session->slot] = session;
    return true;
}

struct udp_session *session_begin(struct endpoint *endpoint, const union udp_address *client, const struct udp_local *local, uint64_t hash)
{
    struct udp *udp = endpoint->udp;
    struct udp_session *session = calloc(1, sizeof(*session));

    share_add(&endpoint->share->connections, 1);
    if (!session || (!take_slot(udp, session) && !(evict(endpoint, NULL) && take_slot(udp, session)))) {
        share_add(&endpoint->share->connects_failed, 1);
        free(session);
        return NULL;
    }
    session->endpoint = endpoint;
    session->client = *client;
    session->local = *local;
    session->hash = hash;
    session->fd = -1;
    session->last_ns = udp->loop->now_ns;
    session->waiting_end = &session->waiting;
    session->flow.client = &session->client.any;
    session->flow.sequence = __atomic_add_fetch(&endpoint->proxy->sequence, 1, __ATOMIC_RELAXED);
    flow_begin(&endpoint->flow, &session->flow);
    insert(endpoint, session);
    if (dial(session))
        return session;
    share_add(&endpoint->share->connects_failed, 1);
    session_end(session);
    return NULL;
}

void session_end(struct udp_session *session)
{
    struct endpoint *endpoint = session->endpoint;
    struct udp *udp = endpoint->udp;
    struct packet *packet;

    batch_flush(udp);
    while ((packet = take_waiting(session))) {
        share_add(&endpoint->flow.counts[0].failed, 1);
        free(packet);
    }
    flow_end(&endpoint->flow, &session->flow);
    take_out(endpoint, session);
    udp->sessions[session->slot] = NULL;
    udp->slots_free[udp->slots_free_count++] = session->slot;
    if (session->fd >= 0)
        close(session->fd);
    free(session);
}
