/* An HTTP/1.1 server for one thread: whole requests in, whole answers out, everything bounded in bytes and time.
 *
 * 1. A connection reads one request, has it answered, writes the answer, and only then looks at the next (pipelining waits).
 * 2. Limits: a request 15 s from its first byte, an answer 30 s, an idle connection 60 s, 512 connections.
 * 3. A request that cannot be read is answered with its status and the connection closed, gently: what still comes is read for a
 *    while, so that the answer is not lost to a reset.
 * 4. Plain HTTP to a server of TLS is answered in plain words; TLS to a plain one is logged, for its client cannot read an answer. */
#ifndef PERTURB_TOXIPROXY_HTTP_SERVER_H
#define PERTURB_TOXIPROXY_HTTP_SERVER_H

#include "controller/toxiproxy/http_reader.h"
#include "controller/toxiproxy/tls.h"

struct http_response {
    int status;
    const char *content_type; /* NULL for none */
    char extra[128]; /* further header lines, each with its CR LF; "" for none */
    struct buf body;
};

/* Answers a request. `response` comes with status 200, no type and an empty body. */
typedef void http_answer(void *context, const struct http_request *request, struct http_response *response);

struct http_server;

/* Returns new. `listen_fd` is taken; `tls` is borrowed, NULL for plain HTTP. 0, -ENOMEM, -errno. */
int http_server_new(int listen_fd, struct tls *tls, http_answer *answer, void *context, struct http_server **ret_server);
void http_server_free(struct http_server *server); /* accepts NULL; cuts what is open */

int http_server_fd(const struct http_server *server); /* readable when there is something to do: http_server_turn */
void http_server_turn(struct http_server *server);
uint64_t http_server_next_ns(const struct http_server *server); /* of the next time limit; UINT64_MAX for none */

/* Listens no more and closes idle connections; those with a request or an answer under way go on. True once none is left. */
bool http_server_drain(struct http_server *server);

const char *http_reason(int status); /* "Not Found" */

#endif
