/* The rows of routes.def as an array; the path is matched part by part. */
#include "controller/serve/http/route.h"

#include <stdio.h>
#include <string.h>

const struct route routes[] = {
#define ROUTE(method, path, handler, role, query, body, status, reply, help) \
    { #method, path, #handler, handler, API_##role, query, body, status, reply, help },
#include "controller/serve/http/routes.def"
#undef ROUTE
};

const size_t route_count = sizeof(routes) / sizeof(routes[0]);

/* Does the path fit? Fills the arguments as it goes. */
static bool fits(const char *path, const struct uri *uri, struct route_argument arguments[ROUTE_ARGUMENTS_MAX])
{
    const char *at = path + 1;
    size_t segment = 0, argument = 0;

    while (*at) {
        size_t length = strcspn(at, "/");

        if (segment == uri->segment_count)
            return false;
        if (*at == '{')
            arguments[argument++] = (struct route_argument){ at + 1, length - 2, uri->segment[segment] };
        else if (strlen(uri->segment[segment]) != length || memcmp(uri->segment[segment], at, length) != 0)
            return false;
        segment++;
        at += length + (at[length] == '/');
    }
    return segment == uri->segment_count;
}

const struct route *route_match(const char *method, const struct uri *uri, struct route_argument arguments[ROUTE_ARGUMENTS_MAX],
                               char *ret_allow, size_t size)
{
    size_t used = 0;

    ret_allow[0] = '\0';
    if (!strcmp(method, "HEAD"))
        method = "GET";
    for (size_t i = 0; i < route_count; i++) {
        if (!fits(routes[i].path, uri, arguments))
            continue;
        if (!strcmp(routes[i].method, method))
            return &routes[i];
        used += (size_t)snprintf(ret_allow + used, used < size ? size - used : 0, "%s%s%s", used ? ", " : "", routes[i].method,
                                 strcmp(routes[i].method, "GET") ? "" : ", HEAD");
        if (used >= size)
            used = size - 1;
    }
    return NULL;
}
