/* A number in a JSON document, and where it lies. */
#include "controller/probe/probe_priv.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DOCUMENT_MAX = 16 << 20 };

/* One step of a path: ".name", "name", "[3]", "[\"any name\"]". Returns the member, NULL when there is none; *path goes on, and is
 * NULL when the path is not well formed. */
static const cJSON *step_into(const cJSON *item, const char **path)
{
    char name[256];
    const char *at = *path;
    size_t length;

    if (at[0] == '[' && at[1] == '"') {
        const char *end = strstr(at + 2, "\"]");

        length = end ? (size_t)(end - at - 2) : sizeof(name);
        *path = end && length < sizeof(name) ? end + 2 : NULL;
        at += 2;
    } else if (at[0] == '[') {
        char *end;
        long index = strtol(at + 1, &end, 10);

        *path = end > at + 1 && *end == ']' && index >= 0 ? end + 1 : NULL;
        return *path && cJSON_IsArray(item) && index < cJSON_GetArraySize(item) ? cJSON_GetArrayItem(item, (int)index) : NULL;
    } else {
        at += at[0] == '.';
        length = strcspn(at, ".[");
        *path = length && length < sizeof(name) ? at + length : NULL;
    }
    if (!*path)
        return NULL;
    memcpy(name, at, length);
    name[length] = '\0';
    return cJSON_IsObject(item) ? cJSON_GetObjectItemCaseSensitive(item, name) : NULL;
}

static int number_of(const cJSON *item, double *ret_value)
{
    char *end;

    if (cJSON_IsNumber(item))
        *ret_value = item->valuedouble;
    else if (cJSON_IsBool(item))
        *ret_value = cJSON_IsTrue(item);
    else if (cJSON_IsString(item) && item->valuestring[0]) {
        *ret_value = strtod(item->valuestring, &end);
        return *end ? -EDOM : 0;
    } else {
        return -EDOM;
    }
    return 0;
}

/* NULL with -EINVAL for a bad path, -ENOENT when nothing lies there. */
static const cJSON *item_at(const cJSON *item, const char *path, int *ret_problem)
{
    while (*path) {
        item = step_into(item, &path);
        if (!path || !item) {
            *ret_problem = path ? -ENOENT : -EINVAL;
            return NULL;
        }
    }
    return item;
}

int json_number_at(const char *text, const char *path, double *ret_value)
{
    cJSON *document = cJSON_Parse(text);
    int result = document ? 0 : -EINVAL;
    const cJSON *item = document ? item_at(document, path, &result) : NULL;

    if (item)
        result = number_of(item, ret_value);
    cJSON_Delete(document);
    return result;
}

static bool is_value(const cJSON *item, const char *expected)
{
    char *end;

    if (cJSON_IsString(item))
        return !strcmp(item->valuestring, expected);
    if (cJSON_IsNumber(item)) {
        double number = strtod(expected, &end);
        return end != expected && !*end && number >= item->valuedouble && number <= item->valuedouble;
    }
    return (cJSON_IsTrue(item) && !strcmp(expected, "true")) || (cJSON_IsFalse(item) && !strcmp(expected, "false")) ||
           (cJSON_IsNull(item) && !strcmp(expected, "null"));
}

bool json_is_at(const char *text, const char *path, const char *expected)
{
    cJSON *document = cJSON_Parse(text);
    int problem;
    const cJSON *item = document ? item_at(document, path, &problem) : NULL;
    bool is = item && is_value(item, expected);

    cJSON_Delete(document);
    return is;
}

static int json_read(struct reading *reading)
{
    const struct json_probe *json = &reading->probe->json;
    struct buf body;
    long status = 0;
    double value;
    int result;

    buf_init(&body, DOCUMENT_MAX);
    result = reading_fetch(reading, json->url, &body, &status);
    if (!result && (status < 200 || status > 299))
        result = reading_fail(reading, "%s answered with status %ld", json->url, status);
    if (!result) {
        int found = json_number_at(body.data, json->path, &value);

        if (found < 0)
            result = reading_fail(reading, "%s: %s '%s'", json->url, found == -EINVAL ? "no JSON, or no such path is possible:"
                                  : found == -ENOENT ? "nothing lies at" : "no number lies at", json->path);
        else
            reading_put(reading, reading->now_ns, value);
    }
    buf_done(&body);
    return result;
}

const struct probe_reader probe_json = { .read = json_read };
