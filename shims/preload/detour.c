/* Detours (scenarios/vocab/detour.h): destinations written down before a connect, and read back when the program asks for its peer.
 * Lock-free: an entry is claimed by compare-and-swap; one whose writer died stays claimed for ever. */
#include "shims/preload/shim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/param.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scenarios/base/rng.h"

enum { PROBES_MAX = 256 };

static bool describe(const struct sockaddr_storage *destination, uint32_t port, struct detour *ret_detour)
{
    struct detour detour = { .state = DETOUR_READY, .family = destination->ss_family, .listen_port = port };
    const struct sockaddr_in *in = (const void *)destination;
    const struct sockaddr_in6 *in6 = (const void *)destination;

    if (detour.family == AF_INET) {
        detour.port = in->sin_port;
        memcpy(detour.address, &in->sin_addr, sizeof(in->sin_addr));
    } else if (detour.family == AF_INET6) {
        detour.port = in6->sin6_port;
        detour.scope = in6->sin6_scope_id;
        memcpy(detour.address, &in6->sin6_addr, sizeof(in6->sin6_addr));
    } else {
        return false;
    }
    *ret_detour = detour;
    return true;
}

static bool is_same(const struct detour *entry, const struct detour *wanted)
{
    return __atomic_load_n(&entry->state, __ATOMIC_ACQUIRE) == DETOUR_READY && entry->family == wanted->family &&
           entry->port == wanted->port && entry->scope == wanted->scope && entry->listen_port == wanted->listen_port &&
           !memcmp(entry->address, wanted->address, sizeof(wanted->address));
}

static bool claim(struct detour *entry, const struct detour *wanted)
{
    uint32_t state = DETOUR_FREE;

    if (!__atomic_compare_exchange_n(&entry->state, &state, DETOUR_WRITING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false;
    entry->family = wanted->family;
    entry->port = wanted->port;
    entry->scope = wanted->scope;
    entry->listen_port = wanted->listen_port;
    memcpy(entry->address, wanted->address, sizeof(wanted->address));
    __atomic_store_n(&entry->state, DETOUR_READY, __ATOMIC_RELEASE);
    return true;
}

bool shim_detour(const struct sockaddr_storage *destination, uint32_t port, uint32_t *ret_address)
{
    struct detour wanted;
    uint64_t words[2], hash;

    if (!shim_counters || !describe(destination, port, &wanted))
        return false;
    memcpy(words, wanted.address, sizeof(words));
    hash = rng_mix(rng_mix(words[0], words[1]), (uint64_t)wanted.port << 32 | port);
    for (uint32_t probe = 0; probe < PROBES_MAX; probe++) {
        uint32_t index = (uint32_t)((hash + probe) % DETOURS_MAX);

        if (is_same(&shim_counters->detours[index], &wanted) || claim(&shim_counters->detours[index], &wanted)) {
            *ret_address = DETOUR_NETWORK + index;
            return true;
        }
    }
    __atomic_fetch_add(&shim_counters->lost, 1, __ATOMIC_RELAXED);
    return false;
}

/* ---- getpeername: a program that asks whom it is connected to is told whom it meant --------------------------------------- */

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
