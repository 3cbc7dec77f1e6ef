/* Configuration, secrets, and their names in texts (the rules of Python's string.Template, which the format inherits). */
#include "controller/ctk/ctk_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 4 << 20, NAME_MAX_BYTES = 128 };

/* ---- names in texts ------------------------------------------------------------------------------------------------------ */

static const cJSON *find(const struct ctk_values *values, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(values->configuration, name), *group;

    if (item)
        return item;
    cJSON_ArrayForEach(group, values->secrets) {
        item = cJSON_GetObjectItemCaseSensitive(group, name);
        if (item)
            return item;
    }
    return NULL;
}

/* A name at "${name}" or "$name". Returns the length of the whole, 0 when it is none. */
static size_t name_at(const char *text, char name[NAME_MAX_BYTES])
{
    bool braced = text[1] == '{';
    const char *start = text + 1 + braced, *end = start;

    if (!isalpha((unsigned char)*start) && *start != '_')
        return 0;
    while (isalnum((unsigned char)*end) || *end == '_')
        end++;
    if ((braced && *end != '}') || end - start >= NAME_MAX_BYTES)
        return 0;
    memcpy(name, start, (size_t)(end - start));
    name[end - start] = '\0';
    return (size_t)(end - text) + braced;
}

static void put_value(struct buf *out, const cJSON *value)
{
    char *text = ctk_print(value);

    buf_puts(out, text ? text : "");
    free(text);
}

static cJSON *substitute_text(const char *text, const struct ctk_values *values)
{
    char name[NAME_MAX_BYTES];
    const cJSON *value;
    struct buf out;
    cJSON *result;

    if (text[0] == '$' && name_at(text, name) == strlen(text) && (value = find(values, name)))
        return cJSON_Duplicate(value, 1);
    buf_init(&out, TEXT_BYTES_MAX);
    while (*text) {
        size_t length = *text == '$' ? name_at(text, name) : 0;

        if (text[0] == '$' && text[1] == '$') {
            buf_puts(&out, "$");
            text += 2;
        } else if (length && (value = find(values, name))) {
            put_value(&out, value);
            text += length;
        } else {
            buf_append(&out, text++, 1);
        }
    }
    result = cJSON_CreateString(out.data);
    buf_done(&out);
    return result;
}

cJSON *ctk_substitute(const cJSON *value, const struct ctk_values *values)
{
    const cJSON *item;
    cJSON *copy;

    if (cJSON_IsString(value))
        return substitute_text(value->valuestring, values);
    if (!cJSON_IsObject(value) && !cJSON_IsArray(value))
        return cJSON_Duplicate(value, 1);
    copy = cJSON_IsObject(value) ? cJSON_CreateObject() : cJSON_CreateArray();
    cJSON_ArrayForEach(item, value) {
        if (cJSON_IsObject(value))
            cJSON_AddItemToObject(copy, item->string, ctk_substitute(item, values));
        else
            cJSON_AddItemToArray(copy, ctk_substitute(item, values));
    }
    return copy;
}

/* ---- where values come from ------------------------------------------------------------------------------------------------ */

/* An environment variable with a type: "env_var_type" is str, int, float, bool, bytes or json. */
static cJSON *typed(const char *text, const char *type)
{
    cJSON *value = NULL;

    if (!strcmp(type, "int") || !strcmp(type, "float"))
        return cJSON_CreateNumber(strtod(text, NULL));
    if (!strcmp(type, "bool"))
        return cJSON_CreateBool(!strcmp(text, "true") || !strcmp(text, "True") || !strcmp(text, "1") || !strcmp(text, "yes"));
    if (!strcmp(type, "json"))
        value = cJSON_Parse(text);
    return value ? value : cJSON_CreateString(text);
}

static int from_environment(const cJSON *entry, cJSON **ret_value, char *why, size_t size)
{
    const char *key = ctk_text(entry, "key"), *text = getenv(key);
    const cJSON *initial = cJSON_GetObjectItemCaseSensitive(entry, "default");

    if (!text && !initial) {
        snprintf(why, size, "the environment has no %s, and there is no default", key);
        return -ENOENT;
    }
    *ret_value = text ? typed(text, ctk_text(entry, "env_var_type")) : cJSON_Duplicate(initial, 1);
    return 0;
}

static void strip(char *text)
{
    size_t length = strlen(text), start = strspn(text, " \t\r\n");

    while (length > start && isspace((unsigned char)text[length - 1]))
        length--;
    memmove(text, text + start, length - start);
    text[length - start] = '\0';
}

/* What a probe says: of a process what it prints, without the blanks around it; of a request its body. */
static int from_probe(const cJSON *entry, const cJSON *configuration, const atomic_bool *stopping, cJSON **ret_value, char *why, size_t size)
{
    struct ctk_values so_far = { .configuration = (cJSON *)(uintptr_t)configuration };
    cJSON *provider = ctk_substitute(cJSON_GetObjectItemCaseSensitive(entry, "provider"), &so_far), *output = NULL, *printed;
    int result = ctk_run_provider(provider, configuration, stopping, &output, why, size);

    if (!result) {
        printed = cJSON_GetObjectItemCaseSensitive(output, "stdout");
        if (cJSON_IsString(printed))
            strip(printed->valuestring);
        *ret_value = cJSON_Duplicate(printed ? printed : cJSON_GetObjectItemCaseSensitive(output, "body"), 1);
        if (!*ret_value)
            *ret_value = cJSON_CreateNull();
    }
    cJSON_Delete(output);
    cJSON_Delete(provider);
    return result;
}

static int resolve(const cJSON *entry, const cJSON *configuration, const atomic_bool *stopping, cJSON **ret_value, char *why, size_t size)
{
    const char *type = ctk_text(entry, "type");

    if (!strcmp(type, "env"))
        return from_environment(entry, ret_value, why, size);
    if (!strcmp(type, "probe"))
        return from_probe(entry, configuration, stopping, ret_value, why, size);
    *ret_value = cJSON_Duplicate(entry, 1);
    return 0;
}

int ctk_values_resolve(const cJSON *experiment, const atomic_bool *stopping, struct ctk_values *ret_values, char *why, size_t size)
{
    struct ctk_values values = { cJSON_CreateObject(), cJSON_CreateObject() };
    const cJSON *entry, *group;
    cJSON *value;
    int result = 0;

    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(experiment, "configuration")) {
        result = resolve(entry, values.configuration, stopping, &value, why, size);
        if (result < 0)
            break;
        cJSON_AddItemToObject(values.configuration, entry->string, value);
    }
    cJSON_ArrayForEach(group, cJSON_GetObjectItemCaseSensitive(experiment, "secrets")) {
        cJSON *resolved = cJSON_AddObjectToObject(values.secrets, group->string);

        cJSON_ArrayForEach(entry, group) {
            if (!result)
                result = resolve(entry, values.configuration, stopping, &value, why, size);
            if (!result)
                cJSON_AddItemToObject(resolved, entry->string, value);
        }
    }
    *ret_values = values;
    if (result < 0)
        ctk_values_done(ret_values);
    return result;
}

void ctk_values_done(struct ctk_values *values)
{
    cJSON_Delete(values->configuration);
    cJSON_Delete(values->secrets);
    *values = (struct ctk_values){ 0 };
}
