/* The ruling on one occasion. Pure and shim-safe: it is called inside malloc(). */
#include "scenarios/vocab/decide.h"

#include "scenarios/base/rng.h"

#include <netinet/in.h>
#include <string.h>

bool glob_match(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;

    while (*text) {
        if (*pattern == *text && *pattern != '*' && *pattern != '\\') { /* first: it is on the path of calls that match nothing */
            pattern++;
            text++;
        } else if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*pattern == '?' || (*pattern == '\\' && pattern[1] == *text)) {
            pattern += *pattern == '\\' ? 2 : 1;
            text++;
        } else if (star) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

static bool prefix_equal(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
    uint32_t bytes = bits / 8, rest = bits % 8;
    uint8_t mask = (uint8_t)(0xff00 >> rest);

    return !memcmp(a, b, bytes) && (!rest || !((a[bytes] ^ b[bytes]) & mask));
}

/* The address bytes of a socket address, an IPv4-mapped one as IPv4. Returns the family, 0 when it is no IP address. */
static int address_bytes(const struct sockaddr *address, const uint8_t **ret_bytes, uint16_t *ret_port)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;

        *ret_bytes = (const uint8_t *)&in->sin_addr;
        *ret_port = ntohs(in->sin_port);
        return AF_INET;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        bool is_mapped = !memcmp(&in6->sin6_addr, mapped, sizeof(mapped));

        *ret_bytes = (const uint8_t *)&in6->sin6_addr + (is_mapped ? 12 : 0);
        *ret_port = ntohs(in6->sin6_port);
        return is_mapped ? AF_INET : AF_INET6;
    }
    return 0;
}

bool address_matches(const struct address_match *match, const struct sockaddr *address)
{
    const uint8_t *bytes = NULL;
    uint16_t port = 0;
    bool inside;
    int family;

    if (!match->present)
        return true;
    family = address ? address_bytes(address, &bytes, &port) : 0;
    if (!family)
        return false;
    inside = (!match->port_last || (port >= match->port_first && port <= match->port_last)) &&
             (!match->family || (match->family == family && prefix_equal(match->address, bytes, match->prefix_bits)));
    return inside != (match->negate != 0);
}

bool text_matches(const char *pattern, uint32_t negate, const char *text)
{
    if (!pattern[0])
        return true;
    return text && glob_match(pattern, text) != (negate != 0);
}

bool decide_matches(const struct plan_rule *rule, const struct decide_event *event)
{
    const struct selector *selector = &rule->selector;

    if (event->points && !(rule->points & event->points))
        return false;
    if (event->direction && !(selector->direction & event->direction))
        return false;
    if (event->size < selector->size_min || event->size > selector->size_max)
        return false;
    if (selector->fd >= 0 && selector->fd != event->fd)
        return false;
    return text_matches(selector->path, selector->path_negate, event->path) &&
           text_matches(selector->thread, selector->thread_negate, event->thread) &&
           text_matches(selector->caller, selector->caller_negate, event->caller) &&
           text_matches(selector->host, selector->host_negate, event->host) &&
           text_matches(selector->label, selector->label_negate, event->label) &&
           address_matches(&selector->peer, event->peer) && address_matches(&selector->client, event->client);
}

enum decision decide_fires(const struct plan_rule *rule, uint64_t seed, const struct decide_event *event, uint64_t ordinal)
{
    const struct selector *selector = &rule->selector;
    uint64_t since_ns = event->since_arm_ns;
    uint32_t ppm = selector->probability_ppm;

    if (since_ns < selector->from_ns || (selector->until_ns && since_ns >= selector->until_ns))
        return DECIDE_NOT_ELIGIBLE;
    if (ordinal < selector->first || (selector->last && ordinal > selector->last) ||
        (ordinal - selector->first + 1) % selector->nth != 0)
        return DECIDE_NOT_ELIGIBLE;
    if (selector->ramp_ns && since_ns - selector->from_ns < selector->ramp_ns)
        ppm = (uint32_t)((double)ppm * (double)(since_ns - selector->from_ns) / (double)selector->ramp_ns);
    if (ppm >= PPM)
        return DECIDE_FIRE;
    return rng_chance(rng_draw(seed, rule->name_hash, event->stream, event->position), ppm) ? DECIDE_FIRE : DECIDE_NOT_DRAWN;
}

bool decide_take(const struct plan_rule *rule, uint64_t *fired)
{
    uint64_t before;

    if (!rule->selector.budget) {
        __atomic_fetch_add(fired, 1, __ATOMIC_RELAXED);
        return true;
    }
    before = __atomic_load_n(fired, __ATOMIC_RELAXED);
    do {
        if (before >= rule->selector.budget)
            return false;
    } while (!__atomic_compare_exchange_n(fired, &before, before + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
}
