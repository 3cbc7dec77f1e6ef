/* HTTP/1.1 requests (RFC 9112) from bytes as they come, with a bound on everything. Pure: no I/O, no clock.
 *
 * 1. A request is read whole before anybody sees it. Bytes after it are the next one's.
 * 2. What could be understood in two ways is refused: Content-Length twice or beside Transfer-Encoding, folded lines, a space
 *    before a colon, control characters in the head. */
#ifndef PERTURB_TOXIPROXY_HTTP_READER_H
#define PERTURB_TOXIPROXY_HTTP_READER_H

#include "scenarios/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum { HTTP_HEAD_BYTES_MAX = 32 << 10, HTTP_BODY_BYTES_MAX = 2 << 20, HTTP_METHOD_MAX = 16, HTTP_HEADERS_MAX = 100 };

struct http_request {
    char method[HTTP_METHOD_MAX];
    const char *target; /* as sent: "/proxies/a%20b?x=1" */
    const char *user_agent, *origin, *authorization; /* "" when absent */
    bool has_origin;
    bool keep_alive;
    const char *body; /* body_size bytes, followed by a NUL that is not counted */
    size_t body_size;
};

enum http_phase { HTTP_HEAD, HTTP_BODY, HTTP_CHUNK_SIZE, HTTP_CHUNK, HTTP_CHUNK_END, HTTP_TRAILER, HTTP_DONE };

struct http_reader {
    enum http_phase phase;
    struct buf head, body, line;
    struct http_request request; /* its texts point into head and body */
    uint64_t body_left; /* of the body, or of the chunk */
    uint32_t trailers;
    bool wants_continue; /* the client waits for "100 Continue"; whoever sends it sets this back */
};

void http_reader_init(struct http_reader *reader);
void http_reader_done(struct http_reader *reader);
void http_reader_reset(struct http_reader *reader); /* for the next request */

bool http_reader_is_empty(const struct http_reader *reader); /* nothing of a request has come */

/* Takes bytes, at most up to the end of the request. 1: reader->request is whole, valid until the next reset; 0: more is needed;
 * a negative HTTP status: -400, -413, -431, -501, -505. */
int http_reader_feed(struct http_reader *reader, const char *bytes, size_t size, size_t *ret_taken);

#endif
