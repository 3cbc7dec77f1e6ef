/* What a port speaks: one question that HTTP and RESP both answer, each in its own way. */
#include "controller/cmd/init.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { ATTEMPT_MS = 500, REPLY_MAX = 512 };

static int split(const char *address, char *host, size_t size, const char **ret_port)
{
    const char *colon = strrchr(address, ':'), *begin = address;
    size_t length = colon ? (size_t)(colon - address) : 0;

    if (length > 1 && address[0] == '[' && colon[-1] == ']') {
        begin++;
        length -= 2;
    }
    if (!colon || length >= size)
        return -EINVAL;
    memcpy(host, begin, length);
    host[length] = '\0';
    *ret_port = colon + 1;
    return 0;
}

static int dial_one(const struct addrinfo *one)
{
    AUTO_CLOSE int fd = socket(one->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(int);
    int error = 0;

    if (fd < 0)
        return -errno;
    if (connect(fd, one->ai_addr, one->ai_addrlen) < 0 &&
        (errno != EINPROGRESS || poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, ATTEMPT_MS) <= 0 ||
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error))
        return -ECONNREFUSED;
    return TAKE_FD(fd);
}

static int dial(const char *address)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    const char *port;
    char host[INIT_ADDRESS_MAX];
    int fd = -ECONNREFUSED;

    if (split(address, host, sizeof(host), &port) < 0 || getaddrinfo(host, port, &hints, &list) != 0)
        return -EINVAL;
    for (const struct addrinfo *one = list; one && fd < 0; one = one->ai_next)
        fd = dial_one(one);
    freeaddrinfo(list);
    return fd;
}

/* Asks and reads until a whole line has come. False: nothing that ends in one. */
static bool ask(const char *address, const char *question, char reply[REPLY_MAX])
{
    AUTO_CLOSE int fd = dial(address);
    uint64_t end_ns = clock_now_ns() + ATTEMPT_MS * NS_PER_MS;
    size_t length = 0;

    reply[0] = '\0';
    if (fd < 0 || send(fd, question, strlen(question), MSG_NOSIGNAL) < 0)
        return false;
    while (!strchr(reply, '\n') && length < REPLY_MAX - 1) {
        uint64_t now_ns = clock_now_ns();
        ssize_t got;

        if (now_ns >= end_ns || poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, (int)((end_ns - now_ns) / NS_PER_MS) + 1) <= 0)
            return false;
        got = recv(fd, reply + length, REPLY_MAX - 1 - length, 0);
        if (got <= 0)
            return false;
        length += (size_t)got;
        reply[length] = '\0';
    }
    return true;
}

/* Redis takes "GET / HTTP/1.0" for an inline command, with a word too many. */
enum endpoint_kind init_probe(const char *address, int *ret_status)
{
    char reply[REPLY_MAX];
    int fd;

    *ret_status = 0;
    if (ask(address, "GET / HTTP/1.0\r\n\r\n", reply)) {
        if (sscanf(reply, "HTTP/%*1u.%*1u %3d", ret_status) == 1)
            return ENDPOINT_HTTP;
        if (reply[0] == '-' && ask(address, "PING\r\n", reply) && (!strncmp(reply, "+PONG", 5) || !strncmp(reply, "-NOAUTH", 7)))
            return ENDPOINT_RESP;
    }
    fd = dial(address);
    if (fd < 0)
        return ENDPOINT_NONE;
    close(fd);
    return ENDPOINT_TCP;
}

/* Where to connect to, of a socket bound to every address. */
static void reach(const struct sighting *sighting, char *address)
{
    struct sighting copy = *sighting;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&copy.address;
    struct sockaddr_in *four = (struct sockaddr_in *)&copy.address;

    if (copy.address.ss_family == AF_INET && four->sin_addr.s_addr == htonl(INADDR_ANY))
        four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (copy.address.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr))
        six->sin6_addr = in6addr_loopback;
    sighting_print(&copy, address);
}

/* An HTTP port that serves "/" is the likeliest to be what clients use; one that cannot serve is none yet. */
static int rank(const struct endpoint *endpoint)
{
    if (endpoint->kind != ENDPOINT_HTTP)
        return (int)endpoint->kind;
    return endpoint->status / 100 == 2 ? ENDPOINT_HTTP + 1 : endpoint->status < 500 ? ENDPOINT_HTTP : ENDPOINT_NONE;
}

void init_probe_all(const struct sighting *list, size_t count, struct endpoint *ret_endpoint)
{
    *ret_endpoint = (struct endpoint){ .kind = ENDPOINT_NONE };
    for (size_t i = 0; i < count; i++) {
        struct endpoint endpoint;

        if (!sighting_is(&list[i], WATCH_LISTEN))
            continue;
        reach(&list[i], endpoint.address);
        endpoint.kind = init_probe(endpoint.address, &endpoint.status);
        if (rank(&endpoint) > rank(ret_endpoint))
            *ret_endpoint = endpoint;
    }
}
