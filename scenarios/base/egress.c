/* The table of networks that are refused. */
#include "scenarios/base/egress.h"

#include "scenarios/base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define LOOPBACK "the loopback"
#define METADATA "a metadata service of a cloud"
#define LINK_LOCAL "a link-local address, where metadata services are"
#define MULTICAST "a multicast address"

static const struct {
    const char *network, *why;
} refused[] = {
    { "0.0.0.0/8", LOOPBACK }, /* connect(2) to 0.0.0.0 reaches this host */
    { "127.0.0.0/8", LOOPBACK },
    { "::1", LOOPBACK },
    { "::", LOOPBACK },
    { "169.254.0.0/16", LINK_LOCAL },
    { "fe80::/10", LINK_LOCAL },
    { "fec0::/10", "a site-local address" },
    { "100.100.100.200", METADATA },
    { "192.0.0.192", METADATA },
    { "168.63.129.16", METADATA },
    { "fd00:ec2::254", METADATA },
    { "fd20:ce::254", METADATA },
    { "224.0.0.0/4", MULTICAST },
    { "ff00::/8", MULTICAST },
    { "240.0.0.0/4", "a reserved address" },
};

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static void set_ipv4(uint8_t address[16], const uint8_t ipv4[4])
{
    memmove(address + 12, ipv4, 4); /* first: it may lie in what the next line overwrites */
    memcpy(address, mapped, sizeof(mapped));
}

int egress_network_parse(const char *text, struct egress_network *ret_network)
{
    struct egress_network network = { .bits = 128 };
    size_t length = strcspn(text, "/");
    uint8_t ipv4[4];
    char host[64], *end;
    bool is_ipv4;

    if (length >= sizeof(host))
        return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    is_ipv4 = inet_pton(AF_INET, host, ipv4) == 1;
    if (is_ipv4)
        set_ipv4(network.address, ipv4);
    else if (inet_pton(AF_INET6, host, network.address) != 1)
        return -EINVAL;
    if (text[length]) {
        unsigned long bits = strtoul(text + length + 1, &end, 10);

        if (text[length + 1] < '0' || text[length + 1] > '9' || *end || bits > (is_ipv4 ? 32U : 128U))
            return -EINVAL;
        network.bits = (unsigned)bits + (is_ipv4 ? 96 : 0);
    }
    *ret_network = network;
    return 0;
}

static bool contains(const struct egress_network *network, const uint8_t address[16])
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;

    if (memcmp(network->address, address, whole) != 0)
        return false;
    return !rest || !((network->address[whole] ^ address[whole]) >> (8 - rest));
}

/* Invariant 3. */
static void unwrap(uint8_t address[16])
{
    static const uint8_t zeros[15], nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

    if (!memcmp(address, nat64, sizeof(nat64)))
        set_ipv4(address, address + 12);
    else if (address[0] == 0x20 && address[1] == 0x02)
        set_ipv4(address, address + 2);
    else if (!memcmp(address, zeros, 12) && memcmp(address, zeros, sizeof(zeros)) != 0) /* but :: and ::1 */
        set_ipv4(address, address + 12);
}

static const char *refusal_of(const uint8_t address[16], bool loopback)
{
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        struct egress_network network;

        if (egress_network_parse(refused[i].network, &network) == 0 && contains(&network, address))
            return loopback && !strcmp(refused[i].why, LOOPBACK) ? NULL : refused[i].why;
    }
    return NULL;
}

const char *egress_refusal(const struct egress *egress, const struct sockaddr *address)
{
    uint8_t bytes[16];

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)(const void *)address;
        uint8_t octets[4];

        memcpy(octets, &ipv4->sin_addr, sizeof(octets));
        set_ipv4(bytes, octets);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)(const void *)address;

        memcpy(bytes, &ipv6->sin6_addr, sizeof(bytes));
        unwrap(bytes);
    } else {
        return "no internet address";
    }
    for (size_t i = 0; i < egress->allowed_count; i++)
        if (contains(&egress->allowed[i], bytes))
            return NULL;
    return refusal_of(bytes, egress->loopback);
}
