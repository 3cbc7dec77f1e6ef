/* The target of a request, as it stands on the request line, taken apart. Pure: no HTTP library, no state.
 *
 *  1. Origin form only: "/a/b%2Fc?x=1&y" (RFC 9112 section 3.2.1).
 *  2. What comes out is UTF-8 without NUL and controls; no segment is "", "." or "..". A decoded segment may hold '/', so that a name with
 *     folders is one segment; whoever opens a file by it calls uri_is_name(). */
#ifndef PERTURB_SERVE_URI_H
#define PERTURB_SERVE_URI_H

#include <stdbool.h>
#include <stddef.h>

enum { URI_BYTES_MAX = 4096, URI_SEGMENTS_MAX = 12, URI_PARAMETERS_MAX = 24 };

struct uri_parameter {
    const char *name, *value; /* decoded; value "" without '=' */
};

struct uri {
    const char *segment[URI_SEGMENTS_MAX]; /* decoded, of the path; "/" has none */
    size_t segment_count;
    struct uri_parameter parameter[URI_PARAMETERS_MAX];
    size_t parameter_count;
    char storage[URI_BYTES_MAX + 1];
};

/* 0; -EINVAL, -E2BIG, with *ret_why a constant sentence. */
int uri_parse(const char *raw, size_t length, struct uri *ret_uri, const char **ret_why);

/* NULL when absent. Of several of one name, the first. */
const char *uri_parameter(const struct uri *uri, const char *name);

/* Is `name` a relative path that stays below where it starts: parts of letters, digits, '-', '_', '.', ' ' and any non-ASCII, none of them
 * beginning with '.', joined by '/'? At most 255 bytes. */
bool uri_is_name(const char *name);

#endif
