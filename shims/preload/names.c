/* Look-ups that are answered otherwise. No answer is made here: a wrong address is what the C library makes of that address as a
 * text, so that freeaddrinfo() and the caller's own rooms hold what they always do. A stale answer is the first that this process got
 * for the name since the rule was armed; 64 names are kept, of the next the answers stay true (counted in `lost`). */
#include "shims/preload/time.h"

#include "scenarios/base/rng.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

enum { KEPT_MAX = 64, NAME_MAX_BYTES = 256, TAKEN = 1 };

struct kept {
    uint64_t key;        /* of (name, family); 0 free, TAKEN being written */
    uint32_t generation; /* of the page */
    int family;
    uint8_t address[sizeof(struct in6_addr)];
};

static struct kept kept[KEPT_MAX];

bool resolves(const char *name)
{
    uint8_t address[sizeof(struct in6_addr)];
    struct in_addr any;

    return name && name[0] && !inet_aton(name, &any) && !strchr(name, '%') && inet_pton(AF_INET6, name, address) != 1;
}

int shim_eai(int error)
{
    if (error == ENOENT)
        return EAI_NONAME;
    if (error == EAGAIN)
        return EAI_AGAIN;
    errno = error;
    return EAI_SYSTEM;
}

int shim_h_errno(int error)
{
    return error == ENOENT ? HOST_NOT_FOUND : error == EAGAIN ? TRY_AGAIN : NO_RECOVERY;
}

/* ---- what was answered before ---------------------------------------------------------------------------------------- */

static uint64_t key_of(const char *name, int family)
{
    char lower[NAME_MAX_BYTES];
    size_t length = strnlen(name, sizeof(lower));
    uint64_t key;

    if (length >= sizeof(lower))
        return 0;
    for (size_t i = 0; i <= length; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 'a' - 'A' : name[i]);
    key = rng_mix(rng_hash(lower), (uint64_t)family);
    return key > TAKEN ? key : TAKEN + 1;
}

static bool kept_find(uint64_t key, uint32_t generation, struct kept *ret_kept)
{
    for (size_t i = 0; i < KEPT_MAX; i++) {
        if (__atomic_load_n(&kept[i].key, __ATOMIC_ACQUIRE) != key)
            continue;
        *ret_kept = kept[i];
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&kept[i].key, __ATOMIC_RELAXED) == key && ret_kept->generation == generation)
            return true;
    }
    return false;
}

static void kept_add(uint64_t key, uint32_t generation, int family, const void *address)
{
    for (size_t i = 0; i < KEPT_MAX; i++) {
        uint64_t old = __atomic_load_n(&kept[i].key, __ATOMIC_ACQUIRE);

        if (old == TAKEN || (old && kept[i].generation == generation) ||
            !__atomic_compare_exchange_n(&kept[i].key, &old, TAKEN, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            continue;
        kept[i].generation = generation;
        kept[i].family = family;
        memcpy(kept[i].address, address, family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr));
        __atomic_store_n(&kept[i].key, key, __ATOMIC_RELEASE);
        return;
    }
    if (shim_counters)
        __atomic_fetch_add(&shim_counters->lost, 1, __ATOMIC_RELAXED);
}

/* ---- answers --------------------------------------------------------------------------------------------------------- */

static const char *text_of(int family, const void *address, int asked_family, char room[ANSWER_TEXT_MAX])
{
    static const char mapped[] = "::ffff:";
    size_t used = family == AF_INET && asked_family == AF_INET6 ? sizeof(mapped) - 1 : 0;

    memcpy(room, mapped, used);
    return inet_ntop(family, address, room + used, (socklen_t)(ANSWER_TEXT_MAX - used)) ? room : NULL;
}

const char *shim_answer_instead(const struct ruling *ruling, const char *name, int family, char room[ANSWER_TEXT_MAX])
{
    struct in_addr wrong = { htonl(ruling->address) };
    struct kept found;

    if (ruling->answer == RULING_WRONG)
        return text_of(AF_INET, &wrong, family, room);
    if (ruling->answer != RULING_STALE || !kept_find(key_of(name, family), ruling->generation, &found))
        return NULL;
    return text_of(found.family, found.address, family, room);
}

void shim_answer_keep(const struct ruling *ruling, const char *name, int family, const struct hostent *answer)
{
    uint64_t key = key_of(name, family);

    if (key && answer && answer->h_addr_list && answer->h_addr_list[0] && (answer->h_addrtype == AF_INET || answer->h_addrtype == AF_INET6))
        kept_add(key, ruling->generation, answer->h_addrtype, answer->h_addr_list[0]);
}

static void keep_first(const struct ruling *ruling, const char *name, int family, const struct addrinfo *list)
{
    uint64_t key = key_of(name, family);

    for (; key && list; list = list->ai_next) {
        if (list->ai_family == AF_INET)
            kept_add(key, ruling->generation, AF_INET, &((const struct sockaddr_in *)(const void *)list->ai_addr)->sin_addr);
        else if (list->ai_family == AF_INET6)
            kept_add(key, ruling->generation, AF_INET6, &((const struct sockaddr_in6 *)(const void *)list->ai_addr)->sin6_addr);
        else
            continue;
        return;
    }
}

int shim_answer_list(int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **), const struct ruling *ruling,
                     const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret_list)
{
    struct addrinfo numeric = { .ai_family = AF_UNSPEC };
    char room[ANSWER_TEXT_MAX];
    int family = hints ? hints->ai_family : AF_UNSPEC, result;
    const char *instead = shim_answer_instead(ruling, name, family, room);

    if (!instead) {
        result = real(name, service, hints, ret_list);
        if (!result && ruling->answer == RULING_STALE)
            keep_first(ruling, name, family, *ret_list);
        return result;
    }
    if (hints)
        numeric = *hints;
    numeric.ai_flags = (numeric.ai_flags | AI_NUMERICHOST) & ~(AI_ADDRCONFIG | AI_V4MAPPED | AI_ALL);
    return real(instead, service, &numeric, ret_list);
}
