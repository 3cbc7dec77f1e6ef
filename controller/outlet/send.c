/* Requests by libcurl. */
#include "controller/outlet/send.h"

#include "controller/base/digest.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>

enum { ANSWER_MAX = 65536, BACKOFF_FIRST_MS = 500, BACKOFF_MAX_MS = 300000, RETRY_AFTER_MAX_MS = 3600000 };

struct sending {
    const struct egress *egress;
    const atomic_bool *stop;
    struct buf *body;
    const char *refusal; /* why the address was refused; NULL */
};

void send_begin(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct sending *sending = context;
    const char *why = egress_refusal(sending->egress, &address->addr);

    (void)purpose;
    if (why) {
        sending->refusal = why;
        return CURL_SOCKET_BAD;
    }
    sending->refusal = NULL;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t take(char *bytes, size_t size, size_t count, void *context)
{
    struct buf *body = context;
    size_t length = size * count, room = body->length_max - body->length;

    buf_append(body, bytes, MIN(length, room)); /* what is past the maximum is not needed */
    return length;
}

static int go_on(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return atomic_load((const atomic_bool *)context);
}

static struct curl_slist *with(struct curl_slist *list, const char *name, const char *value)
{
    char line[OUTLET_SECRET_MAX + 64];
    struct curl_slist *longer;

    snprintf(line, sizeof(line), "%s: %s", name, value);
    longer = curl_slist_append(list, line);
    explicit_bzero(line, sizeof(line));
    return longer ? longer : list;
}

static struct curl_slist *headers_of(const struct outlet *outlet, const struct delivery *delivery)
{
    struct curl_slist *list = NULL;
    char text[OUTLET_SECRET_MAX + 16];

    if (delivery->body)
        list = with(list, "Content-Type", "application/json");
    list = with(list, "User-Agent", "perturb/" PERTURB_VERSION);
    list = with(list, "Expect", "");
    if (outlet->token[0]) {
        snprintf(text, sizeof(text), "Bearer %s", outlet->token);
        list = with(list, "Authorization", text);
        explicit_bzero(text, sizeof(text));
    }
    if (outlet->kind == OUTLET_WEBHOOK) {
        const char *body = delivery->body ? delivery->body : "";
        char timestamp[24];

        snprintf(timestamp, sizeof(timestamp), "%" PRIu64, clock_wall_ns() / NS_PER_S);
        list = with(list, "X-Perturb-Event", delivery->event);
        list = with(list, "X-Perturb-Delivery", delivery->id);
        list = with(list, "X-Perturb-Timestamp", timestamp);
        if (outlet->secret[0])
            list = with(list, "X-Perturb-Signature", signature_of(outlet->secret, timestamp, body, strlen(body), text));
    }
    for (size_t i = 0; i < outlet->headers.count; i++) {
        struct curl_slist *longer = curl_slist_append(list, outlet->headers.items[i]);

        list = longer ? longer : list;
    }
    return list;
}

static bool is_for_later(const struct outlet *outlet, long status)
{
    if (status == 429 || status == 502 || status == 503 || status == 504)
        return true;
    return outlet->kind != OUTLET_OTLP && (status == 408 || status == 425 || status >= 500);
}

/* What came of it. The messages of the library quote names and addresses, never headers. */
static enum send_outcome judge(const struct outlet *outlet, const struct sending *sending, CURLcode code, struct send_answer *answer)
{
    char shown[128];

    outlet_shown(outlet, shown, sizeof(shown));
    if (sending->refusal) {
        snprintf(answer->why, sizeof(answer->why), "%s is %s: not allowed by `egress`", shown, sending->refusal);
        return SEND_REFUSED;
    }
    if (code != CURLE_OK) {
        snprintf(answer->why, sizeof(answer->why), "%s: %s", shown, curl_easy_strerror(code));
        return code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_PEER_FAILED_VERIFICATION ? SEND_REFUSED : SEND_AGAIN;
    }
    if (answer->status >= 200 && answer->status <= 299)
        return SEND_DONE;
    snprintf(answer->why, sizeof(answer->why), "%.100s answered with status %ld: %.90s", shown, answer->status, answer->body.data);
    outlet_redact(outlet, answer->why);
    return is_for_later(outlet, answer->status) ? SEND_AGAIN : SEND_REFUSED;
}

static void set_request(CURL *curl, const struct outlet *outlet, const struct delivery *delivery, const char *method)
{
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    if (delivery->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, delivery->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(delivery->body));
    }
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(outlet->timeout / 1000000));
}

enum send_outcome outlet_send(const struct outlet *outlet, const struct egress *egress, const struct delivery *delivery, const char *method, const char *path,
                              const atomic_bool *stop, struct send_answer *ret_answer)
{
    struct sending sending = { .egress = egress, .stop = stop, .body = &ret_answer->body };
    struct curl_slist *headers = headers_of(outlet, delivery);
    char url[OUTLET_URL_MAX + DELIVERY_PATH_MAX + DELIVERY_KEY_MAX];
    CURL *curl = curl_easy_init();
    curl_off_t retry_after_s = 0;
    CURLcode code = CURLE_OUT_OF_MEMORY;

    *ret_answer = (struct send_answer){ .status = 0 };
    buf_init(&ret_answer->body, ANSWER_MAX);
    snprintf(url, sizeof(url), "%s%s", outlet->url, path);
    if (curl) {
        set_request(curl, outlet, delivery, method);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &sending);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &ret_answer->body);
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, go_on);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, stop);
        code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret_answer->status);
        curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after_s);
        curl_easy_cleanup(curl);
    }
    ret_answer->retry_after_s = (double)retry_after_s;
    curl_slist_free_all(headers);
    explicit_bzero(url, sizeof(url));
    return judge(outlet, &sending, code, ret_answer);
}

void send_answer_done(struct send_answer *answer)
{
    buf_done(&answer->body);
}

uint64_t send_backoff_ms(const char *id, unsigned attempts, double retry_after_s)
{
    uint64_t wait_ms = attempts < 10 ? (uint64_t)BACKOFF_FIRST_MS << attempts : BACKOFF_MAX_MS, asked_ms = 0;

    wait_ms = MIN(wait_ms, (uint64_t)BACKOFF_MAX_MS);
    wait_ms = wait_ms * 3 / 4 + rng_below(rng_draw(0, rng_hash(id), attempts, 0), wait_ms / 2);
    if (retry_after_s > 0)
        asked_ms = retry_after_s * 1e3 < (double)RETRY_AFTER_MAX_MS ? (uint64_t)(retry_after_s * 1e3) : RETRY_AFTER_MAX_MS;
    return MAX(wait_ms, asked_ms);
}
