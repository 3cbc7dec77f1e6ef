/* Connections of readings, within their deadline. */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/vocab/message.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { SLICE_MS = 20 }; /* so soon it notices that the run wants to end */

int reading_wait(struct reading *reading, int fd, short events)
{
    struct pollfd waiting = { .fd = fd, .events = events };

    while (poll(&waiting, 1, SLICE_MS) <= 0)
        if (reading_is_over(reading))
            return reading_fail(reading, "no answer within its timeout");
    return 0;
}

static int try_address(struct reading *reading, const struct addrinfo *info, int *ret_fd)
{
    const struct egress *egress = reading->world ? reading->world->egress : NULL;
    const char *refusal = egress ? egress_refusal(egress, info->ai_addr) : NULL;
    AUTO_CLOSE int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(int);
    int error = 0;

    if (refusal)
        return reading_fail(reading, "that is %s: `egress` does not allow it", refusal);
    if (fd < 0)
        return reading_fail(reading, "no socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &(uint32_t){ CAPTURE_MARK }, sizeof(uint32_t));
    if (connect(fd, info->ai_addr, info->ai_addrlen) < 0) {
        if (errno != EINPROGRESS)
            return reading_fail(reading, "connect: %s", strerror(errno));
        if (reading_wait(reading, fd, POLLOUT) < 0)
            return -EIO;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error)
            return reading_fail(reading, "connect: %s", strerror(error ? error : errno));
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int reading_connect(struct reading *reading, const char *address, int *ret_fd)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    const char *colon = strrchr(address, ':');
    char host[256];
    int result;

    if (!colon)
        return reading_fail(reading, "'%s' is no HOST:PORT", address);
    snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
    if (host[0] == '[') {
        host[strcspn(host, "]")] = '\0';
        memmove(host, host + 1, strlen(host));
    }
    result = getaddrinfo(host, colon + 1, &hints, &list);
    if (result)
        return reading_fail(reading, "%s: %s", address, gai_strerror(result));
    result = -EIO;
    for (const struct addrinfo *info = list; info && result < 0 && !reading_is_over(reading); info = info->ai_next)
        result = try_address(reading, info, ret_fd);
    freeaddrinfo(list);
    if (result < 0 && !reading->why[0])
        return reading_fail(reading, "no time was left to connect to %s", address);
    return result;
}

int reading_send(struct reading *reading, int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return reading_fail(reading, "send: %s", strerror(errno));
        if (sent < 0 && reading_wait(reading, fd, POLLOUT) < 0)
            return -EIO;
        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
        }
    }
    return 0;
}
