/* The table of routes. */
#include "controller/toxiproxy/router.h"

#include "scenarios/base/cleanup.h"

#include <stdbool.h>
#include <string.h>

enum { SEGMENTS_MAX = 5 };

struct route {
    const char *methods; /* space-separated; "" is any */
    const char *pattern; /* without the first slash; '*' is one segment, which is a name */
    enum route_id id;
};

static const struct route routes[] = {
    { "GET", "version", ROUTE_VERSION },
    { "GET", "proxies", ROUTE_PROXY_LIST },
    { "POST", "proxies", ROUTE_PROXY_CREATE },
    { "GET", "proxies/*", ROUTE_PROXY_SHOW },
    { "POST PATCH", "proxies/*", ROUTE_PROXY_UPDATE },
    { "DELETE", "proxies/*", ROUTE_PROXY_DELETE },
    { "GET", "proxies/*/stats", ROUTE_PROXY_STATS },
    { "GET", "proxies/*/connections", ROUTE_PROXY_CONNECTIONS },
    { "GET", "proxies/*/toxics", ROUTE_TOXIC_LIST },
    { "POST", "proxies/*/toxics", ROUTE_TOXIC_CREATE },
    { "GET", "proxies/*/toxics/*", ROUTE_TOXIC_SHOW },
    { "POST PATCH", "proxies/*/toxics/*", ROUTE_TOXIC_UPDATE },
    { "DELETE", "proxies/*/toxics/*", ROUTE_TOXIC_DELETE },
    { "POST", "populate", ROUTE_POPULATE },
    { "POST", "reset", ROUTE_RESET },
    { "GET", "events", ROUTE_EVENTS },
    { "", "metrics", ROUTE_METRICS },
};

/* ---- the path --------------------------------------------------------------------------------------------------------- */

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* In place. False for a broken escape or a NUL. */
static bool decode(char *text)
{
    char *out = text;

    for (const char *in = text; *in; in++) {
        int high, low;

        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        high = hex_value(in[1]);
        low = high < 0 ? -1 : hex_value(in[2]);
        if (low < 0 || !(high | low))
            return false;
        *out++ = (char)(high << 4 | low);
        in += 2;
    }
    *out = '\0';
    return true;
}

static int split(char *path, char *segments[SEGMENTS_MAX])
{
    int count = 0;

    for (char *at = path; at; count++) {
        if (count == SEGMENTS_MAX)
            return -1;
        segments[count] = at;
        at = strchr(at, '/');
        if (at)
            *at++ = '\0';
    }
    return count;
}

static bool pattern_matches(const char *pattern, char *const segments[], int count)
{
    for (int i = 0; i < count; i++) {
        size_t length = strcspn(pattern, "/");
        bool is_name = length == 1 && *pattern == '*';

        if (!length || (is_name ? !segments[i][0] : strlen(segments[i]) != length || strncmp(segments[i], pattern, length) != 0))
            return false;
        pattern += length;
        pattern += *pattern == '/' && i + 1 < count;
    }
    return !*pattern;
}

static bool has_method(const char *methods, const char *method)
{
    size_t length = strlen(method);

    if (!*methods)
        return true;
    for (const char *at = methods; (at = strstr(at, method)); at += length)
        if ((at == methods || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
            return true;
    return false;
}

static bool take_names(const char *pattern, char *const segments[], struct route_match *match)
{
    int names = 0;

    for (int i = 0; *pattern; i++) {
        if (*pattern == '*') {
            match->names[names] = strdup(segments[i]);
            if (!match->names[names++])
                return false;
        }
        pattern += strcspn(pattern, "/");
        pattern += *pattern == '/';
    }
    return true;
}

/* ---- finding ---------------------------------------------------------------------------------------------------------- */

static int redirect(const char *target, struct route_match *match)
{
    char *clean = strdup(target), *out = clean;

    if (!clean)
        return 404;
    for (const char *in = target; *in; in++)
        if (*in != '/' || in[1] != '/')
            *out++ = *in;
    *out = '\0';
    match->query = clean;
    return 301;
}

int route_find(const char *method, const char *target, struct route_match *ret_match)
{
    size_t path_length = strcspn(target, "?");
    AUTO_FREE char *path = strndup(target, path_length);
    char *segments[SEGMENTS_MAX];
    int status = 404, count;

    *ret_match = (struct route_match){ .query = NULL };
    if (!path || *path != '/')
        return 404;
    if (strstr(path, "//"))
        return redirect(target, ret_match);
    ret_match->query = strdup(target[path_length] ? target + path_length + 1 : "");
    count = split(path + 1, segments);
    for (int i = 0; i < count; i++)
        if (!decode(segments[i]))
            return 400;
    for (size_t i = 0; count > 0 && i < ARRAY_SIZE(routes); i++) {
        if (!pattern_matches(routes[i].pattern, segments, count))
            continue;
        status = 405;
        if (!has_method(routes[i].methods, method))
            continue;
        ret_match->id = routes[i].id;
        return ret_match->query && take_names(routes[i].pattern, segments, ret_match) ? 200 : 404;
    }
    return status;
}

void route_match_done(struct route_match *match)
{
    for (int i = 0; i < ROUTE_NAMES_MAX; i++)
        free(match->names[i]);
    free(match->query);
    *match = (struct route_match){ .query = NULL };
}

unsigned long long route_query_number(const char *query, const char *name, unsigned long long absent)
{
    size_t length = strlen(name);

    for (const char *at = query; *at; at += strcspn(at, "&"), at += *at == '&') {
        const char *value = at + length + 1;

        if (strncmp(at, name, length) || at[length] != '=')
            continue;
        return *value >= '0' && *value <= '9' ? strtoull(value, NULL, 10) : absent;
    }
    return absent;
}
