/* How a URL answers: its latency, its status, whether it is good. Each reading makes a connection of its own, so the time to connect,
 * and of https the handshake, are in it. */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/clock.h"

#include <stdio.h>
#include <string.h>

enum { ANSWER_MAX = 16 << 20 };

/* The forms are checked with the playbook. */
static bool is_good_status(const struct text_list *list, long status)
{
    for (size_t i = 0; i < list->count; i++) {
        unsigned first = 0, last = 0;
        int count = sscanf(list->items[i], "%3u-%3u", &first, &last);

        if (status >= (long)first && status <= (long)(count == 2 ? last : first))
            return true;
    }
    return !list->count && status >= 200 && status <= 299;
}

static int ask(struct reading *reading, const struct http_probe *http, double *ret_latency_s, long *ret_status)
{
    struct buf body;
    int result;

    buf_init(&body, ANSWER_MAX);
    result = reading_request(reading, http->url, &http->headers, http->expect ? &body : NULL, ret_status);
    *ret_latency_s = (double)(clock_now_ns() - reading->now_ns) / 1e9;
    if (!result && http->field != HTTP_STATUS && !is_good_status(&http->status, *ret_status))
        result = reading_fail(reading, "%s answered with status %ld", http->url, *ret_status);
    if (!result && http->expect && !memmem(body.data, body.length, http->expect, strlen(http->expect)))
        result = reading_fail(reading, "the answer of %s does not hold '%.60s'", http->url, http->expect);
    buf_done(&body);
    return result;
}

static int http_read(struct reading *reading)
{
    const struct http_probe *http = &reading->probe->http;
    double latency_s;
    long status = 0;
    int result = ask(reading, http, &latency_s, &status);

    if (http->field == HTTP_UP)
        reading_put(reading, reading->now_ns, result == 0);
    else if (result == 0)
        reading_put(reading, reading->now_ns, http->field == HTTP_LATENCY ? latency_s : (double)status);
    return http->field == HTTP_UP ? 0 : result;
}

const struct probe_reader probe_http = { .read = http_read };
