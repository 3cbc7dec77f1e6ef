/* Getters over cJSON that answer "unknown" instead of failing. */
#include "controller/report/doc.h"

#include <math.h>
#include <string.h>

const cJSON *doc_get(const cJSON *object, const char *key)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

const cJSON *doc_list(const cJSON *object, const char *key)
{
    const cJSON *list = doc_get(object, key);

    return cJSON_IsArray(list) ? list : NULL;
}

size_t doc_count(const cJSON *list)
{
    size_t count = 0;
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
        count++;
    return count;
}

double doc_value(const cJSON *item)
{
    return cJSON_IsNumber(item) && isfinite(item->valuedouble) ? item->valuedouble : (double)NAN;
}

double doc_number(const cJSON *object, const char *key)
{
    return doc_value(doc_get(object, key));
}

const char *doc_text(const cJSON *object, const char *key)
{
    const cJSON *item = doc_get(object, key);

    return cJSON_IsString(item) && item->valuestring ? item->valuestring : "";
}

bool doc_is(const cJSON *object, const char *key, const char *text)
{
    return strcmp(doc_text(object, key), text) == 0;
}

bool doc_true(const cJSON *object, const char *key)
{
    return cJSON_IsTrue(doc_get(object, key));
}

bool doc_false(const cJSON *object, const char *key)
{
    return cJSON_IsFalse(doc_get(object, key));
}
