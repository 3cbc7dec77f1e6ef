/* Between libmicrohttpd and the API (http.h). A request's states, and who moves it on:
 *
 *     head read    on_request: admitted -> its body is read; else answered at once
 *     body read    on_request: the connection is suspended, a worker performs it
 *     performed    perform, in the worker: the connection is resumed
 *     answered     on_request once more: the answer is queued; on_end frees the call
 *
 * Source: libmicrohttpd's manual, "Suspending and resuming connections", and its comments at MHD_suspend_connection. */
#include "controller/serve/http/http.h"

#include "controller/serve/http/archive.h"
#include "controller/serve/http/audit.h"
#include "controller/serve/http/dispatch.h"
#include "controller/serve/http/hub.h"
#include "controller/serve/http/counts.h"
#include "controller/serve/http/listen.h"
#include "controller/serve/http/page.h"
#include "controller/serve/http/tokens.h"
#include "controller/serve/http/workers.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

enum { WORKERS = 4, CONNECTIONS_MAX = 1024, CONNECTIONS_PER_ADDRESS_MAX = 512, IDLE_S = 60, CONNECTION_BYTES = 32 << 10, STREAM_BLOCK_BYTES = 16 << 10 };

/* Of one identity at one address; guesses: unknown tokens from one address. */
enum { READS_PER_S = 500, READS_BURST = 2000, CHANGES_PER_S = 20, CHANGES_BURST = 100, GUESS_S = 6, GUESSES_BURST = 10 };

struct http_server {
    struct api_server api;
    struct MHD_Daemon *daemon;
    struct workers *workers;
    struct listening listening;
    char *certificate, *key; /* PEM, owned */
    char address[200];
};

/* One request on its connection. */
struct exchange {
    uint64_t begun_ns;
    struct api_call *call; /* NULL: no memory for it */
    struct http_server *server;
    struct MHD_Connection *connection;
    bool admitted, given;
};

static void read_headers(struct MHD_Connection *connection, struct call_headers *headers)
{
    static const struct {
        const char *name;
        size_t offset;
    } known[] = {
        { "Host", offsetof(struct call_headers, host) },
        { "Origin", offsetof(struct call_headers, origin) },
        { "Sec-Fetch-Site", offsetof(struct call_headers, fetch_site) },
        { "Content-Type", offsetof(struct call_headers, content_type) },
        { "Authorization", offsetof(struct call_headers, authorization) },
        { "Cookie", offsetof(struct call_headers, cookie) },
        { "X-Perturb", offsetof(struct call_headers, perturb) },
        { "If-Match", offsetof(struct call_headers, if_match) },
        { "If-None-Match", offsetof(struct call_headers, if_none_match) },
        { "Idempotency-Key", offsetof(struct call_headers, idempotency_key) },
        { "Last-Event-ID", offsetof(struct call_headers, last_event_id) },
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        *(const char **)((char *)headers + known[i].offset) = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, known[i].name);
}

static void read_peer(struct MHD_Connection *connection, char *peer, size_t size)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;

    snprintf(peer, size, "unix");
    if (address && address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, peer, (socklen_t)size);
    else if (address && address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, peer, (socklen_t)size);
}

static void add_headers(struct MHD_Response *response, const struct call_answer *answer)
{
    if (answer->type)
        MHD_add_response_header(response, "Content-Type", answer->type);
    if (answer->etag[0])
        MHD_add_response_header(response, "ETag", answer->etag);
    for (size_t i = 0; i < answer->header_count; i++)
        MHD_add_response_header(response, answer->header[i].name, answer->header[i].value);
    MHD_add_response_header(response, "Cache-Control", "no-cache");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
}

/* ---- streams ---- */

struct stream {
    struct watcher *watcher;
    struct MHD_Connection *connection;
};

static ssize_t read_stream(void *context, uint64_t position, char *room, size_t size)
{
    struct stream *stream = context;
    long used = watcher_read(stream->watcher, stream->connection, room, size);

    (void)position;
    return used < 0 ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)used;
}

static void end_stream(void *context)
{
    struct stream *stream = context;

    watcher_close(stream->watcher);
    free(stream);
}

static struct MHD_Response *stream_response(struct MHD_Connection *connection, struct call_answer *answer)
{
    struct stream *stream = malloc(sizeof(*stream));
    struct MHD_Response *response = NULL;

    if (!stream)
        return NULL;
    *stream = (struct stream){ answer->watcher, connection };
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, read_stream, stream, end_stream);
    if (response)
        answer->watcher = NULL;
    else
        free(stream);
    return response;
}

static void sleep_connection(void *connection)
{
    MHD_suspend_connection(connection);
}

static void wake_connection(void *connection)
{
    MHD_resume_connection(connection);
}

static bool run_is_over(void *context, const char *run)
{
    struct http_server *server = context;

    return archive_is_over(server->api.archive, run);
}

static void on_change(void *context, const char *kind, const cJSON *data)
{
    struct http_server *server = context;

    hub_post(server->api.hub, kind, data);
}

/* ---- answers ---- */

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct api_call *call)
{
    struct call_answer *answer = &call->answer;
    struct MHD_Response *response;
    enum MHD_Result result;

    if (answer->watcher) {
        response = stream_response(connection, answer);
    } else if (answer->bytes) {
        response = MHD_create_response_from_buffer(answer->length, answer->bytes, MHD_RESPMEM_MUST_FREE);
        if (response)
            answer->bytes = NULL;
    } else {
        response = MHD_create_response_from_buffer(answer->length, (void *)(intptr_t)(answer->constant ? answer->constant : ""),
                                                   MHD_RESPMEM_PERSISTENT);
    }
    if (!response)
        return MHD_NO;
    dispatch_finish(call);
    add_headers(response, answer);
    result = MHD_queue_response(connection, (unsigned)answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static void perform(void *job)
{
    struct exchange *exchange = job;

    dispatch_perform(exchange->call);
    MHD_resume_connection(exchange->connection);
}

static enum MHD_Result take_head(struct exchange *exchange, struct MHD_Connection *connection, const char *method)
{
    struct api_call *call = exchange->call;
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");

    exchange->connection = connection;
    call->method = method;
    read_headers(connection, &call->headers);
    read_peer(connection, call->peer, sizeof(call->peer));
    exchange->admitted = dispatch_admit(call);
    if (exchange->admitted && length && (strlen(length) > 9 || strtoul(length, NULL, 10) > CALL_BODY_MAX)) {
        exchange->admitted = false;
        api_fail(call, 413, "the body is larger than %d bytes", CALL_BODY_MAX);
    }
    /* Answered here the body stays unread and the connection ends; where there is none, it may go on. */
    if (exchange->admitted || (!length && !MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Transfer-Encoding")))
        return MHD_YES;
    return send_answer(connection, call);
}

static enum MHD_Result take_body(struct api_call *call, const char *bytes, size_t *size)
{
    if (!call->oversized && buf_append(&call->body, bytes, *size) < 0)
        call->oversized = true;
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result give_to_worker(struct exchange *exchange)
{
    struct api_call *call = exchange->call;

    exchange->given = true;
    MHD_suspend_connection(exchange->connection);
    if (workers_give(exchange->server->workers, exchange, call_is_halt(call)) == 0)
        return MHD_YES;
    api_fail(call, 503, "the service is ending or out of memory");
    MHD_resume_connection(exchange->connection);
    return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **slot)
{
    struct exchange *exchange = *slot;

    (void)context;
    (void)url;
    (void)version;
    if (!exchange || !exchange->call)
        return MHD_NO;
    if (!exchange->call->method)
        return take_head(exchange, connection, method);
    if (*upload_size)
        return take_body(exchange->call, upload, upload_size);
    if (exchange->admitted && !exchange->given)
        return give_to_worker(exchange);
    return send_answer(connection, exchange->call);
}

/* The first that is heard of a request; what it returns is on_request's slot. */
static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    struct http_server *server = context;
    struct exchange *exchange = calloc(1, sizeof(*exchange));

    (void)connection;
    if (!exchange)
        return NULL;
    exchange->server = server;
    exchange->begun_ns = clock_now_ns();
    exchange->call = call_new(&server->api, target);
    return exchange;
}

/* A stream lasts as long as somebody looks: its time says nothing. */
static void note_end(const struct exchange *exchange)
{
    const struct api_call *call = exchange->call;
    bool is_stream = call->route && !strcmp(call->route->reply, "text/event-stream");

    counts_note(call->answer.status, is_stream ? 0 : clock_now_ns() - exchange->begun_ns);
}

static void on_end(void *context, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode why)
{
    struct exchange *exchange = *slot;

    (void)context;
    (void)connection;
    (void)why;
    if (exchange && exchange->call)
        note_end(exchange);
    if (exchange)
        call_free(exchange->call);
    free(exchange);
    *slot = NULL;
}

/* The target is decoded by uri.c, which knows what may stand in it. */
static size_t leave_escaped(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

static int read_pem(const char *path, char **ret_text, struct errs *errs)
{
    struct buf text;
    int result;

    buf_init(&text, 1 << 20);
    result = buf_read_file(&text, path);
    if (result < 0)
        errs_add(errs, ERR_WORLD, path, "cannot be read: %s", strerror(-result));
    else
        *ret_text = buf_take(&text);
    buf_done(&text);
    return result;
}

static int start_daemon(struct http_server *server, struct errs *errs)
{
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (server->key ? MHD_USE_TLS : 0);
    struct MHD_OptionItem tls[] = {
        { MHD_OPTION_HTTPS_MEM_CERT, 0, server->certificate },
        { MHD_OPTION_HTTPS_MEM_KEY, 0, server->key },
        { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(intptr_t)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" },
        { MHD_OPTION_END, 0, NULL },
    };
    struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };

    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, server->listening.fd, MHD_OPTION_URI_LOG_CALLBACK, on_target,
        server, MHD_OPTION_NOTIFY_COMPLETED, on_end, server, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_PER_ADDRESS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_ARRAY,
        server->key ? tls : none, MHD_OPTION_END);
    if (server->daemon)
        return 0;
    errs_add(errs, ERR_WORLD, server->listening.address, "the HTTP server cannot start%s",
             server->key ? ": is the certificate one of this key, both in PEM form?" : "");
    return -EIO;
}

/* Beyond the loopback whoever reaches the port could do what this user can: it takes tokens, and TLS so that they stay secret. */
static int check_exposure(const struct http_server *server, struct errs *errs)
{
    bool tokens = tokens_count(server->api.tokens) > 0;

    if (server->listening.loopback || (tokens && server->key))
        return 0;
    return errs_add(errs, ERR_USAGE, server->listening.address,
                    "others can reach this address: it needs %s%s%s; or listen on 127.0.0.1 behind a proxy that has them",
                    tokens ? "" : "a token (`perturb serve token add NAME --role admin`)", !tokens && !server->key ? " and " : "",
                    server->key ? "" : "TLS (--tls-cert, --tls-key)");
}

static int open_parts(struct http_server *server, struct errs *errs)
{
    struct api_server *api = &server->api;
    const char *data = service_data(api->service);
    int result = archive_open(&api->archive, errs);

    if (result == 0)
        result = tokens_open(data, &api->tokens, errs);
    if (result == 0)
        result = check_exposure(server, errs);
    if (result == 0)
        result = audit_open(data, &api->audit, errs);
    if (result < 0)
        return result;
    result = hub_start(&(struct hub_options){ sleep_connection, wake_connection, run_is_over, server }, &api->hub);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, NULL, "the live streams cannot be started: %s", strerror(-result));
    service_observe(api->service, on_change, server);
    result = workers_start(WORKERS, perform, &server->workers);
    return result < 0 ? errs_add(errs, ERR_WORLD, NULL, "threads cannot be started: %s", strerror(-result)) : 0;
}

static int open_server(struct http_server *server, const struct http_options *options, struct errs *errs)
{
    int result = listen_open(options->listen, &server->listening, errs);

    if (result == 0 && options->tls_key)
        result = read_pem(options->tls_certificate, &server->certificate, errs);
    if (result == 0 && options->tls_key)
        result = read_pem(options->tls_key, &server->key, errs);
    if (result < 0)
        return result;
    server->api.port = server->listening.port;
    server->api.tls = server->key != NULL;
    snprintf(server->address, sizeof(server->address), "%s%s", server->listening.is_unix ? "" : server->key ? "https://" : "http://",
             server->listening.address);
    server->api.components = cJSON_Parse(page_schemas());
    if (!server->api.components)
        return errs_add(errs, ERR_INTERNAL, "schemas.json", "is no JSON");
    result = open_parts(server, errs);
    if (result < 0)
        return result;
    return start_daemon(server, errs);
}

int http_start(const struct http_options *options, struct service *service, struct http_server **ret_server, struct errs *errs)
{
    struct http_server *server = calloc(1, sizeof(*server));
    int result;

    if (!server)
        return errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    server->listening.fd = -1;
    server->api.service = service;
    rate_init(&server->api.reads, READS_PER_S, READS_BURST);
    rate_init(&server->api.changes, CHANGES_PER_S, CHANGES_BURST);
    rate_init(&server->api.guesses, 1.0 / GUESS_S, GUESSES_BURST);
    result = open_server(server, options, errs);
    if (result < 0) {
        http_stop(server);
        return result;
    }
    *ret_server = server;
    return 0;
}

const char *http_address(const struct http_server *server)
{
    return server->address;
}

void http_stop(struct http_server *server)
{
    if (!server)
        return;
    if (server->daemon)
        MHD_quiesce_daemon(server->daemon);
    if (server->api.hub)
        service_observe(server->api.service, NULL, NULL);
    hub_stop(server->api.hub);
    workers_stop(server->workers); /* resumes what it held: MHD may not be stopped with suspended connections */
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    workers_free(server->workers);
    hub_free(server->api.hub);
    if (server->listening.fd >= 0)
        close(server->listening.fd);
    archive_close(server->api.archive);
    tokens_close(server->api.tokens);
    audit_close(server->api.audit);
    rate_done(&server->api.reads);
    rate_done(&server->api.changes);
    rate_done(&server->api.guesses);
    cJSON_Delete(server->api.components);
    free(server->certificate);
    free(server->key);
    free(server);
}
