/* Where a connect goes instead: the page's redirects. */
#include "shims/judge/judge.h"

#include "scenarios/vocab/decide.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static void local_address(int family, uint32_t address, uint32_t port, struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
    memset(ret_address, 0, sizeof(*ret_address));
    if (family == AF_INET) {
        struct sockaddr_in *in = (void *)ret_address;

        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        in->sin_addr.s_addr = htonl(address);
        *ret_length = sizeof(*in);
    } else {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
        uint32_t last = htonl(address);
        struct sockaddr_in6 *in6 = (void *)ret_address;

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        memcpy(&in6->sin6_addr, mapped, sizeof(mapped));
        memcpy((uint8_t *)&in6->sin6_addr + sizeof(mapped), &last, sizeof(last));
        *ret_length = sizeof(*in6);
    }
}

bool judge_redirect(const struct judge *judge, const struct sockaddr_storage *address, socklen_t length,
                    struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
    const struct control_rules *rules = judge->rules;
    uint32_t generation = __atomic_load_n(&rules->generation, __ATOMIC_ACQUIRE);
    const struct control_image *image = &rules->image[generation & 1];
    uint32_t place = INADDR_LOOPBACK;
    uint32_t count = image->redirect_count < CONTROL_REDIRECTS_MAX ? image->redirect_count : CONTROL_REDIRECTS_MAX;

    if (!(__atomic_load_n(&rules->armed, __ATOMIC_ACQUIRE) & CONTROL_REDIRECT) || length < sizeof(struct sockaddr_in) ||
        length > sizeof(*address) || judge->facts->now_ns() >= __atomic_load_n(&rules->lease_ns, __ATOMIC_ACQUIRE))
        return false;
    if (address->ss_family == AF_INET6 && length < sizeof(struct sockaddr_in6))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct control_redirect redirect = image->redirects[i];

        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&rules->generation, __ATOMIC_RELAXED) != generation)
            return false;
        if (!redirect.match.present || redirect.match.prefix_bits > 128 ||
            !address_matches(&redirect.match, (const struct sockaddr *)address))
            continue;
        if (redirect.detours && !judge_detour(judge->counters, address, redirect.port, &place))
            return false;
        local_address(address->ss_family, place, redirect.port, ret_address, ret_length);
        return true;
    }
    return false;
}
