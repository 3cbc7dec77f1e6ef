/* Addresses in words. */
#include "injector/resolve.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define UNIX_PREFIX "unix:"

enum { HOST_MAX = 128, PORT_MAX = 32 };

/* Parts "[host]:port", "host:port", ":port". */
static int split(const char *text, char *host, char *port)
{
    const char *colon = strrchr(text, ':');
    const char *end = colon;
    size_t length;

    if (!colon || !colon[1] || strlen(colon + 1) >= PORT_MAX)
        return -EINVAL;
    if (*text == '[') {
        text++;
        end--;
        if (end <= text || *end != ']')
            return -EINVAL;
    } else if (memchr(text, ':', (size_t)(colon - text))) {
        return -EINVAL; /* IPv6 without brackets */
    }
    length = (size_t)(end - text);
    if (length >= HOST_MAX)
        return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return 0;
}

static int look_up(const char *host, const char *port, int flags, struct addrinfo **ret_list)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };
    int failure = getaddrinfo(host[0] ? host : NULL, port, &hints, ret_list);

    if (!failure)
        return 0;
    return failure == EAI_AGAIN || failure == EAI_MEMORY || failure == EAI_SYSTEM ? -EAGAIN : -ENOENT;
}

static bool is_unix(const char *text)
{
    return !strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX));
}

static int unix_address(const char *path, struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length = strlen(path);

    if (!length || length >= sizeof(address.sun_path) || (*path != '/' && *path != '@') || !path[1])
        return -EINVAL;
    memcpy(address.sun_path, path, length);
    if (*path == '@')
        address.sun_path[0] = '\0';
    memset(ret_address, 0, sizeof(*ret_address));
    memcpy(ret_address, &address, sizeof(address));
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*path == '/'));
    return 0;
}

/* Takes the list. */
static void choose(struct addrinfo *list, struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    const struct addrinfo *chosen = list;

    assert(list);
    for (const struct addrinfo *entry = list; entry; entry = entry->ai_next)
        if (entry->ai_family == AF_INET) {
            chosen = entry;
            break;
        }
    memcpy(ret_address, chosen->ai_addr, chosen->ai_addrlen);
    *ret_size = chosen->ai_addrlen;
    freeaddrinfo(list);
}

int resolve_address(const char *text, bool listen, struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    char host[HOST_MAX], port[PORT_MAX];
    struct addrinfo *list = NULL;
    int passive = listen ? AI_PASSIVE : 0, result;

    if (is_unix(text))
        return unix_address(text + strlen(UNIX_PREFIX), ret_address, ret_size);
    result = split(text, host, port);
    if (result < 0 || (!listen && !host[0]))
        return -EINVAL;
    if (look_up(host, port, passive | AI_NUMERICHOST, &list) < 0) {
        result = look_up(host, port, passive, &list);
        if (result < 0)
            return result;
    }
    choose(list, ret_address, ret_size);
    return 0;
}

int resolve_without_names(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    char host[HOST_MAX], port[PORT_MAX];
    struct addrinfo *list = NULL;
    int result;

    if (is_unix(text))
        return unix_address(text + strlen(UNIX_PREFIX), ret_address, ret_size);
    result = split(text, host, port);
    if (result < 0 || !host[0])
        return -EINVAL;
    if (look_up(host, port, AI_NUMERICHOST, &list) >= 0) {
        choose(list, ret_address, ret_size);
        return 0;
    }
    result = look_up("", port, AI_PASSIVE, &list);
    if (result < 0)
        return result;
    freeaddrinfo(list);
    *ret_size = 0;
    return 0;
}

char *resolve_print(const struct sockaddr *address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";

    if (address->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const void *)address;

        snprintf(text, size, UNIX_PREFIX "%s%.*s", un->sun_path[0] ? "" : "@", (int)sizeof(un->sun_path) - 1,
                 un->sun_path[0] ? un->sun_path : un->sun_path + 1);
        return text;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;

        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        snprintf(text, size, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const void *)address;

        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(text, size, "%s:%u", host, ntohs(in->sin_port));
    }
    return text;
}
