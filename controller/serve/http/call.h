/* Inside of the API: one request from its first line to its answer, known to http.c (which moves bytes) and dispatch.c (which decides).
 *
 *     call_new -> dispatch_admit (http's thread: who, whether) -> body -> dispatch_perform (a worker) -> the answer is sent -> call_free */
#ifndef PERTURB_SERVE_CALL_H
#define PERTURB_SERVE_CALL_H

#include "controller/serve/http/api.h"
#include "controller/serve/http/route.h"
#include "scenarios/base/buf.h"

enum { CALL_BODY_MAX = 1 << 20, CALL_HEADERS_MAX = 6, CALL_NAME_MAX = 64, CALL_ETAG_MAX = 80, CALL_CURSOR_PARTS_MAX = 4 };

struct api_server;
struct watcher;

/* Headers that matter; NULL when absent. They are borrowed from the connection, which lives longer than its call. */
struct call_headers {
    const char *host, *origin, *fetch_site, *content_type, *authorization, *cookie, *perturb, *if_match, *if_none_match, *idempotency_key,
        *last_event_id;
};

struct call_header {
    char name[32];
    char value[256];
};

struct call_answer {
    int status; /* 0: not answered */
    const char *type;
    char *bytes;         /* owned, unless `constant` */
    const char *constant;
    size_t length;
    struct watcher *watcher; /* a stream instead of bytes; owned until http.c has taken it */
    char etag[CALL_ETAG_MAX]; /* with its quotes; "" for none */
    struct call_header header[CALL_HEADERS_MAX];
    size_t header_count;
};

struct api_call {
    struct api_server *server;
    char *raw;   /* the target as it came; owned */
    const char *uri_problem; /* why it is none; NULL */
    const char *method;      /* borrowed from the connection */
    char peer[64];           /* its address, "unix" */
    struct call_headers headers;
    struct uri uri;
    struct route_argument argument[ROUTE_ARGUMENTS_MAX];
    const struct route *route;
    char identity[CALL_NAME_MAX];
    enum api_role role;
    struct buf body;
    bool oversized, performed;
    uint64_t began_ns;
    cJSON *json; /* of the body; owned */
    struct errs *errs; /* owned; made when first asked for */
    char *cursor[CALL_CURSOR_PARTS_MAX]; /* owned */
    struct call_answer answer;
};

struct api_call *call_new(struct api_server *server, const char *target); /* NULL when memory is out */
void call_free(struct api_call *call);                                    /* accepts NULL */

bool call_is_unsafe(const struct api_call *call); /* not GET, HEAD, OPTIONS */
bool call_is_halt(const struct api_call *call);   /* stopping comes before everything */

/* Answers with a stream of events; takes `watcher`. */
int call_reply_stream(struct api_call *call, struct watcher *watcher);

/* Answers with constant bytes that outlive the server. */
int call_reply_constant(struct api_call *call, const char *type, const char *bytes, size_t length);

#endif
