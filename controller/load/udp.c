/* Datagrams: one asked, one answered. A reply belongs to the request whose token it carries; where there is no token, to the socket,
 * which then serves a single request. A late or doubled reply of another request is no reply. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/load/address.h"
#include "controller/load/load_priv.h"
#include "scenarios/base/rng.h"

enum { DATAGRAM_MAX = 65507 };

struct peer {
    int fd; /* -1: none */
    bool asked;
    char token[LOAD_TOKEN_MAX];
};

struct udp {
    struct load_address address;
    struct peer *peers;
    char datagram[65536];
};

static void peer_close(struct peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
    peer->asked = false;
}

static void finish(struct load *load, uint32_t number, enum load_outcome outcome)
{
    struct udp *udp = load->backend_data;
    struct peer *peer = &udp->peers[number];

    peer->asked = false;
    if (!load->spec.token_bytes)
        peer_close(peer);
    load_finish(load, number, outcome, 0);
}

static int peer_open(struct load *load, uint32_t number)
{
    struct udp *udp = load->backend_data;
    struct peer *peer = &udp->peers[number];
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = number };

    peer->fd = socket(udp->address.address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (peer->fd < 0)
        return -errno;
    load_count(&load->counts.connects, 1);
    if (connect(peer->fd, (const struct sockaddr *)&udp->address.address, udp->address.length) < 0 ||
        epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, peer->fd, &event) < 0) {
        int rc = -errno;
        peer_close(peer);
        return rc;
    }
    return 0;
}

/* The request's own bytes: the low ones of a draw by its index, as they are or as hex digits. */
static void make_token(const struct load *load, uint32_t slot, char *token)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t low = rng_draw(load->spec.seed, load->name_hash, 4, load->slots[slot].index) ^ load->slots[slot].index;
    uint32_t bits = load->spec.token_is_text ? 4 : 8;

    for (uint32_t i = load->spec.token_bytes; i-- > 0; low >>= bits)
        token[i] = load->spec.token_is_text ? digits[low & 15] : (char)(low & 255);
}

static void udp_send(struct load *load, uint32_t number)
{
    struct udp *udp = load->backend_data;
    struct peer *peer = &udp->peers[number];
    const struct load_request *request = load_request_of(load, number);

    if (peer->fd < 0 && peer_open(load, number) < 0) {
        load_finish(load, number, LOAD_CONNECT_FAILED, 0);
        return;
    }
    if (request->body_bytes)
        memcpy(udp->datagram, request->body, request->body_bytes);
    make_token(load, number, peer->token);
    memcpy(udp->datagram + load->spec.token_at, peer->token, load->spec.token_bytes);
    peer->asked = true;
    /* An ICMP error of an earlier request is reported once, by the next call; it is not this one's. */
    if (send(peer->fd, udp->datagram, request->body_bytes, MSG_NOSIGNAL) < 0 &&
        send(peer->fd, udp->datagram, request->body_bytes, MSG_NOSIGNAL) < 0)
        finish(load, number, errno == ECONNREFUSED ? LOAD_REFUSED : LOAD_RESET);
}

static void udp_cancel(struct load *load, uint32_t number)
{
    struct udp *udp = load->backend_data;

    udp->peers[number].asked = false;
    if (!load->spec.token_bytes)
        peer_close(&udp->peers[number]);
}

static bool is_reply(const struct load *load, const struct peer *peer, const char *datagram, size_t length)
{
    const struct load_spec *spec = &load->spec;

    return peer->asked && length >= (size_t)spec->reply_token_at + spec->token_bytes &&
           memcmp(datagram + spec->reply_token_at, peer->token, spec->token_bytes) == 0;
}

static void udp_event(struct load *load, uint64_t key, uint32_t events)
{
    struct udp *udp = load->backend_data;
    uint32_t number = (uint32_t)key;
    struct peer *peer = &udp->peers[number];

    (void)events;
    while (peer->fd >= 0) {
        ssize_t got = recv(peer->fd, udp->datagram, sizeof(udp->datagram), 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got < 0 && peer->asked)
            finish(load, number, errno == ECONNREFUSED ? LOAD_REFUSED : LOAD_RESET);
        if (got < 0 || !is_reply(load, peer, udp->datagram, (size_t)got))
            continue;
        load_take_bytes(load, number, udp->datagram, (size_t)got);
        finish(load, number, load_reply_is_good(load, number) ? LOAD_OK : LOAD_WRONG_REPLY);
    }
}

static int udp_open(struct load *load, struct errs *errs)
{
    struct udp *udp = calloc(1, sizeof(*udp));
    size_t needed = (size_t)load->spec.token_at + load->spec.token_bytes;

    load->backend_data = udp;
    if (!udp || !(udp->peers = calloc(load->spec.connections_max, sizeof(*udp->peers)))) {
        errs_add(errs, ERR_WORLD, "load", "out of memory");
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < load->spec.connections_max; i++)
        udp->peers[i].fd = -1;
    for (size_t i = 0; i < load->spec.mix_count; i++) {
        size_t length = load->spec.mix[i].body_bytes;
        if (length > DATAGRAM_MAX)
            return errs_add(errs, ERR_INPUT, "send", "%zu bytes are no datagram: at most %d", length, DATAGRAM_MAX);
        if (load->spec.token_bytes && length < needed)
            return errs_add(errs, ERR_INPUT, "send", "%zu bytes have no room for a token that ends at %zu", length, needed);
    }
    return load_address_resolve(load->spec.url, "udp", NULL, errs, &udp->address);
}

static void udp_close(struct load *load)
{
    struct udp *udp = load->backend_data;

    if (!udp)
        return;
    for (uint32_t i = 0; udp->peers && i < load->spec.connections_max; i++)
        peer_close(&udp->peers[i]);
    free(udp->peers);
    free(udp);
}

const struct load_backend load_udp_backend = {
    .open = udp_open, .send = udp_send, .cancel = udp_cancel, .on_event = udp_event, .timer_ns = load_no_timer_ns,
    .on_timer = load_no_timer, .close = udp_close,
};
