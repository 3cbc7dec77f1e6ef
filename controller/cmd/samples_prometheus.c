/* The reply of Prometheus' /api/v1/query_range: {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {LABELS},
 * "values": [[SECONDS, "VALUE"], ...]}, ...]}}. Source: Prometheus, "HTTP API", section "Range queries". See samples.h. */
#include "controller/cmd/samples.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int syntax_error(const char *file, const char *text, const char *at, struct errs *errs)
{
    char where[ERR_WHERE_MAX];
    size_t line = 1, column = 1;

    for (const char *c = text; at && c < at && *c; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    snprintf(where, sizeof(where), "%.200s:%zu:%zu", file, line, column);
    return errs_add(errs, ERR_INPUT, where, "is no JSON from here on");
}

static const char *text_of(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, key));

    return text ? text : "";
}

/* "up{instance=a,job=b}", as Prometheus shows it but for the quotes; "value" without labels. */
static void name_of(const cJSON *metric, char *text, size_t size)
{
    const char *separator = "{";
    size_t length = (size_t)snprintf(text, size, "%s", text_of(metric, "__name__"));
    const cJSON *label;

    cJSON_ArrayForEach(label, metric) {
        if (!strcmp(label->string, "__name__") || length >= size)
            continue;
        length += (size_t)snprintf(text + length, size - length, "%s%s=%s", separator, label->string,
                                   cJSON_IsString(label) ? label->valuestring : "?");
        separator = ",";
    }
    if (*separator == ',' && length < size)
        snprintf(text + length, size - length, "}");
    if (!text[0])
        snprintf(text, size, "value");
}

static int read_pair(const char *file, const cJSON *pair, size_t series, size_t index, struct sample_column *column, struct errs *errs)
{
    const cJSON *at = cJSON_GetArrayItem(pair, 0);
    const char *text = cJSON_GetStringValue(cJSON_GetArrayItem(pair, 1));
    char where[ERR_WHERE_MAX], *end = NULL;
    double value = text ? strtod(text, &end) : NAN;

    snprintf(where, sizeof(where), "%.200s: /data/result/%zu/values/%zu", file, series, index);
    if (!cJSON_IsNumber(at) || !isfinite(at->valuedouble) || !text)
        return errs_add(errs, ERR_INPUT, where, "is no pair of seconds and a value in quotes");
    if (end == text || *end)
        return errs_add(errs, ERR_INPUT, where, "'%.60s' is no number", text);
    if (samples_add(column, at->valuedouble, value) < 0)
        return errs_add(errs, ERR_INTERNAL, file, "out of memory");
    return 0;
}

static int read_matrix(const char *file, const cJSON *result, struct samples *samples, struct errs *errs)
{
    const cJSON *entry, *pair;
    char name[SAMPLES_NAME_MAX];
    size_t series = 0;

    cJSON_ArrayForEach(entry, result) {
        struct sample_column *column;
        size_t index = 0;

        name_of(cJSON_GetObjectItem(entry, "metric"), name, sizeof(name));
        column = samples_new_column(samples, name);
        if (!column && !samples->column)
            return errs_add(errs, ERR_INTERNAL, file, "out of memory");
        if (!column)
            return errs_add(errs, ERR_INPUT, file, "more than 64 series; narrow the query");
        cJSON_ArrayForEach(pair, cJSON_GetObjectItem(entry, "values")) {
            int rc = read_pair(file, pair, series, index++, column, errs);

            if (rc < 0)
                return rc;
        }
        series++;
    }
    return 0;
}

int samples_read_prometheus(const char *file, const char *text, size_t length, struct samples *samples, struct errs *errs)
{
    const char *stopped = NULL, *type;
    const cJSON *data;
    cJSON *reply;
    int result;

    errno = 0;
    reply = cJSON_ParseWithLengthOpts(text, length + 1, &stopped, 1);
    if (!reply && errno == ENOMEM)
        return errs_add(errs, ERR_INTERNAL, file, "out of memory");
    data = cJSON_GetObjectItem(reply, "data");
    type = text_of(data, "resultType");
    if (!reply)
        return syntax_error(file, text, stopped, errs);
    if (!strcmp(text_of(reply, "status"), "error"))
        result = errs_add(errs, ERR_INPUT, file, "Prometheus answered an error%s%.40s: %.200s", *text_of(reply, "errorType") ? ", " : "",
                          text_of(reply, "errorType"), text_of(reply, "error"));
    else if (strcmp(type, "matrix") != 0)
        result = errs_add(errs, ERR_INPUT, file, "is no reply of query_range: data.resultType is '%.40s', not 'matrix'", type);
    else
        result = read_matrix(file, cJSON_GetObjectItem(data, "result"), samples, errs);
    cJSON_Delete(reply);
    return result;
}
