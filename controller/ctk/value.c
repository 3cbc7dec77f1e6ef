/* JSON values. */
#include "controller/ctk/ctk_priv.h"
#include "controller/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *ctk_text(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

    return text ? text : "";
}

double ctk_number(const cJSON *object, const char *key, double otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

bool ctk_bool(const cJSON *object, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

char *ctk_print(const cJSON *value)
{
    char *printed, *copy;

    if (cJSON_IsString(value))
        return strdup(value->valuestring);
    printed = json_text(value);
    copy = printed ? strdup(printed) : NULL;
    cJSON_free(printed);
    return copy;
}
