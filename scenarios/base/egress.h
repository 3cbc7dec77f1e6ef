/* Where requests may go that somebody else's configuration asks for: the deny-list against server-side request forgery.
 *
 * 1. The address that a connection is about to be made to is judged, not the name in the URL: what a name resolves to may change
 *    between a look and the connect ("DNS rebinding").
 * 2. Refused unless allowed by name of network: link-local with the cloud's metadata services, the other well-known metadata
 *    addresses, multicast, broadcast, "this network"; loopback where `loopback` is false. Private networks are not refused: that is
 *    where alert managers and collectors live.
 * 3. An IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4) is judged as that IPv4 address.
 * 4. What is neither IPv4 nor IPv6 is refused.
 * Sources: RFC 6890, RFC 3927, RFC 4291, RFC 6052, RFC 3056; the providers' documentation of their metadata addresses. */
#ifndef PERTURB_BASE_EGRESS_H
#define PERTURB_BASE_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { EGRESS_ALLOWED_MAX = 32 };

struct egress_network {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;       /* of 128 */
};

struct egress {
    bool loopback; /* may be gone to */
    struct egress_network allowed[EGRESS_ALLOWED_MAX];
    size_t allowed_count;
};

/* "10.0.0.0/8", "fd00::/8", or one address. 0, -EINVAL. */
int egress_network_parse(const char *text, struct egress_network *ret_network);

/* NULL when it may be connected to; else why not: "a link-local address", to be shown as it is. */
const char *egress_refusal(const struct egress *egress, const struct sockaddr *address);

#endif
