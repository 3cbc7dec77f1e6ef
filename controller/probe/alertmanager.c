/* How many alerts fire: GET /api/v2/alerts of an Alertmanager (its OpenAPI description), which is told the matchers and answers with a
 * list of those that fit. An empty list is 0 alerts, not "no data". */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/matcher.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 16 << 20, URL_BYTES_MAX = 65536 };

int alertmanager_count(const char *answer, double *ret_value, char *why, size_t size)
{
    cJSON *document = cJSON_Parse(answer);
    const char *message = cJSON_GetStringValue(cJSON_IsString(document) ? document : cJSON_GetObjectItemCaseSensitive(document, "message"));
    int result = cJSON_IsArray(document) ? 0 : -EIO;

    if (result == 0)
        *ret_value = cJSON_GetArraySize(document);
    else
        snprintf(why, size, "%s", message ? message : "no answer of an alert manager");
    cJSON_Delete(document);
    return result;
}

/* name="value" with the value quoted, escaped for a URL. */
static void put_filter(struct buf *url, const char *text)
{
    static const char *const operators[2][2] = { { "!=", "=" }, { "!~", "=~" } };
    struct matcher matcher;
    struct buf filter;
    char *escaped;

    if (matcher_parse(text, &matcher) < 0)
        return; /* it was checked */
    buf_init(&filter, 4 * MATCHER_VALUE_MAX);
    buf_printf(&filter, "%s%s\"", matcher.name, operators[matcher.is_regex][matcher.is_equal]);
    for (const char *at = matcher.value; *at; at++)
        buf_printf(&filter, *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
    buf_puts(&filter, "\"");
    escaped = curl_easy_escape(NULL, filter.data, (int)filter.length);
    buf_printf(url, "&filter=%s", escaped ? escaped : "");
    curl_free(escaped);
    buf_done(&filter);
}

static int alertmanager_read(struct reading *reading)
{
    const struct alertmanager_probe *alerts = &reading->probe->alertmanager;
    bool has_slash = alerts->url[0] && alerts->url[strlen(alerts->url) - 1] == '/';
    const char *others = alerts->silenced ? "true" : "false";
    char why[96] = "";
    struct buf url, body;
    long status = 0;
    double value;
    int result;

    buf_init(&url, URL_BYTES_MAX);
    buf_init(&body, ANSWER_MAX);
    buf_printf(&url, "%s%sapi/v2/alerts?active=true&silenced=%s&inhibited=%s", alerts->url, has_slash ? "" : "/", others, others);
    for (size_t i = 0; i < alerts->match.count; i++)
        put_filter(&url, alerts->match.items[i]);
    result = url.failed ? reading_fail(reading, "its matchers are too long") : reading_request(reading, url.data, &alerts->headers, &body, &status);
    if (!result && (status != 200 || alertmanager_count(body.data, &value, why, sizeof(why)) < 0))
        result = reading_fail(reading, "%s answered with status %ld%s%s", alerts->url, status, why[0] ? ": " : "", why);
    if (!result)
        reading_put(reading, reading->now_ns, value);
    buf_done(&body);
    buf_done(&url);
    return result;
}

const struct probe_reader probe_alertmanager = { .read = alertmanager_read };
