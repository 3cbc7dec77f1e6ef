/* JSONPath, the part that experiments use. */
#include "controller/ctk/ctk_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 256 };

/* One step, applied to each of the values so far. */
struct step {
    enum { STEP_NAME, STEP_INDEX, STEP_ALL, STEP_EQUALS } kind;
    bool descends; /* ".." : at any depth */
    char name[NAME_MAX_BYTES];
    long index;
    cJSON *value; /* STEP_EQUALS: what the member `name` is compared with */
};

static void add(cJSON *matches, const cJSON *value)
{
    cJSON_AddItemReferenceToArray(matches, (cJSON *)(uintptr_t)value);
}

static void apply_here(const struct step *step, const cJSON *value, cJSON *matches)
{
    const cJSON *item;
    int count = cJSON_IsArray(value) ? cJSON_GetArraySize(value) : 0;
    long index = step->index < 0 ? step->index + count : step->index;

    if (step->kind == STEP_NAME && cJSON_IsObject(value)) {
        item = cJSON_GetObjectItemCaseSensitive(value, step->name);
        if (item)
            add(matches, item);
    } else if (step->kind == STEP_INDEX && index >= 0 && index < count) {
        add(matches, cJSON_GetArrayItem(value, (int)index));
    } else if (step->kind == STEP_ALL) {
        cJSON_ArrayForEach(item, value)
            add(matches, item);
    } else if (step->kind == STEP_EQUALS) {
        cJSON_ArrayForEach(item, value)
            if (cJSON_Compare(cJSON_GetObjectItemCaseSensitive(item, step->name), step->value, 1))
                add(matches, item);
    }
}

static void apply(const struct step *step, const cJSON *value, cJSON *matches)
{
    const cJSON *item;

    apply_here(step, value, matches);
    if (step->descends)
        cJSON_ArrayForEach(item, value)
            apply(step, item, matches);
}

/* "?(@.name=='text')" or "?(@.name==5)", inside brackets. */
static int read_filter(const char *text, size_t length, struct step *step)
{
    char copy[NAME_MAX_BYTES * 2], *name, *operator, *value, *end;

    if (length >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (strncmp(copy, "?(@.", 4) != 0 || copy[length - 1] != ')')
        return -EINVAL;
    copy[length - 1] = '\0';
    name = copy + 4;
    operator= strstr(name, "==");
    if (!operator)
        return -EINVAL;
    end = operator;
    while (end > name && isspace((unsigned char)end[-1]))
        end--;
    value = operator + 2 + strspn(operator + 2, " ");
    if (end == name || (size_t)(end - name) >= sizeof(step->name))
        return -EINVAL;
    memcpy(step->name, name, (size_t)(end - name));
    step->name[end - name] = '\0';
    if (value[0] == '\'' && strlen(value) >= 2) { /* JSON has no such quotes */
        value[strlen(value) - 1] = '\0';
        step->value = cJSON_CreateString(value + 1);
    } else {
        step->value = cJSON_Parse(value);
    }
    step->kind = STEP_EQUALS;
    return step->value ? 0 : -EINVAL;
}

static int read_bracket(const char **path, struct step *step)
{
    const char *text = *path + 1, *end = strchr(text, ']');
    size_t length;
    char *number_end;

    if (*text == '\'' || *text == '"') {
        char close[3] = { *text, ']', '\0' };

        end = strstr(text + 1, close);
        length = end ? (size_t)(end - text - 1) : NAME_MAX_BYTES;
        if (length >= sizeof(step->name))
            return -EINVAL;
        memcpy(step->name, text + 1, length);
        step->name[length] = '\0';
        step->kind = STEP_NAME;
        *path = end + 2;
        return 0;
    }
    if (*text == '?') {
        end = strstr(text, ")]");
        if (!end)
            return -EINVAL;
        *path = end + 2;
        return read_filter(text, (size_t)(end + 1 - text), step);
    }
    if (!end)
        return -EINVAL;
    *path = end + 1;
    if (end == text + 1 && *text == '*') {
        step->kind = STEP_ALL;
        return 0;
    }
    step->kind = STEP_INDEX;
    step->index = strtol(text, &number_end, 10);
    return number_end == end && end > text ? 0 : -EINVAL;
}

static int read_step(const char **path, struct step *step)
{
    size_t length;

    *step = (struct step){ .kind = STEP_NAME };
    if (**path == '.') {
        ++*path;
        step->descends = **path == '.';
        *path += step->descends;
    } else if (**path != '[') {
        return -EINVAL;
    }
    if (**path == '[')
        return read_bracket(path, step);
    length = strcspn(*path, ".[");
    if (!length || length >= sizeof(step->name))
        return -EINVAL;
    memcpy(step->name, *path, length);
    step->name[length] = '\0';
    if (!strcmp(step->name, "*"))
        step->kind = STEP_ALL;
    *path += length;
    return 0;
}

int ctk_jsonpath(const cJSON *document, const char *path, cJSON **ret_matches)
{
    cJSON *matches = cJSON_CreateArray(), *next;
    const cJSON *item;
    struct step step;
    int result = 0;

    path += *path == '$';
    if (*path && *path != '.' && *path != '[') { /* "a.b" is "$.a.b" to the format's own reader */
        cJSON_Delete(matches);
        return -EINVAL;
    }
    add(matches, document);
    while (*path && !result) {
        result = read_step(&path, &step);
        next = cJSON_CreateArray();
        if (!result)
            cJSON_ArrayForEach(item, matches)
                apply(&step, item, next);
        cJSON_Delete(step.value);
        cJSON_Delete(matches);
        matches = next;
    }
    if (!result)
        *ret_matches = cJSON_Duplicate(matches, 1);
    cJSON_Delete(matches);
    return result;
}
