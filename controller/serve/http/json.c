/* See json.h. */
#include "controller/serve/http/json.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void json_put_text(cJSON *object, const char *key, const char *text)
{
    size_t length = text ? strlen(text) : 0;
    AUTO_FREE char *clean = NULL;

    if (!text) {
        cJSON_AddNullToObject(object, key);
        return;
    }
    if (utf8_valid_length(text, length) < length) {
        clean = strdup(text);
        for (size_t at = 0; clean && (at += utf8_valid_length(clean + at, length - at)) < length; at++)
            clean[at] = '?';
        text = clean ? clean : "";
    }
    cJSON_AddStringToObject(object, key, text);
}

void json_put_number(cJSON *object, const char *key, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
    else
        cJSON_AddNullToObject(object, key);
}

void json_put_integer(cJSON *object, const char *key, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, value);
    cJSON_AddStringToObject(object, key, text);
}

void json_copy(cJSON *object, const char *key, const cJSON *from, const char *from_key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, from_key);

    cJSON_AddItemToObject(object, key, item ? cJSON_Duplicate(item, true) : cJSON_CreateNull());
}
