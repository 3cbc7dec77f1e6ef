/* JSON values. */
#include "controller/ctk/ctk_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cJSON *ctk_from_node(const struct node *node)
{
    cJSON *value;

    switch (node->kind) {
    case NODE_NULL:
        return cJSON_CreateNull();
    case NODE_BOOL:
        return cJSON_CreateBool(!strcmp(node->text, "true"));
    case NODE_NUMBER:
        return cJSON_CreateNumber(strtod(node->text, NULL));
    case NODE_TEXT:
        return cJSON_CreateString(node->text);
    default:
        value = node->kind == NODE_MAP ? cJSON_CreateObject() : cJSON_CreateArray();
        for (const struct node *child = node->first; child; child = child->next) {
            if (node->kind == NODE_MAP)
                cJSON_AddItemToObject(value, child->key, ctk_from_node(child));
            else
                cJSON_AddItemToArray(value, ctk_from_node(child));
        }
        return value;
    }
}

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
    printed = cJSON_PrintUnformatted(value);
    copy = printed ? strdup(printed) : NULL;
    cJSON_free(printed);
    return copy;
}
