/* Sockets: datagrams in and out, many a system call. */
#include "injector/datagram/udp_priv.h"

#include "injector/loop.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

enum { ROUNDS_MAX = 8 /* of a socket in one turn */, ERRORS_MAX = 16 };

/* ---- out -------------------------------------------------------------------------------------------------------------- */

void batch_emit(void *context, struct flow_session *flow_session, int direction, uint8_t *bytes, uint32_t size, struct packet *packet)
{
    struct endpoint *endpoint = context;
    struct udp_session *session = (struct udp_session *)(void *)flow_session;
    struct udp *udp = endpoint->udp;

    if (direction == 0 && session->resolving) {
        session_wait(session, bytes, size);
        free(packet);
        return;
    }
    if (udp->out_count == UDP_OUT_MAX)
        batch_flush(udp);
    udp->out[udp->out_count++] = (struct udp_out){ session, packet, bytes, size, (uint8_t)direction };
}

static int fd_of(const struct udp_out *out)
{
    return out->direction ? out->session->endpoint->proxy->listen_fd : out->session->fd;
}

static socklen_t address_size(const union udp_address *address)
{
    return address->any.sa_family == AF_INET ? sizeof(address->in) : sizeof(address->in6);
}

/* The source address of an answer. Returns the size of the control data, 0 where the socket is bound to one. */
static size_t put_local(const struct udp_local *local, struct msghdr *head)
{
    struct cmsghdr *control = head->msg_control;

    if (local->family == AF_INET) {
        struct in_pktinfo *info = (void *)CMSG_DATA(control);

        *control = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(*info)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO };
        *info = (struct in_pktinfo){ .ipi_ifindex = 0 };
        memcpy(&info->ipi_spec_dst, local->bytes, sizeof(info->ipi_spec_dst));
        return CMSG_SPACE(sizeof(*info));
    }
    if (local->family == AF_INET6) {
        struct in6_pktinfo *info = (void *)CMSG_DATA(control);

        *control = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(*info)), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO };
        info->ipi6_ifindex = local->interface;
        memcpy(&info->ipi6_addr, local->bytes, sizeof(info->ipi6_addr));
        return CMSG_SPACE(sizeof(*info));
    }
    return 0;
}

struct control {
    _Alignas(struct cmsghdr) char bytes[UDP_CONTROL_BYTES];
};

static void fill(struct mmsghdr *message, struct iovec *part, struct control *control, const struct udp_out *out)
{
    struct msghdr *head = &message->msg_hdr;

    *part = (struct iovec){ out->bytes, out->size };
    *message = (struct mmsghdr){ .msg_hdr = { .msg_iov = part, .msg_iovlen = 1 } };
    if (!out->direction)
        return;
    head->msg_name = &out->session->client;
    head->msg_namelen = address_size(&out->session->client);
    head->msg_control = control->bytes;
    head->msg_controllen = put_local(&out->session->local, head);
    if (!head->msg_controllen)
        head->msg_control = NULL;
}

static void note_sent(const struct udp_out *out, bool sent)
{
    struct proxy_share *share = out->session->endpoint->share;
    struct datagram_counts *counts = &share->datagrams[out->direction];

    share_add(sent ? &counts->passed : &counts->failed, 1);
    if (sent)
        share_add(&share->bytes[out->direction], out->size);
}

/* Sends a run of datagrams through one socket. An error that an earlier datagram's ICMP left behind is told once and sends
 * nothing: the same one is tried again. */
static void send_run(const struct udp_out *list, uint32_t count)
{
    struct mmsghdr messages[UDP_BATCH];
    struct iovec parts[UDP_BATCH];
    struct control controls[UDP_BATCH];
    uint32_t done = 0;
    int errors = 0;

    for (uint32_t i = 0; i < count; i++)
        fill(&messages[i], &parts[i], &controls[i], &list[i]);
    while (done < count) {
        int sent = sendmmsg(fd_of(list), messages + done, count - done, MSG_DONTWAIT | MSG_NOSIGNAL);

        for (int i = 0; i < sent; i++)
            note_sent(&list[done++], true);
        if (sent > 0 || (sent < 0 && errno == EINTR))
            continue;
        if (errno == ECONNREFUSED && !list->direction && errors++ < ERRORS_MAX) {
            share_add(&list->session->endpoint->share->upstream_refused, 1);
            continue;
        }
        note_sent(&list[done++], false);
    }
}

void batch_flush(struct udp *udp)
{
    uint32_t begin = 0;

    while (begin < udp->out_count) {
        uint32_t end = begin + 1;

        while (end < udp->out_count && end - begin < UDP_BATCH && fd_of(&udp->out[end]) == fd_of(&udp->out[begin]))
            end++;
        send_run(&udp->out[begin], end - begin);
        begin = end;
    }
    for (uint32_t i = 0; i < udp->out_count; i++)
        free(udp->out[i].packet);
    udp->out_count = 0;
}

/* ---- in --------------------------------------------------------------------------------------------------------------- */

struct received {
    struct mmsghdr messages[UDP_BATCH];
    struct iovec parts[UDP_BATCH];
    struct control controls[UDP_BATCH];
    union udp_address from[UDP_BATCH];
};

/* Into the buffers that are free, after making them so when all are taken. As recvmmsg(2), or -errno; *ret_asked: at most so many. */
static int receive(struct udp *udp, int fd, struct received *received, bool from_anyone, uint32_t *ret_asked)
{
    uint32_t count;
    int got;

    if (udp->buffers_used == UDP_BATCH)
        batch_flush(udp);
    if (!udp->out_count)
        udp->buffers_used = 0; /* whoever received last has handed on all of it: nothing refers to them */
    count = *ret_asked = UDP_BATCH - udp->buffers_used;
    for (uint32_t i = 0; i < count; i++) {
        struct msghdr *head = &received->messages[i].msg_hdr;

        received->parts[i] = (struct iovec){ udp->buffers + (size_t)(udp->buffers_used + i) * UDP_BUFFER_BYTES, UDP_BUFFER_BYTES };
        *head = (struct msghdr){ .msg_iov = &received->parts[i], .msg_iovlen = 1 };
        if (!from_anyone)
            continue;
        head->msg_name = &received->from[i];
        head->msg_namelen = sizeof(received->from[i]);
        head->msg_control = received->controls[i].bytes;
        head->msg_controllen = sizeof(received->controls[i].bytes);
    }
    got = recvmmsg(fd, received->messages, count, MSG_DONTWAIT, NULL);
    if (got < 0)
        return -errno;
    udp->buffers_used += (uint32_t)got;
    return got;
}

/* What the kernel threw away because the socket's buffer was full (sock_diag(7), SK_MEMINFO_DROPS): looked at when a batch was. */
static void note_overrun(struct proxy_share *share, int fd, uint32_t *seen)
{
    uint32_t facts[SK_MEMINFO_VARS];
    socklen_t size = sizeof(facts);

    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, facts, &size) < 0 || size < sizeof(facts))
        return;
    share_add(&share->overrun, facts[SK_MEMINFO_DROPS] - *seen);
    *seen = facts[SK_MEMINFO_DROPS];
}

static bool is_link_local(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LINKLOCAL(address) || IN6_IS_ADDR_MC_LINKLOCAL(address);
}

/* The address it was sent to, where that is to be told. */
static struct udp_local local_of(struct msghdr *head)
{
    struct udp_local local = { .family = 0 };

    for (struct cmsghdr *control = CMSG_FIRSTHDR(head); control; control = CMSG_NXTHDR(head, control)) {
        if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
            const struct in_pktinfo *info = (const void *)CMSG_DATA(control);

            local.family = AF_INET;
            memcpy(local.bytes, &info->ipi_spec_dst, sizeof(info->ipi_spec_dst));
        } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
            const struct in6_pktinfo *info = (const void *)CMSG_DATA(control);

            local.family = AF_INET6;
            local.interface = is_link_local(&info->ipi6_addr) ? info->ipi6_ifindex : 0;
            memcpy(local.bytes, &info->ipi6_addr, sizeof(info->ipi6_addr));
        }
    }
    return local;
}

static void use(struct udp_session *session, uint64_t now_ns)
{
    struct endpoint *endpoint = session->endpoint;

    session->last_ns = now_ns;
    flow_touch(&endpoint->flow, &session->flow);
    __atomic_store_n(&endpoint->udp->loop->datagram_ns, now_ns, __ATOMIC_RELAXED);
}

static void from_client(struct endpoint *endpoint, struct received *received, uint32_t index, uint64_t now_ns)
{
    const union udp_address *from = &received->from[index];
    struct udp_local local = local_of(&received->messages[index].msg_hdr);
    uint64_t hash;
    struct udp_session *session = session_find(endpoint, from, &local, &hash);

    share_add(&endpoint->share->exchanges, 1);
    if (!session)
        session = session_begin(endpoint, from, &local, hash);
    if (!session) {
        share_add(&endpoint->share->datagrams[0].came, 1);
        share_add(&endpoint->share->datagrams[0].failed, 1);
        return;
    }
    use(session, now_ns);
    flow_push(&endpoint->flow, &session->flow, 0, received->parts[index].iov_base, received->messages[index].msg_len, now_ns);
}

void batch_receive_clients(struct endpoint *endpoint)
{
    struct received received;

    for (int round = 0; round < ROUNDS_MAX; round++) {
        uint32_t asked;
        int got = receive(endpoint->udp, endpoint->proxy->listen_fd, &received, true, &asked);
        uint64_t now_ns = clock_now_ns();

        for (int i = 0; i < got; i++)
            from_client(endpoint, &received, (uint32_t)i, now_ns);
        if (got < (int)asked)
            break;
        note_overrun(endpoint->share, endpoint->proxy->listen_fd, &endpoint->overrun);
    }
}

void batch_receive_upstream(struct udp_session *session)
{
    struct endpoint *endpoint = session->endpoint;
    struct received received;

    for (int round = 0; round < ROUNDS_MAX; round++) {
        uint32_t asked;
        int got = receive(endpoint->udp, session->fd, &received, false, &asked);
        uint64_t now_ns = clock_now_ns();

        if (got == -ECONNREFUSED) {
            share_add(&endpoint->share->upstream_refused, 1);
            continue;
        }
        if (got > 0)
            use(session, now_ns);
        for (int i = 0; i < got; i++)
            flow_push(&endpoint->flow, &session->flow, 1, received.parts[i].iov_base, received.messages[i].msg_len, now_ns);
        if (got < (int)asked)
            break;
        note_overrun(endpoint->share, session->fd, &session->overrun);
    }
}
