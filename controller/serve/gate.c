/* Admission (gate.h). */
#include "controller/serve/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "localhost", "127.x.y.z", "[::1]", with our port or none. */
static bool is_loopback_name(const char *host, uint16_t port)
{
    static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = strlen(names[i]);
        char *end;

        if (strncasecmp(host, names[i], length) != 0)
            continue;
        if (!host[length])
            return true;
        if (host[length] == ':' && strtoul(host + length + 1, &end, 10) == port && !*end)
            return true;
    }
    return false;
}

/* "http://HOST" or "https://HOST" with the Host of the request itself. */
static bool is_same_site(const char *origin, const char *host)
{
    const char *name = strstr(origin, "://");

    return name && !strcasecmp(name + 3, host);
}

bool gate_host(struct api_call *call)
{
    const struct call_headers *headers = &call->headers;

    if (!headers->host) {
        api_fail(call, 400, "the request has no Host");
        return false;
    }
    if (call->server->loopback && !is_loopback_name(headers->host, call->server->port)) {
        api_fail(call, 421, "'%.100s' is no name of this service: it answers to localhost, 127.0.0.1 and [::1]", headers->host);
        return false;
    }
    if (headers->origin && !is_same_site(headers->origin, headers->host)) {
        api_fail(call, 403, "the request comes from a page of another site: %.100s", headers->origin);
        return false;
    }
    return true;
}

bool gate_identity(struct api_call *call)
{
    snprintf(call->identity, sizeof(call->identity), "local");
    call->role = API_ADMIN;
    return true;
}
