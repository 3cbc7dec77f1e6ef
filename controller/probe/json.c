/* A number in a JSON document, and where it lies. */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/cleanup.h"

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

int json_number_at(const char *text, const char *path, double *ret_value)
{
    cJSON *document = cJSON_Parse(text);
    const cJSON *item = document;
    int result = document ? 0 : -EINVAL;

    while (!result && *path) {
        item = step_into(item, &path);
        if (!path)
            result = -EINVAL;
        else if (!item)
            result = -ENOENT;
        if (result)
            break;
    }
    if (!result)
        result = number_of(item, ret_value);
    cJSON_Delete(document);
    return result;
}

static int json_read(struct reading *reading)
{
    const struct json_probe *json = &reading->probe->json;
    AUTO_FREE char *text = NULL;
    long status = 0;
    double value;
    int result = reading_fetch(reading, json->url, DOCUMENT_MAX, &status, &text);

    if (result < 0)
        return result;
    if (status < 200 || status > 299)
        return reading_fail(reading, "%s answered with status %ld", json->url, status);
    result = json_number_at(text, json->path, &value);
    if (result < 0)
        return reading_fail(reading, "%s: %s '%s'", json->url,
                            result == -EINVAL ? "no JSON, or no such path is possible:" : result == -ENOENT ? "nothing lies at" : "no number lies at",
                            json->path);
    reading_put(reading, reading->now_ns, value);
    return 0;
}

const struct probe_reader probe_json = { .read = json_read };
