/* Framing of executor messages. Control plane; also linked into the wire executor's control thread. */
#include "scenarios/vocab/message.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Waits until fd is ready or the deadline (0 is none) has passed. */
static int wait_ready(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t now_ns = clock_now_ns();
        int timeout_ms = -1;
        int ready;

        if (deadline_ns)
            timeout_ms = deadline_ns <= now_ns ? 0 : (int)MIN((deadline_ns - now_ns) / NS_PER_MS + 1, UINT64_C(86400000));
        ready = poll(&(struct pollfd){ .fd = fd, .events = events }, 1, timeout_ms);
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (!ready && deadline_ns && clock_now_ns() >= deadline_ns)
            return -ETIMEDOUT;
    }
}

static uint64_t deadline_of(int timeout_ms)
{
    return timeout_ms < 0 ? 0 : clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

static int send_all(int fd, struct iovec *parts, size_t count, uint64_t deadline_ns)
{
    while (count) {
        ssize_t sent = sendmsg(fd, &(struct msghdr){ .msg_iov = parts, .msg_iovlen = count }, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EAGAIN) {
            int result = wait_ready(fd, POLLOUT, deadline_ns);

            if (result < 0)
                return result;
            continue;
        }
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        while (count && (size_t)sent >= parts->iov_len) {
            sent -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count) {
            parts->iov_base = (char *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
    return 0;
}

int message_send(int fd, const struct message_head *head, const void *payload, int timeout_ms)
{
    struct message_head framed = *head;
    struct iovec parts[2] = { { &framed, sizeof(framed) }, { (void *)(uintptr_t)payload, head->size } };

    if (head->size > MESSAGE_PAYLOAD_MAX)
        return -EMSGSIZE;
    framed.magic = MESSAGE_MAGIC;
    framed.version = MESSAGE_VERSION;
    return send_all(fd, parts, head->size ? 2 : 1, deadline_of(timeout_ms));
}

static int receive_all(int fd, void *target, size_t size, uint64_t deadline_ns)
{
    size_t have = 0;

    while (have < size) {
        ssize_t got = recv(fd, (char *)target + have, size - have, MSG_DONTWAIT);

        if (got < 0 && errno == EAGAIN) {
            int result = wait_ready(fd, POLLIN, deadline_ns);

            if (result < 0)
                return result;
            continue;
        }
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -ECONNRESET;
        have += (size_t)got;
    }
    return 0;
}

int message_receive(int fd, int timeout_ms, struct message *ret_message)
{
    uint64_t deadline_ns = deadline_of(timeout_ms);
    struct message message = { .payload = NULL };
    int result = receive_all(fd, &message.head, sizeof(message.head), deadline_ns);

    if (result < 0)
        return result;
    if (message.head.magic != MESSAGE_MAGIC || message.head.version != MESSAGE_VERSION || !message.head.verb ||
        message.head.verb >= MESSAGE_VERB_COUNT || message.head.size > MESSAGE_PAYLOAD_MAX)
        return -EPROTO;
    if (message.head.size) {
        message.payload = calloc(1, (size_t)message.head.size + 1);
        if (!message.payload)
            return -ENOMEM;
        result = receive_all(fd, message.payload, message.head.size, deadline_ns);
        if (result < 0) {
            message_done(&message);
            return result;
        }
    }
    *ret_message = message;
    return 0;
}

void message_done(struct message *message)
{
    if (!message)
        return;
    free(message->payload);
    message->payload = NULL;
}
