/* From request to handler, and what all answers share. */
#include "controller/toxiproxy/api_priv.h"

#include "controller/base/json.h"
#include "controller/toxiproxy/log.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

static void handle_version(struct call *call);

static api_handler *const handlers[ROUTE_COUNT] = {
    [ROUTE_VERSION] = handle_version,
    [ROUTE_PROXY_LIST] = handle_proxy_list,
    [ROUTE_PROXY_CREATE] = handle_proxy_create,
    [ROUTE_PROXY_SHOW] = handle_proxy_show,
    [ROUTE_PROXY_UPDATE] = handle_proxy_update,
    [ROUTE_PROXY_DELETE] = handle_proxy_delete,
    [ROUTE_PROXY_STATS] = handle_proxy_stats,
    [ROUTE_PROXY_CONNECTIONS] = handle_proxy_connections,
    [ROUTE_TOXIC_LIST] = handle_toxic_list,
    [ROUTE_TOXIC_CREATE] = handle_toxic_create,
    [ROUTE_TOXIC_SHOW] = handle_toxic_show,
    [ROUTE_TOXIC_UPDATE] = handle_toxic_update,
    [ROUTE_TOXIC_DELETE] = handle_toxic_delete,
    [ROUTE_POPULATE] = handle_populate,
    [ROUTE_RESET] = handle_reset,
    [ROUTE_EVENTS] = handle_events,
    [ROUTE_METRICS] = handle_metrics,
};

/* ---- answers ---------------------------------------------------------------------------------------------------------- */

static const char json_type[] = "application/json";
static const char text_type[] = "text/plain; charset=utf-8";

static void put_document(struct http_response *response, cJSON *document, const char *end)
{
    char *text = json_text(document);

    if (text) {
        buf_puts(&response->body, text);
        buf_puts(&response->body, end);
    } else {
        response->body.failed = true; /* out of memory: the server answers 500 */
    }
    cJSON_free(text);
    cJSON_Delete(document);
}

void call_answer(struct call *call, int status, cJSON *document)
{
    call->response->status = status;
    call->response->content_type = json_type;
    put_document(call->response, document, "");
}

void call_refuse(struct call *call, int status, const char *text)
{
    struct http_response *response = call->response;
    cJSON *document = cJSON_CreateObject();
    size_t used = strlen(response->extra);

    cJSON_AddStringToObject(document, "error", text);
    cJSON_AddNumberToObject(document, "status", status);
    response->status = status;
    response->content_type = text_type;
    snprintf(response->extra + used, sizeof(response->extra) - used, "X-Content-Type-Options: nosniff\r\n");
    put_document(response, document, "\n");
}

void call_refuse_body(struct call *call, const char *reason)
{
    struct buf text;

    buf_init(&text, 4096);
    buf_printf(&text, "bad request body: %s", reason);
    call_refuse(call, 400, text.data);
    buf_done(&text);
}

static void answer_text(struct http_response *response, int status, const char *text)
{
    response->status = status;
    response->content_type = text_type;
    buf_puts(&response->body, text);
}

static void handle_version(struct call *call)
{
    call->response->content_type = "application/json;charset=utf-8";
    buf_puts(&call->response->body, "{\"version\": \"" TOXIPROXY_VERSION "\"}\n"); /* clients compare it to the byte */
}

/* ---- requests --------------------------------------------------------------------------------------------------------- */

cJSON *call_body(struct call *call)
{
    cJSON *body = NULL;
    struct buf why;

    buf_init(&why, 1024);
    if (json_decode(call->request->body, call->request->body_size, &body, &why) < 0)
        call_refuse_body(call, why.data);
    buf_done(&why);
    return body;
}

struct proxy_config *call_proxy(struct call *call)
{
    struct proxy_config *proxy = model_find(&call->api->model, call->match->names[0]);

    if (!proxy)
        call_refuse(call, 404, "proxy not found");
    return proxy;
}

struct toxic *call_toxic(struct call *call, const struct proxy_config *proxy)
{
    struct toxic *toxic = model_find_toxic(proxy, call->match->names[1]);

    if (!toxic)
        call_refuse(call, 404, "toxic not found");
    return toxic;
}

int publish_failure(int error, struct buf *why)
{
    if (error == -E2BIG)
        buf_printf(why, "there are more than %d toxics", PLAN_RULES_MAX);
    else
        buf_printf(why, "the toxics could not be armed: %s", strerror(-error));
    return error == -E2BIG ? 400 : 500;
}

/* 20 characters of base32hex, as the reference's ids look. */
static void put_request_id(struct http_response *response)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    unsigned char bytes[20];
    char id[sizeof(bytes) + 1] = "";

    if (getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes))
        for (size_t i = 0; i < sizeof(bytes); i++)
            id[i] = digits[bytes[i] & 31];
    snprintf(response->extra, sizeof(response->extra), "X-Toxiproxy-Request-Id: %s\r\n", id);
}

/* In a time that does not tell how much of it is right. */
static bool token_is_right(const char *authorization, const char *token)
{
    static const char scheme[] = "Bearer ";
    size_t length = strlen(token);
    unsigned char differs = 0;

    if (strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return false;
    authorization += sizeof(scheme) - 1;
    if (strlen(authorization) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        differs |= (unsigned char)(authorization[i] ^ token[i]);
    return !differs;
}

/* Pages of a browser must not drive the API, nor anybody without the token. */
static bool is_welcome(struct call *call)
{
    const struct http_request *request = call->request;

    if (!strncmp(request->user_agent, "Mozilla/", 8)) {
        answer_text(call->response, 403, "User agent not allowed\n");
        return false;
    }
    if (request->has_origin) {
        call_refuse(call, 403, "requests with an Origin header are not allowed");
        return false;
    }
    if (call->api->token && !token_is_right(request->authorization, call->api->token)) {
        size_t used = strlen(call->response->extra);

        snprintf(call->response->extra + used, sizeof(call->response->extra) - used, "WWW-Authenticate: Bearer\r\n");
        call_refuse(call, 401, "a token is needed: Authorization: Bearer TOKEN");
        return false;
    }
    return true;
}

static void answer_unrouted(struct http_response *response, int status, const struct route_match *match)
{
    response->status = status;
    if (status == 404)
        answer_text(response, 404, "404 page not found\n");
    else if (status == 400)
        answer_text(response, 400, "400 Bad Request\n");
    else if (status == 301 && strlen(match->query) < sizeof(response->extra) - 16)
        snprintf(response->extra, sizeof(response->extra), "Location: %s\r\n", match->query);
    else if (status == 301)
        answer_text(response, 404, "404 page not found\n");
}

void api_answer(void *context, const struct http_request *request, struct http_response *response)
{
    struct api *api = context;
    struct route_match match;
    int status = route_find(request->method, request->target, &match);
    struct call call = { api, request, &match, response };
    char status_text[16];

    if (status == 200) {
        put_request_id(response);
        if (is_welcome(&call)) {
            if (api_look_at_lever(api))
                api_save(api);
            handlers[match.id](&call);
            if (strcmp(request->method, "GET") != 0)
                api_save(api);
        }
    } else {
        answer_unrouted(response, status, &match);
    }
    route_match_done(&match);
    snprintf(status_text, sizeof(status_text), "%d", response->status);
    log_line(response->status >= 400 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "Request", "method", request->method, "path",
             request->target, "status", status_text, NULL);
}
