/* Shared by the handlers of the API; stays inside this folder. */
#ifndef PERTURB_TOXIPROXY_API_PRIV_H
#define PERTURB_TOXIPROXY_API_PRIV_H

#include "controller/toxiproxy/api.h"

struct call {
    struct api *api;
    const struct http_request *request;
    const struct route_match *match;
    struct http_response *response;
};

/* One route: leaves the answer in call->response. */
typedef void api_handler(struct call *call);

api_handler handle_proxy_list, handle_proxy_create, handle_proxy_show, handle_proxy_update, handle_proxy_delete, handle_proxy_stats,
    handle_toxic_list, handle_toxic_create, handle_toxic_show, handle_toxic_update, handle_toxic_delete, handle_populate,
    handle_reset, handle_events, handle_metrics, handle_proxy_connections;

/* {"error","status"} as the reference sends it. */
void call_refuse(struct call *call, int status, const char *text);

/* Answers with a document (taken). */
void call_answer(struct call *call, int status, cJSON *document);

/* The proxy or toxic of the path; NULL after it was refused. */
struct proxy_config *call_proxy(struct call *call);
struct toxic *call_toxic(struct call *call, const struct proxy_config *proxy);

/* The body as a tree (cJSON_Delete); NULL after it was refused. */
cJSON *call_body(struct call *call);
void call_refuse_body(struct call *call, const char *reason); /* 400 "bad request body: REASON" */

/* ---- objects ---- */
cJSON *proxy_print(const struct proxy_config *proxy, bool for_file, uint64_t now_ns);
cJSON *toxics_print(const struct proxy_config *proxy, bool for_file, uint64_t now_ns);

/* What a request says of a proxy; texts are borrowed, NULL where it says nothing. */
struct proxy_request {
    const char *name, *listen, *upstream;
    bool enabled;
    const cJSON *toxics;
};

int proxy_request_read(const cJSON *body, struct proxy_request *request, struct buf *why);

/* Reads one toxic for a proxy; it is not put there. Returns the status, 200 when *ret_toxic is new, else with the text in `why`. */
int toxic_read(const struct api *api, const struct proxy_config *proxy, const cJSON *body, struct toxic **ret_toxic, struct buf *why);

/* Makes a proxy of a request, its toxics included; nothing is opened. Returns the status, 201 when *ret_proxy is new. */
int proxy_make(const struct api *api, const struct proxy_request *request, struct proxy_config **ret_proxy, struct buf *why);

/* Puts a new proxy (takes it, in every case) into the model, and opens and arms it when `enabled`. `old`, when given, is the one
 * that it replaces; it is put back when the new one cannot be opened. 201, else the status with the text in `why`. */
int proxy_install(struct api *api, struct proxy_config *old, struct proxy_config *proxy, bool enabled, struct buf *why);

/* Does it ask for other addresses than the proxy has? 0 no, 1 yes, -EINVAL with the text in `why`. */
int proxy_differs(const struct api *api, const struct proxy_config *proxy, const char *listen, const char *upstream,
                  struct buf *why);

/* Takes every toxic out of the model; nothing is published. */
void drop_toxics(struct api *api);

/* The status and text of a plan that could not be published. */
int publish_failure(int error, struct buf *why);

#endif
