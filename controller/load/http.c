/* HTTP/1.1 and HTTP/2 requests by libcurl's multi interface, driven by the loop's epoll through its socket and timer callbacks.
 * 1. One easy handle a slot, set up once; a request only rewrites its trace header in place (curl keeps a pointer to the list).
 * 2. The loop's own deadline is the only time limit: a handle removed in mid-transfer takes its connection along.
 * 3. curl sends a request again by itself when a kept connection turns out dead; the pre-request callback counts the sends of a
 *    request and refuses the second, so that one request stays one attempt (it is then a reset).
 * 4. A slot's handle is set up for one request of the mix, anew only when its next one is another.
 * 5. With HTTP/2 requests wait for a connection that is being made rather than make another (CURLOPT_PIPEWAIT), and share it; one
 *    that is given up resets its stream and leaves the connection to the others. libcurl 7.88 fails the second request on a
 *    connection by prior knowledge (CURLE_HTTP2): before 8.0 each such request has a connection of its own.
 * Source: curl_multi_socket_action(3), CURLMOPT_TIMERFUNCTION(3), CURLOPT_PREREQFUNCTION(3), CURLOPT_RESOLVE(3). */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "controller/load/load_priv.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

enum { TRACE_HEADER_SIZE = 80, ADDRESSES_MAX = 4096, SHARES_SINCE = 0x080000 };

struct http_slot {
    CURL *easy;
    struct load *load;
    uint32_t number;
    uint32_t variant; /* it is set up for; UINT32_MAX: none yet */
    unsigned sends;   /* of the present request */
    struct curl_slist trace_node; /* first of its header list; the rest is shared */
    char trace[TRACE_HEADER_SIZE];
};

struct http {
    CURLM *multi;
    uint64_t timer_ns; /* UINT64_MAX: none */
    struct curl_slist **headers; /* one list each of the mix */
    struct curl_slist *resolve;
    struct http_slot *slots;
};

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
    const struct load *load = user;
    struct epoll_event event = { .data.u64 = (uint64_t)fd };

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(load->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0U) | (what & CURL_POLL_OUT ? EPOLLOUT : 0U);
    if (!socket_user) /* curl has not named this socket since its last CURL_POLL_REMOVE */
        (void)curl_multi_assign(((struct http *)load->backend_data)->multi, fd, user);
    (void)epoll_ctl(load->epoll_fd, socket_user ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    return 0;
}

static int on_timer_change(CURLM *multi, long timeout_ms, void *user)
{
    struct http *http = user;

    (void)multi;
    http->timer_ns = timeout_ms < 0 ? UINT64_MAX : timeout_ms == 0 ? 0 : clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    return 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    const struct http_slot *slot = user;

    load_take_bytes(slot->load, slot->number, bytes, size * count);
    return size * count;
}

static int on_request(void *user, char *ip, char *local_ip, int port, int local_port)
{
    struct http_slot *slot = user;

    (void)ip;
    (void)local_ip;
    (void)port;
    (void)local_port;
    return slot->sends++ == 0 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct load *load = user;

    (void)purpose;
    load_count(&load->counts.connects, 1);
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static enum load_outcome failure_outcome(CURL *easy, CURLcode code)
{
    long system_error = 0;

    switch (code) {
    case CURLE_COULDNT_CONNECT:
        (void)curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &system_error);
        return system_error == ECONNREFUSED ? LOAD_REFUSED : LOAD_CONNECT_FAILED;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_ABORTED_BY_CALLBACK: /* on_request: curl was about to send again */
        return LOAD_RESET;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* an answer that is no HTTP/1.x */
    case CURLE_BAD_CONTENT_ENCODING:
        return LOAD_WRONG_REPLY;
    default: /* TLS, local descriptors, names: no request went out */
        return LOAD_CONNECT_FAILED;
    }
}

static enum load_outcome answer_outcome(const struct load *load, CURL *easy, uint32_t slot, long status)
{
    const struct load_request *request = load_request_of(load, slot);
    long version = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    if (load->spec.http_version == 2 && version != CURL_HTTP_VERSION_2_0)
        return LOAD_WRONG_REPLY;
    if (status < request->status_min || status > request->status_max)
        return LOAD_HTTP_STATUS;
    return load_reply_is_good(load, slot) ? LOAD_OK : LOAD_WRONG_REPLY;
}

static void take_finished(struct load *load)
{
    struct http *http = load->backend_data;
    const CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left))) {
        struct http_slot *slot = NULL;
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result;
        enum load_outcome outcome;
        long status = 0;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&slot);
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        outcome = code == CURLE_OK ? answer_outcome(load, easy, slot->number, status) : failure_outcome(easy, code);
        (void)curl_multi_remove_handle(http->multi, easy); /* message is dead from here on */
        load_finish(load, slot->number, outcome, (uint16_t)status);
    }
}

/* Sets a slot's handle up for one request of the mix. */
static bool set_request(struct load *load, uint32_t number)
{
    struct http *http = load->backend_data;
    struct http_slot *slot = &http->slots[number];
    const struct load_request *request = load_request_of(load, number);
    bool is_head = request->method && strcmp(request->method, "HEAD") == 0;
    CURLcode failed = CURLE_OK;

    if (slot->variant == load->slots[number].variant)
        return true;
    slot->trace_node.next = http->headers[load->slots[number].variant];
#define SET(option, value) (failed |= curl_easy_setopt(slot->easy, (option), (value)))
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPGET, 1L); /* takes body and HEAD of another request back */
    if (request->body) {
        SET(CURLOPT_POSTFIELDS, request->body);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
    }
    SET(CURLOPT_NOBODY, (long)is_head);
    SET(CURLOPT_CUSTOMREQUEST, is_head ? NULL : request->method);
#undef SET
    slot->variant = failed == CURLE_OK ? load->slots[number].variant : UINT32_MAX;
    return failed == CURLE_OK;
}

static void http_send(struct load *load, uint32_t number)
{
    struct http *http = load->backend_data;
    struct http_slot *slot = &http->slots[number];
    uint64_t index = load->slots[number].index;
    char trace_id[LOAD_TRACE_ID_SIZE];

    slot->sends = 0;
    load_trace_id(load->spec.seed, load->spec.name, index, trace_id);
    snprintf(slot->trace, sizeof(slot->trace), "traceparent: 00-%s-%016" PRIx64 "-01", trace_id,
             rng_draw(load->spec.seed, load->name_hash, 2, index) | 1);
    if (!set_request(load, number) || curl_multi_add_handle(http->multi, slot->easy) != CURLM_OK)
        load_finish(load, number, LOAD_CONNECT_FAILED, 0);
}

static void http_cancel(struct load *load, uint32_t number)
{
    struct http *http = load->backend_data;

    (void)curl_multi_remove_handle(http->multi, http->slots[number].easy);
}

static void http_event(struct load *load, uint64_t key, uint32_t events)
{
    struct http *http = load->backend_data;
    int running;
    int what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

    (void)curl_multi_socket_action(http->multi, (curl_socket_t)key, what, &running);
    take_finished(load);
}

static uint64_t http_timer_ns(const struct load *load)
{
    return ((const struct http *)load->backend_data)->timer_ns;
}

static void http_timer(struct load *load)
{
    struct http *http = load->backend_data;
    int running;

    http->timer_ns = UINT64_MAX; /* the call below sets it anew if need be */
    (void)curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_finished(load);
}

static bool append(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);

    if (longer)
        *list = longer;
    return longer != NULL;
}

/* Adds "HOST:PORT:ADDRESS,ADDRESS" of a host that is a name; nothing for a numeric one. */
static int resolve_url(struct http *http, const char *url, const char **ret_problem)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    struct buf line;
    unsigned char numeric[sizeof(struct in6_addr)];
    char *host = NULL, *port = NULL;
    CURLU *parsed = curl_url();
    int rc = -EINVAL;

    buf_init(&line, ADDRESSES_MAX);
    *ret_problem = "is not a valid URL";
    if (!parsed || curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK || curl_url_get(parsed, CURLUPART_HOST, &host, 0) ||
        curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT))
        goto done;
    rc = 0;
    if (host[0] == '[' || inet_pton(AF_INET, host, numeric) == 1)
        goto done;
    *ret_problem = "names a host that cannot be resolved";
    rc = -EHOSTUNREACH;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        goto done;
    buf_printf(&line, "%s:%s:", host, port);
    for (const struct addrinfo *one = found; one; one = one->ai_next) {
        char text[INET6_ADDRSTRLEN];
        if (getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0)
            buf_printf(&line, "%s%s", one == found ? "" : ",", text);
    }
    rc = !line.failed && append(&http->resolve, line.data) ? 0 : -ENOMEM;
done:
    if (found)
        freeaddrinfo(found);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parsed);
    buf_done(&line);
    return rc;
}

static int build_headers(struct http *http, const struct load_spec *spec, size_t variant)
{
    struct curl_slist **list = &http->headers[variant];
    struct buf line;
    bool good = append(list, "Expect:"); /* no 100-continue round trip */

    buf_init(&line, ADDRESSES_MAX);
    if (spec->run_id) {
        buf_printf(&line, "X-Perturb-Run: %s", spec->run_id);
        good = good && !line.failed && append(list, line.data);
    }
    buf_done(&line);
    for (const char *const *header = spec->mix[variant].headers; header && *header; header++)
        good = good && append(list, *header);
    return good ? 0 : -ENOMEM;
}

static long version_option(const struct load_spec *spec)
{
    if (spec->http_version != 2)
        return CURL_HTTP_VERSION_1_1;
    return strncmp(spec->url, "https:", 6) == 0 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
}

static int slot_open(struct load *load, uint32_t number)
{
    struct http *http = load->backend_data;
    struct http_slot *slot = &http->slots[number];
    const struct load_spec *spec = &load->spec;
    CURL *easy = curl_easy_init();
    CURLcode failed = CURLE_OK;

    if (!easy)
        return -ENOMEM;
    *slot = (struct http_slot){ .easy = easy, .load = load, .number = number, .variant = UINT32_MAX };
    slot->trace_node = (struct curl_slist){ .data = slot->trace };
#define SET(option, value) (failed |= curl_easy_setopt(easy, (option), (value)))
    SET(CURLOPT_PRIVATE, slot);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, version_option(spec));
    SET(CURLOPT_PIPEWAIT, spec->http_version == 2 ? 1L : 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_USERAGENT, "perturb-load");
    SET(CURLOPT_HTTPHEADER, &slot->trace_node);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, slot);
    SET(CURLOPT_PREREQFUNCTION, on_request);
    SET(CURLOPT_PREREQDATA, slot);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, load);
    if (version_option(spec) == CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE && curl_version_info(CURLVERSION_NOW)->version_num < SHARES_SINCE) {
        SET(CURLOPT_FRESH_CONNECT, 1L);
        SET(CURLOPT_FORBID_REUSE, 1L);
    }
    SET(CURLOPT_CAPATH, NULL); /* with a directory libcurl reads all certificates for each connection: 20 ms and more of the loop */
    if (spec->ca_file)
        SET(CURLOPT_CAINFO, spec->ca_file);
    if (spec->is_insecure) {
        SET(CURLOPT_SSL_VERIFYPEER, 0L);
        SET(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (http->resolve && number == 0) /* slot 0 sends first; the multi handle's name cache serves the others from then on */
        SET(CURLOPT_RESOLVE, http->resolve);
#undef SET
    return failed == CURLE_OK ? 0 : -ENOMEM;
}

static int multi_open(struct load *load, struct http *http)
{
    CURLMcode failed = CURLM_OK;

    http->multi = curl_multi_init();
    if (!http->multi)
        return -ENOMEM;
#define SET(option, value) (failed |= curl_multi_setopt(http->multi, (option), (value)))
    SET(CURLMOPT_SOCKETFUNCTION, on_socket);
    SET(CURLMOPT_SOCKETDATA, load);
    SET(CURLMOPT_TIMERFUNCTION, on_timer_change);
    SET(CURLMOPT_TIMERDATA, http);
    SET(CURLMOPT_MAXCONNECTS, (long)load->spec.connections_max);
    SET(CURLMOPT_PIPELINING, load->spec.http_version == 2 ? (long)CURLPIPE_MULTIPLEX : (long)CURLPIPE_NOTHING);
#undef SET
    return failed == CURLM_OK ? 0 : -ENOMEM;
}

static int http_open(struct load *load, struct errs *errs)
{
    struct http *http = calloc(1, sizeof(*http));
    const char *problem = NULL;

    load->backend_data = http;
    if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return errs_add(errs, ERR_WORLD, "load", "libcurl cannot start");
    http->timer_ns = UINT64_MAX;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < load->spec.mix_count; i++) {
        rc = resolve_url(http, load->spec.mix[i].url, &problem);
        if (rc < 0)
            errs_add(errs, rc == -EINVAL ? ERR_INPUT : ERR_WORLD, "url", "'%s' %s", load->spec.mix[i].url, problem);
    }
    if (rc < 0)
        return rc;
    http->slots = calloc(load->spec.connections_max, sizeof(*http->slots));
    http->headers = calloc(load->spec.mix_count, sizeof(*http->headers));
    rc = http->slots && http->headers ? multi_open(load, http) : -ENOMEM;
    for (size_t i = 0; rc == 0 && i < load->spec.mix_count; i++)
        rc = build_headers(http, &load->spec, i);
    for (uint32_t i = 0; rc == 0 && i < load->spec.connections_max; i++)
        rc = slot_open(load, i);
    if (rc < 0)
        errs_add(errs, ERR_WORLD, "load", "libcurl cannot start: out of memory or too old (7.85 is needed)");
    return rc;
}

static void http_close(struct load *load)
{
    struct http *http = load->backend_data;

    if (!http)
        return;
    for (uint32_t i = 0; http->slots && i < load->spec.connections_max; i++) {
        if (!http->slots[i].easy)
            continue;
        (void)curl_multi_remove_handle(http->multi, http->slots[i].easy);
        curl_easy_cleanup(http->slots[i].easy);
    }
    if (http->multi)
        (void)curl_multi_cleanup(http->multi);
    for (size_t i = 0; http->headers && i < load->spec.mix_count; i++)
        curl_slist_free_all(http->headers[i]);
    free(http->headers);
    curl_slist_free_all(http->resolve);
    free(http->slots);
    free(http);
}

const struct load_backend load_http_backend = {
    .open = http_open, .send = http_send, .cancel = http_cancel, .on_event = http_event, .timer_ns = http_timer_ns,
    .on_timer = http_timer, .close = http_close,
};
