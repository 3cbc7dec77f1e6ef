/* Detours (scenarios/vocab/detour.h): destinations written down before a connect. Lock-free: an entry is claimed by compare-and-swap;
 * one whose writer died stays claimed for ever. */
#include "shims/judge/judge.h"

#include "scenarios/base/rng.h"

#include <netinet/in.h>
#include <string.h>

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

bool judge_detour(struct control_counters *counters, const struct sockaddr_storage *destination, uint32_t port, uint32_t *ret_address)
{
    struct detour wanted;
    uint64_t words[2], hash;

    if (!counters || !describe(destination, port, &wanted))
        return false;
    memcpy(words, wanted.address, sizeof(words));
    hash = rng_mix(rng_mix(words[0], words[1]), (uint64_t)wanted.port << 32 | port);
    for (uint32_t probe = 0; probe < PROBES_MAX; probe++) {
        uint32_t index = (uint32_t)((hash + probe) % DETOURS_MAX);

        if (is_same(&counters->detours[index], &wanted) || claim(&counters->detours[index], &wanted)) {
            *ret_address = DETOUR_NETWORK + index;
            return true;
        }
    }
    __atomic_fetch_add(&counters->lost, 1, __ATOMIC_RELAXED);
    return false;
}
