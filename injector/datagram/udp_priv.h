/* Between udp.c (proxies and turns), session.c (clients) and batch.c (sockets). */
#ifndef PERTURB_INJECTOR_DATAGRAM_UDP_PRIV_H
#define PERTURB_INJECTOR_DATAGRAM_UDP_PRIV_H

#include "injector/datagram/flow.h"
#include "injector/datagram/udp.h"

#include <netinet/in.h>

enum {
    UDP_BATCH = 32,           /* datagrams of one system call */
    UDP_BUFFER_BYTES = 65536, /* the longest payload is 65,507 bytes, 65,527 by IPv6 (RFC 768, RFC 8200) */
    UDP_OUT_MAX = 128,
    UDP_CONTROL_BYTES = 64,
};

union udp_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* The address that the client spoke to, where the socket is bound to any. family 0: it is the one bound to. */
struct udp_local {
    sa_family_t family;
    uint32_t interface; /* of a link-local one, else 0 */
    uint8_t bytes[16];
};

struct udp_session {
    struct flow_session flow; /* first */
    struct endpoint *endpoint;
    struct udp_session *next; /* in its bucket */
    union udp_address client;
    struct udp_local local;
    uint64_t hash, last_ns;
    uint32_t slot, generation;
    uint32_t overrun; /* the socket's count, as last seen */
    int fd;           /* -1 before the upstream's name is known */
    bool resolving;
    struct packet *waiting, **waiting_end; /* for the name */
};

struct endpoint {
    struct endpoint *next;
    struct udp *udp;
    struct proxy *proxy; /* one reference */
    struct proxy_share *share;
    struct flow flow;
    struct udp_session **buckets; /* owned; a power of two of them */
    uint32_t bucket_count, session_count;
    uint32_t overrun;
    uint64_t idle_ns;
    uint64_t no_room, told_bytes, told_cost; /* lost for want of room, and held, as last told */
};

/* What is to be sent: the session outlives it. */
struct udp_out {
    struct udp_session *session;
    struct packet *packet; /* owned; NULL: the bytes lie in a receive buffer */
    uint8_t *bytes;
    uint32_t size;
    uint8_t direction;
};

struct udp {
    struct loop *loop;
    int epoll_fd;
    bool watched, ready;
    struct endpoint *endpoints;
    struct udp_session **sessions; /* by slot; sessions_max of them */
    uint32_t *slots_free, slots_free_count, slots_used, sessions_max, generation;
    uint8_t *buffers; /* UDP_BATCH of UDP_BUFFER_BYTES */
    uint32_t buffers_used;
    struct udp_out out[UDP_OUT_MAX];
    uint32_t out_count;
};

/* ---- session.c ---- */
struct udp_session *session_find(const struct endpoint *endpoint, const union udp_address *client, const struct udp_local *local, uint64_t *ret_hash);
struct udp_session *session_begin(struct endpoint *endpoint, const union udp_address *client, const struct udp_local *local, uint64_t hash); /* NULL: counted */
void session_end(struct udp_session *session);
void session_resolved(struct udp_session *session, const struct resolved *resolved);
void session_wait(struct udp_session *session, const uint8_t *bytes, uint32_t size); /* until the name is known */

/* ---- batch.c ---- */
void batch_emit(void *context, struct flow_session *session, int direction, uint8_t *bytes, uint32_t size, struct packet *packet);
void batch_flush(struct udp *udp); /* sends all of `out` */
void batch_receive_clients(struct endpoint *endpoint);
void batch_receive_upstream(struct udp_session *session);

#endif
