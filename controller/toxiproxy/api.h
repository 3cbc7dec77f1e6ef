/* Toxiproxy's HTTP API: what each route does to the model and the engine, and what it answers.
 *
 * 1. A request that is refused has changed nothing, populate excepted, which keeps what it did before the entry that failed.
 * 2. Texts of errors, statuses and the order of checks are those that existing clients compare.
 * 3. `strict` brings back quirks that tests may have come to rely on (docs/toxiproxy.md lists each). */
#ifndef PERTURB_TOXIPROXY_API_H
#define PERTURB_TOXIPROXY_API_H

#include "controller/toxiproxy/engine.h"
#include "controller/toxiproxy/http_server.h"
#include "controller/toxiproxy/presence.h"
#include "controller/toxiproxy/router.h"

/* The release whose contract this is: clients look at it to choose how they update (PATCH from 2.6.0 on). */
#define TOXIPROXY_VERSION "2.12.0"

struct api {
    struct model model;
    struct engine engine; /* borrows the model */
    bool strict, proxy_metrics, runtime_metrics;
    const char *token; /* borrowed; NULL: none is asked for */
    const char *state_path; /* borrowed; NULL: nothing is saved */
    uint64_t seed;
    struct presence presence;
    bool halted; /* the safety lever is set: no toxic may be added */
    bool starting; /* files are read: what may not be added is left out */
};

/* An http_answer; the context is a struct api. */
void api_answer(void *context, const struct http_request *request, struct http_response *response);

/* Takes the body of a populate, from a file. 0; -EINVAL, -errno with a reason in `why`. What could be opened stays open. */
int api_populate_text(struct api *api, const char *text, size_t size, struct buf *why);

/* Looks at the safety lever. When it was set, ends every toxic. True when anything changed. */
bool api_look_at_lever(struct api *api);

/* Saves the model if there is a state file. A failure is logged: the API goes on. */
void api_save(struct api *api);

#endif
