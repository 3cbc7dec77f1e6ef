/* The table of routes (routes.def) and finding one. Every consumer (dispatch, OpenAPI, tests) walks this array. */
#ifndef PERTURB_SERVE_ROUTE_H
#define PERTURB_SERVE_ROUTE_H

#include "controller/serve/http/api.h"
#include "controller/serve/http/uri.h"

enum { ROUTE_ARGUMENTS_MAX = 4 };

struct route {
    const char *method, *path; /* "/api/v1/runs/{id}" */
    const char *name;          /* of the handler: the operation's id */
    api_handler *handler;
    enum api_role role;
    const char *query; /* names of `parameters` in schemas.json, blanks between */
    const char *body;  /* name of a schema; "" takes none */
    int status;        /* of success */
    const char *reply; /* name of a schema, "Name[]" for a page of a list of them, a media type, "" for none */
    const char *help;
};

extern const struct route routes[];
extern const size_t route_count;

struct route_argument {
    const char *name; /* points into the route's path, ends at '}' */
    size_t name_length;
    const char *value;
};

/* The route of a request and its arguments. NULL: then *ret_allow (of `size`) holds the methods that the path has ("GET, HEAD, POST"), ""
 * when there is no such path. HEAD finds GET. */
const struct route *route_match(const char *method, const struct uri *uri, struct route_argument arguments[ROUTE_ARGUMENTS_MAX],
                               char *ret_allow, size_t size);

#endif
