/* Address patterns from text (control plane: uses inet_pton). */
#include "scenarios/vocab/decide.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_number(const char *text, const char **ret_end, unsigned long maximum, unsigned long *ret_value)
{
    char *end;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    *ret_value = strtoul(text, &end, 10);
    *ret_end = end;
    return *ret_value <= maximum ? 0 : -EINVAL;
}

static int parse_ports(const char *text, struct address_match *match)
{
    unsigned long first, last;

    if (parse_number(text, &text, 65535, &first) < 0 || !first)
        return -EINVAL;
    last = first;
    if (*text == '-' && parse_number(text + 1, &text, 65535, &last) < 0)
        return -EINVAL;
    if (*text || last < first)
        return -EINVAL;
    match->port_first = (uint16_t)first;
    match->port_last = (uint16_t)last;
    return 0;
}

static int parse_cidr(const char *text, size_t length, struct address_match *match)
{
    char address[64];
    unsigned long bits;
    char *slash;

    if (length >= sizeof(address))
        return -EINVAL;
    memcpy(address, text, length);
    address[length] = '\0';
    slash = strchr(address, '/');
    if (slash)
        *slash++ = '\0';
    if (inet_pton(AF_INET, address, match->address) == 1)
        match->family = AF_INET;
    else if (inet_pton(AF_INET6, address, match->address) == 1)
        match->family = AF_INET6;
    else
        return -EINVAL;
    bits = match->family == AF_INET ? 32 : 128;
    match->prefix_bits = (uint16_t)bits;
    if (slash) {
        const char *end;

        if (parse_number(slash, &end, bits, &bits) < 0 || *end)
            return -EINVAL;
        match->prefix_bits = (uint16_t)bits;
    }
    return 0;
}

int address_match_parse(const char *text, struct address_match *ret_match)
{
    struct address_match match = { .present = 1 };
    const char *port = strrchr(text, ':');
    size_t length = port ? (size_t)(port - text) : strlen(text);
    int result = 0;

    if (text[0] == '[') {
        const char *close = strchr(text, ']');

        if (!close || (close[1] && close[1] != ':'))
            return -EINVAL;
        port = close[1] ? close + 1 : NULL;
        result = parse_cidr(text + 1, (size_t)(close - text - 1), &match);
    } else if (port && memchr(text, ':', length)) {
        port = NULL; /* a bare IPv6 address */
        result = parse_cidr(text, strlen(text), &match);
    } else if (length) {
        result = parse_cidr(text, length, &match);
    }
    if (!result && port)
        result = parse_ports(port + 1, &match);
    if (result < 0 || (!match.family && !match.port_last))
        return -EINVAL;
    *ret_match = match;
    return 0;
}

int address_match_print(const struct address_match *match, char *text, size_t size)
{
    char address[INET6_ADDRSTRLEN] = "", bits[8] = "", ports[16] = "";
    bool is_six = match->family == AF_INET6;

    if (match->family && !inet_ntop(match->family, match->address, address, sizeof(address)))
        return -E2BIG;
    if (match->family && match->prefix_bits != (is_six ? 128 : 32))
        snprintf(bits, sizeof(bits), "/%u", match->prefix_bits);
    if (match->port_last > match->port_first)
        snprintf(ports, sizeof(ports), ":%u-%u", match->port_first, match->port_last);
    else if (match->port_last)
        snprintf(ports, sizeof(ports), ":%u", match->port_first);
    if (snprintf(text, size, "%s%s%s%s%s", is_six && ports[0] ? "[" : "", address, bits, is_six && ports[0] ? "]" : "", ports) >=
        (int)size)
        return -E2BIG;
    return 0;
}
