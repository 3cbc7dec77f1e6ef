/* A GET whole, within the reading's deadline. */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/clock.h"
#include "scenarios/vocab/message.h"

#include <curl/curl.h>
#include <sys/socket.h>

static size_t take(char *bytes, size_t size, size_t count, void *context)
{
    return context && buf_append(context, bytes, size * count) < 0 ? 0 : size * count;
}

static int mark_socket(void *context, curl_socket_t fd, curlsocktype purpose)
{
    (void)context;
    (void)purpose;
    (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &(uint32_t){ CAPTURE_MARK }, sizeof(uint32_t));
    return CURL_SOCKOPT_OK;
}

struct way {
    const struct egress *egress;
    const char *refusal; /* of the last address; NULL */
};

/* What is judged is the address that the name has now. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct way *way = context;

    (void)purpose;
    way->refusal = egress_refusal(way->egress, &address->addr);
    return way->refusal ? CURL_SOCKET_BAD : socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int go_on(void *context, curl_off_t download_total, curl_off_t download, curl_off_t upload_total, curl_off_t upload)
{
    (void)download_total;
    (void)download;
    (void)upload_total;
    (void)upload;
    return reading_is_over(context);
}

int reading_request(struct reading *reading, const char *url, const struct text_list *headers, struct buf *body, long *ret_status)
{
    uint64_t now_ns = clock_now_ns();
    struct way way = { .egress = reading->world ? reading->world->egress : NULL };
    CURL *curl = curl_easy_init();
    struct curl_slist *lines = NULL;
    CURLcode code;

    if (!curl)
        return reading_fail(reading, "out of memory");
    for (size_t i = 0; headers && i < headers->count; i++) {
        struct curl_slist *longer = curl_slist_append(lines, headers->items[i]);

        lines = longer ? longer : lines;
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, lines);
    curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, mark_socket);
    if (way.egress) {
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &way);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, go_on);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, reading);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, reading->deadline_ns > now_ns ? (long)((reading->deadline_ns - now_ns) / NS_PER_MS) + 1 : 1L);
    code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(lines);
    if (way.refusal)
        return reading_fail(reading, "%s is %s: `egress` does not allow it", url, way.refusal);
    if (body && body->failed)
        return reading_fail(reading, "%s: the answer is longer than %zu bytes", url, body->length_max);
    return code == CURLE_OK ? 0 : reading_fail(reading, "%s: %s", url, curl_easy_strerror(code));
}

int reading_fetch(struct reading *reading, const char *url, struct buf *body, long *ret_status)
{
    return reading_request(reading, url, NULL, body, ret_status);
}
