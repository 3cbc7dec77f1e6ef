/* Sockets of the sample system. */
#include "playbooks/sample/net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

enum { BACKLOG = 1024, HOST_MAX = 256 };

static int resolve(const char *host, const char *port, int flags, struct net_address *ret_address)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };
    struct addrinfo *found;

    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -EHOSTUNREACH;
    memset(ret_address, 0, sizeof(*ret_address));
    memcpy(&ret_address->storage, found->ai_addr, found->ai_addrlen);
    ret_address->length = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

int net_address_parse(const char *text, struct net_address *ret_address)
{
    const char *colon = strrchr(text, ':');
    const char *begin = text;
    const char *end = colon;
    char host[HOST_MAX];

    if (!colon || colon == text || colon[1] == '\0')
        return -EINVAL;
    if (*begin == '[' && end[-1] == ']') {
        begin++;
        end--;
    }
    if (end <= begin || (size_t)(end - begin) >= sizeof(host))
        return -EINVAL;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    return resolve(host, colon + 1, AI_NUMERICSERV, ret_address);
}

int net_listen(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port)
{
    const int on = 1;
    AUTO_CLOSE int fd = -1;
    struct net_address address;
    char port_text[8];

    snprintf(port_text, sizeof(port_text), "%u", (unsigned)port);
    int rc = resolve(host, port_text, AI_NUMERICSERV | AI_PASSIVE, &address);
    if (rc < 0)
        return rc;
    fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address.storage, address.length) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    if (getsockname(fd, (struct sockaddr *)&address.storage, &address.length) < 0)
        return -errno;
    *ret_port = ntohs(address.storage.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address.storage)->sin6_port
                                                            : ((struct sockaddr_in *)&address.storage)->sin_port);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int net_connect_begin(const struct net_address *address, int *ret_fd)
{
    const int on = 1;
    AUTO_CLOSE int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (const struct sockaddr *)&address->storage, address->length) < 0 && errno != EINPROGRESS)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int net_connect_result(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return -errno;
    return -error;
}

int net_wait(int fd, short events, uint64_t deadline_ns)
{
    struct pollfd poll_fd = { .fd = fd, .events = events };

    for (;;) {
        struct timespec left = { 0 };
        if (deadline_ns != 0) {
            uint64_t now_ns = clock_now_ns();
            if (now_ns >= deadline_ns)
                return -ETIMEDOUT;
            left = ns_timespec(deadline_ns - now_ns);
        }
        int ready = ppoll(&poll_fd, 1, deadline_ns != 0 ? &left : NULL, NULL);
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return -errno;
    }
}

void net_raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}
