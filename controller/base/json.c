/* See json.h. */
#include "controller/base/json.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/utf8.h"
#include "scenarios/playbook/lists.h"
#include "scenarios/playbook/node.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Set by an allocation of cJSON's that failed in this thread, whose member is then missing from what is being made. */
static _Thread_local bool is_incomplete;

static void *allocate(size_t size)
{
    void *memory = malloc(size);

    is_incomplete |= !memory;
    return memory;
}

void json_guard(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){ .malloc_fn = allocate, .free_fn = free });
}

static char *text_of(const cJSON *value, bool is_pretty)
{
    char *text = !value ? NULL : is_pretty ? cJSON_Print(value) : cJSON_PrintUnformatted(value);

    if (is_incomplete) {
        free(text);
        text = NULL;
    }
    is_incomplete = false;
    return text;
}

char *json_text(const cJSON *value)
{
    return text_of(value, false);
}

char *json_pretty(const cJSON *value)
{
    return text_of(value, true);
}

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

void json_put_length(cJSON *object, const char *key, int64_t ns)
{
    json_put_number(object, key, ns == ABSENT ? (double)NAN : (double)ns / NS_PER_S);
}

void json_copy(cJSON *object, const char *key, const cJSON *from, const char *from_key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, from_key);

    cJSON_AddItemToObject(object, key, item ? cJSON_Duplicate(item, true) : cJSON_CreateNull());
}

cJSON *json_of_node(const struct node *node)
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
    case NODE_LIST:
    case NODE_MAP:
        break;
    }
    value = node->kind == NODE_MAP ? cJSON_CreateObject() : cJSON_CreateArray();
    for (const struct node *child = node->first; child; child = child->next) {
        if (node->kind == NODE_MAP)
            cJSON_AddItemToObject(value, child->key, json_of_node(child));
        else
            cJSON_AddItemToArray(value, json_of_node(child));
    }
    return value;
}

int json_print(cJSON *value)
{
    char *text = json_text(value);
    int result = text ? 0 : -ENOMEM;

    cJSON_Delete(value);
    if (text)
        puts(text);
    free(text);
    return result;
}
