/* What a Prometheus answers to an instant query: /api/v1/query, Prometheus documentation, "HTTP API". One number or none: a vector of
 * several is refused, since which of them is meant nobody can know. */
#include "controller/probe/probe_priv.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 16 << 20 };

/* [instant, "value"], the value a text since JSON has no NaN. */
static int number_of(const cJSON *pair, double *ret_value, char *why, size_t size)
{
    const char *text = cJSON_GetStringValue(cJSON_GetArrayItem(pair, 1));
    char *end = NULL;
    double value = text ? strtod(text, &end) : NAN;

    if (!text || end == text || *end) {
        snprintf(why, size, "the answer holds no number");
        return -EIO;
    }
    if (!isfinite(value)) {
        snprintf(why, size, "the query yields %s", text);
        return -EIO;
    }
    *ret_value = value;
    return 0;
}

int prometheus_number(const char *answer, double *ret_value, char *why, size_t size)
{
    cJSON *document = cJSON_Parse(answer);
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(document, "data"), *list = cJSON_GetObjectItemCaseSensitive(data, "result");
    const char *status = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(document, "status"));
    const char *error = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(document, "error"));
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(data, "resultType"));
    int result = -EIO, count = cJSON_GetArraySize(list);

    if (!status || strcmp(status, "success") != 0)
        snprintf(why, size, "%s", error ? error : "no answer of a Prometheus");
    else if (type && !strcmp(type, "scalar"))
        result = number_of(list, ret_value, why, size);
    else if (!type || strcmp(type, "vector") != 0)
        snprintf(why, size, "the query yields a %s, not an instant vector or a scalar", type ? type : "thing without a type");
    else if (count != 1)
        snprintf(why, size, count ? "the query yields %d series, not one" : "the query yields no series", count);
    else
        result = number_of(cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(list, 0), "value"), ret_value, why, size);
    cJSON_Delete(document);
    return result;
}

/* Returns new; NULL out of memory. */
static char *query_url(const struct prometheus_probe *prometheus)
{
    char *escaped = curl_easy_escape(NULL, prometheus->query, (int)strlen(prometheus->query)), *url = NULL;
    size_t length = strlen(prometheus->url);
    bool has_slash = length && prometheus->url[length - 1] == '/';

    if (escaped && asprintf(&url, "%s%sapi/v1/query?query=%s", prometheus->url, has_slash ? "" : "/", escaped) < 0)
        url = NULL;
    curl_free(escaped);
    return url;
}

static int prometheus_read(struct reading *reading)
{
    const struct prometheus_probe *prometheus = &reading->probe->prometheus;
    char *url = query_url(prometheus), why[96] = "";
    struct buf body;
    long status = 0;
    double value;
    int result;

    if (!url)
        return reading_fail(reading, "out of memory");
    buf_init(&body, ANSWER_MAX);
    result = reading_request(reading, url, &prometheus->headers, &body, &status);
    if (!result && prometheus_number(body.data, &value, why, sizeof(why)) < 0)
        result = status == 200 || status == 400 || status == 422 ? reading_fail(reading, "%s", why)
                                                                 : reading_fail(reading, "%s answered with status %ld", prometheus->url, status);
    if (!result)
        reading_put(reading, reading->now_ns, value);
    buf_done(&body);
    free(url);
    return result;
}

const struct probe_reader probe_prometheus = { .read = prometheus_read };
