/* The HTTP server of `perturb serve`: the only file behind it knows libmicrohttpd.
 *
 *  1. One thread moves bytes and never waits for anything else; what a request asks for is done by workers while its connection sleeps.
 *  2. A request costs at most CALL_BODY_MAX of memory, and nothing is read of a request that is not admitted.
 *  3. `POST /api/v1/halt` has a worker of its own. */
#ifndef PERTURB_SERVE_HTTP_H
#define PERTURB_SERVE_HTTP_H

#include "controller/serve/core/service.h"
#include "scenarios/base/err.h"

struct http_options {
    const char *listen; /* "ADDRESS:PORT", "[::1]:8470", "unix:PATH"; port 0 takes a free one */
    const char *tls_certificate, *tls_key; /* PEM files; both or neither */
};

struct http_server;

/* Listens and serves until http_stop. 0; negative with errors added. `service` is borrowed until then. */
int http_start(const struct http_options *options, struct service *service, struct http_server **ret_server, struct errs *errs);

/* Where it listens, for people and for scripts: "http://127.0.0.1:8470". Borrowed. */
const char *http_address(const struct http_server *server);

/* Ends every connection and the threads. Accepts NULL. */
void http_stop(struct http_server *server);

#endif
