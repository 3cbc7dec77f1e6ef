/* Where the service is reached (listen.h). */
#include "controller/serve/http/listen.h"

#include "scenarios/base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 256 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* "ADDRESS:PORT" into `address`. 0 or -EINVAL. */
static int parse(const char *text, union address *address, socklen_t *ret_length)
{
    const char *colon = strrchr(text, ':');
    char host[64], *end;
    unsigned long port;
    size_t length;

    if (!colon || !colon[1] || colon[1] == '-')
        return -EINVAL;
    port = strtoul(colon + 1, &end, 10);
    length = (size_t)(colon - text);
    if (*end || port > 65535 || length >= sizeof(host))
        return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    memset(address, 0, sizeof(*address));
    if (host[0] == '[' && length > 2 && host[length - 1] == ']') {
        host[length - 1] = '\0';
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons((uint16_t)port);
        *ret_length = sizeof(address->v6);
        return inet_pton(AF_INET6, host + 1, &address->v6.sin6_addr) == 1 ? 0 : -EINVAL;
    }
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = htons((uint16_t)port);
    *ret_length = sizeof(address->v4);
    return inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1", &address->v4.sin_addr) == 1 ? 0 : -EINVAL;
}

static void describe(int fd, struct listening *listening)
{
    union address bound;
    socklen_t length = sizeof(bound);
    char host[INET6_ADDRSTRLEN] = "?";

    memset(&bound, 0, sizeof(bound));
    getsockname(fd, &bound.any, &length);
    if (bound.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &bound.v6.sin6_addr, host, sizeof(host));
        listening->port = ntohs(bound.v6.sin6_port);
        listening->loopback = IN6_IS_ADDR_LOOPBACK(&bound.v6.sin6_addr);
        snprintf(listening->address, sizeof(listening->address), "[%s]:%u", host, listening->port);
        return;
    }
    inet_ntop(AF_INET, &bound.v4.sin_addr, host, sizeof(host));
    listening->port = ntohs(bound.v4.sin_port);
    listening->loopback = (ntohl(bound.v4.sin_addr.s_addr) >> 24) == 127;
    snprintf(listening->address, sizeof(listening->address), "%s:%u", host, listening->port);
}

static int open_inet(const char *text, struct listening *listening, struct errs *errs)
{
    union address address;
    socklen_t length = 0;
    AUTO_CLOSE int fd = -1;

    if (parse(text, &address, &length) < 0)
        return errs_add(errs, ERR_USAGE, "--listen", "'%s' is no ADDRESS:PORT such as 127.0.0.1:8470 or [::1]:8470, and no unix:PATH", text);
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 || bind(fd, &address.any, length) < 0 ||
        listen(fd, BACKLOG) < 0)
        return errs_add(errs, ERR_WORLD, text, "cannot be listened at: %s", strerror(errno));
    describe(fd, listening);
    listening->fd = TAKE_FD(fd);
    return 0;
}

/* A socket file that a dead service left is in the way; one that answers is not ours to take. */
static bool is_abandoned(const struct sockaddr_un *address)
{
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
}

static int open_unix(const char *path, struct listening *listening, struct errs *errs)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask;
    int bound;

    if (!*path || strlen(path) >= sizeof(address.sun_path))
        return errs_add(errs, ERR_USAGE, "--listen", "the path of a Unix socket has 1 to %zu bytes", sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd >= 0 && is_abandoned(&address))
        unlink(path);
    mask = umask(0177);
    bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (bound < 0 || listen(fd, BACKLOG) < 0)
        return errs_add(errs, ERR_WORLD, path, "cannot be listened at: %s", strerror(errno));
    listening->loopback = listening->is_unix = true;
    listening->port = 0;
    snprintf(listening->address, sizeof(listening->address), "unix:%s", path);
    listening->fd = TAKE_FD(fd);
    return 0;
}

int listen_open(const char *text, struct listening *ret_listening, struct errs *errs)
{
    struct listening listening = { .fd = -1 };
    int result = !strncmp(text, "unix:", 5) ? open_unix(text + 5, &listening, errs) : open_inet(text, &listening, errs);

    if (result == 0)
        *ret_listening = listening;
    return result;
}
