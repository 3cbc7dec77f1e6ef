/* Takes a URL of a host and a port apart, and resolves it. */
#include "controller/load/address.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { HOST_SIZE = 256, PORT_SIZE = 6 };

/* False for any other form: user, password and path are not supported. */
static bool split(const char *url, const char *scheme, const char *default_port, char host[HOST_SIZE], char port[PORT_SIZE])
{
    size_t skipped = strlen(scheme);
    const char *begin = url + skipped + 3, *end, *rest;

    if (strncmp(url, scheme, skipped) != 0 || strncmp(url + skipped, "://", 3) != 0)
        return false;
    end = *begin == '[' ? strchr(begin, ']') : begin + strcspn(begin, ":/?#@");
    if (!end)
        return false;
    rest = *begin == '[' ? end + 1 : end;
    begin += *begin == '[';
    if (end == begin || (size_t)(end - begin) >= HOST_SIZE)
        return false;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    snprintf(port, PORT_SIZE, "%s", default_port ? default_port : "");
    if (*rest == ':') {
        size_t digits = strspn(++rest, "0123456789");
        if (digits == 0 || digits >= PORT_SIZE)
            return false;
        snprintf(port, PORT_SIZE, "%.*s", (int)digits, rest);
        rest += digits;
    }
    return *port && (*rest == '\0' || strcmp(rest, "/") == 0);
}

int load_address_resolve(const char *url, const char *scheme, const char *default_port, struct errs *errs, struct load_address *ret_address)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *found;
    char host[HOST_SIZE], port[PORT_SIZE];

    if (!split(url, scheme, default_port, host, port)) {
        errs_add(errs, ERR_INPUT, "url", "found '%s', expected %s://HOST:PORT", url, scheme);
        return -EINVAL;
    }
    if (getaddrinfo(host, port, &hints, &found) != 0) {
        errs_add(errs, ERR_WORLD, "url", "'%s' names a host that cannot be resolved", url);
        return -EHOSTUNREACH;
    }
    const struct addrinfo *chosen = found;
    for (const struct addrinfo *one = found; one; one = one->ai_next)
        if (one->ai_family == AF_INET) {
            chosen = one;
            break;
        }
    memcpy(&ret_address->address, chosen->ai_addr, chosen->ai_addrlen);
    ret_address->length = chosen->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}
