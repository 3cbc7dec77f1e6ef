/* Detours (scenarios/vocab/detour.h), read back when the program asks for its peer: it is told whom it meant. */
#include "shims/preload/shim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/param.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The index that stands in a peer's address; DETOURS_MAX when none does. */
static uint32_t index_of(const struct sockaddr_storage *peer, uint32_t *ret_port)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    const struct sockaddr_in *in = (const void *)peer;
    const struct sockaddr_in6 *in6 = (const void *)peer;
    uint32_t address;

    if (peer->ss_family == AF_INET) {
        memcpy(&address, &in->sin_addr, sizeof(address));
        *ret_port = ntohs(in->sin_port);
    } else if (peer->ss_family == AF_INET6 && !memcmp(&in6->sin6_addr, mapped, sizeof(mapped))) {
        memcpy(&address, (const uint8_t *)&in6->sin6_addr + sizeof(mapped), sizeof(address));
        *ret_port = ntohs(in6->sin6_port);
    } else {
        return DETOURS_MAX;
    }
    address = ntohl(address) - DETOUR_NETWORK;
    return address < DETOURS_MAX ? address : DETOURS_MAX;
}

/* The destination in place of the proxy; false when it is no detour of ours. */
static bool replace(struct sockaddr_storage *peer, socklen_t *length)
{
    uint32_t port = 0, index = index_of(peer, &port);
    const struct detour *entry = index < DETOURS_MAX ? &shim_counters->detours[index] : NULL;

    if (!entry || __atomic_load_n(&entry->state, __ATOMIC_ACQUIRE) != DETOUR_READY || entry->listen_port != port)
        return false;
    memset(peer, 0, sizeof(*peer));
    if (entry->family == AF_INET) {
        struct sockaddr_in *in = (void *)peer;

        in->sin_family = AF_INET;
        in->sin_port = entry->port;
        memcpy(&in->sin_addr, entry->address, sizeof(in->sin_addr));
        *length = sizeof(*in);
    } else {
        struct sockaddr_in6 *in6 = (void *)peer;

        in6->sin6_family = AF_INET6;
        in6->sin6_port = entry->port;
        in6->sin6_scope_id = entry->scope;
        memcpy(&in6->sin6_addr, entry->address, sizeof(in6->sin6_addr));
        *length = sizeof(*in6);
    }
    return true;
}

__attribute__((visibility("default"))) int shim_getpeername(int fd, struct sockaddr *address, socklen_t *length) __asm__("getpeername");

int shim_getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
    socklen_t room = address && length ? *length : 0, used;
    int result = (int)syscall(SYS_getpeername, fd, address, length), saved = errno;
    struct sockaddr_storage peer;

    if (result < 0 || !shim_counters)
        return result;
    used = sizeof(peer);
    if (syscall(SYS_getpeername, fd, &peer, &used) == 0 && replace(&peer, &used)) {
        memcpy(address, &peer, MIN(room, used));
        *length = used;
    }
    errno = saved;
    return result;
}
