/* What a handler of the HTTP API sees. A route is one row of routes.def; its handler is one function of this shape:
 *
 *     int runs_show(struct api_call *call)
 *     {
 *         ... api_arg(call, "id") ...
 *         return found ? api_reply(call, 200, object) : api_fail(call, 404, "there is no run '%s'", api_arg(call, "id"));
 *     }
 *
 *  1. A handler knows nothing of HTTP's wire: it is given checked values and answers once. Not answering is our fault: 500.
 *  2. What it is given was admitted: the role suffices, names in the path are UTF-8 without controls, every query parameter is one that the
 *     route lists, the body is JSON that fits the route's schema (schemas.json).
 *  3. It runs in a worker, several at a time; shared state is behind service_lock() (service.h). It may take seconds; nobody waits for it
 *     but its own client. */
#ifndef PERTURB_SERVE_API_H
#define PERTURB_SERVE_API_H

#include "scenarios/base/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct service;
struct api_call;

enum api_role { API_PUBLIC, API_VIEWER, API_OPERATOR, API_ADMIN };

typedef int api_handler(struct api_call *call);

/* ---- what was asked ---- */

struct service *api_service(struct api_call *call);
const char *api_arg(const struct api_call *call, const char *name);   /* of the path, "{name}"; never NULL for one the route has */
const char *api_query(const struct api_call *call, const char *name); /* NULL when it was not given */
bool api_query_flag(const struct api_call *call, const char *name);   /* given as "", "1" or "true" */
const cJSON *api_body(const struct api_call *call);                   /* NULL when the route takes none */

/* Members of the body; NULL or `absent` when not there. */
const char *api_text(const struct api_call *call, const char *key);
double api_number(const struct api_call *call, const char *key, double absent);
bool api_flag(const struct api_call *call, const char *key, bool absent);

/* Who asks: the token's name, "local" on a loopback without tokens. */
const char *api_identity(const struct api_call *call);
enum api_role api_role_of(const struct api_call *call);
const char *api_role_name(enum api_role role);

/* Findings of this call, empty at its begin: hand it to functions that take one. */
struct errs *api_errs(struct api_call *call);

/* ---- the answer; each returns 0, so that a handler may return it ---- */

/* Takes `body`; NULL with 204, or when memory was out (then it becomes 500). */
int api_reply(struct api_call *call, int status, cJSON *body);

/* One page of a list: takes `items` (an array); `next` is the cursor of the following page or NULL. */
int api_reply_list(struct api_call *call, cJSON *items, const char *next);

/* Takes `bytes` (free). `type` is a constant: "text/html; charset=utf-8". */
int api_reply_bytes(struct api_call *call, int status, const char *type, char *bytes, size_t length);

/* problem+json. `format` is one sentence for people. */
int api_fail(struct api_call *call, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* problem+json of a call that returned `result` < 0 and filled api_errs(): -ENOENT 404, -EEXIST, -ENOTUNIQ and -EBUSY 409, -EACCES and
 * -EPERM 403; else by the class of the errors: usage 400, input 422, world 503, internal 500. */
int api_fail_errs(struct api_call *call, int result);

/* One more member of the problem's `errors`, to be called before api_fail. */
void api_where(struct api_call *call, const char *where, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- headers ---- */

/* The entity's tag, without quotes; else every GET's is a digest of its body. `tag` is copied. */
void api_etag(struct api_call *call, const char *tag);

/* Does the request's If-Match name this tag (or "*")? A request without the header is answered 428, one that does not match 412: then the
 * result is false and the handler returns 0 at once. */
bool api_if_match(struct api_call *call, const char *tag);

/* A header of the answer, such as Location; both are copied. */
void api_header(struct api_call *call, const char *name, const char *value);

/* ---- pages of lists ---- */

/* `?limit=` (1..200, 50 unless told). */
size_t api_limit(const struct api_call *call);

/* The parts of `?cursor=` as api_cursor_make had them: 0 when there is none; else `count`, and the parts, which live as long as the call;
 * -EINVAL when it is none of ours: then the call is answered and the handler returns 0. */
int api_cursor(struct api_call *call, const char **parts, size_t count);

/* Returns new (free): a cursor of these texts; NULL when memory is out. */
char *api_cursor_make(const char *const *parts, size_t count);

/* Every handler, from the table. */
#define ROUTE(method, path, handler, role, query, body, status, reply, help) api_handler handler;
#include "controller/serve/http/routes.def"
#undef ROUTE

#endif
