/* Names of faults, hidden. */
#include "controller/watch/veil.h"
#include "controller/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct veil {
    bool hides;
    char **names; /* owned, by place in the method */
    size_t count;
};

struct veil *veil_new(const cJSON *plan)
{
    const cJSON *faults = cJSON_GetObjectItemCaseSensitive(plan, "faults"), *fault;
    struct veil *veil = calloc(1, sizeof(*veil));
    int size = cJSON_IsArray(faults) ? cJSON_GetArraySize(faults) : 0;

    if (!veil)
        return NULL;
    veil->hides = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(plan, "secret"));
    veil->names = calloc((size_t)size + 1, sizeof(*veil->names));
    if (!veil->names)
        return veil_free(veil);
    cJSON_ArrayForEach(fault, faults) {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(fault, "name"));

        veil->names[veil->count] = strdup(name ? name : "");
        if (!veil->names[veil->count++])
            return veil_free(veil);
    }
    return veil;
}

struct veil *veil_free(struct veil *veil)
{
    for (size_t i = 0; veil && i < veil->count; i++)
        free(veil->names[i]);
    if (veil)
        free(veil->names);
    free(veil);
    return NULL;
}

bool veil_hides(const struct veil *veil)
{
    return veil && veil->hides;
}

/* A name that the plan does not know is hidden too. */
static bool hide(const struct veil *veil, cJSON *object, const char *key)
{
    cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    size_t place = 0;
    char text[32];

    if (!cJSON_IsString(item))
        return false;
    while (place < veil->count && strcmp(veil->names[place], item->valuestring) != 0)
        place++;
    snprintf(text, sizeof(text), "secret-%zu", place + 1);
    cJSON_ReplaceItemInObjectCaseSensitive(object, key, cJSON_CreateString(place < veil->count ? text : "secret"));
    return true;
}

static bool hide_all(const struct veil *veil, cJSON *faults)
{
    bool hidden = false;
    cJSON *fault;

    cJSON_ArrayForEach(fault, faults) {
        cJSON *spec = cJSON_GetObjectItemCaseSensitive(fault, "spec");

        hidden |= hide(veil, fault, "name");
        if (spec)
            cJSON_ReplaceItemInObjectCaseSensitive(fault, "spec", cJSON_CreateString("secret"));
    }
    return hidden;
}

char *veil_line(struct veil *veil, const char *line)
{
    const char *kind, *phase;
    cJSON *object, *fields;
    bool hidden = false;
    char *text = NULL;

    if (!veil_hides(veil))
        return NULL;
    object = cJSON_Parse(line);
    fields = cJSON_GetObjectItemCaseSensitive(object, "fields");
    kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "kind"));
    phase = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(fields, "phase"));
    if (kind && !strcmp(kind, "phase") && phase && !strcmp(phase, "observe"))
        veil->hides = false;
    else if (fields)
        hidden = hide(veil, fields, "fault");
    else
        hidden = hide_all(veil, cJSON_GetObjectItemCaseSensitive(object, "faults"));
    if (hidden)
        text = json_text(object);
    cJSON_Delete(object);
    return text;
}

cJSON *veil_plan(const struct veil *veil, const cJSON *plan)
{
    cJSON *copy = cJSON_Duplicate(plan, 1);

    if (veil_hides(veil))
        hide_all(veil, cJSON_GetObjectItemCaseSensitive(copy, "faults"));
    return copy;
}
