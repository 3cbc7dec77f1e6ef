/* One function a keyword; each adds its finding and goes on, so that a client learns everything at once. */
#include "controller/serve/http/schema.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { DEPTH_MAX = 24, NAMES_MAX = 64 };

struct place {
    const cJSON *components;
    const char *where;
    struct errs *errs;
    int depth;
};

static void check(const struct place *place, const cJSON *schema, const cJSON *value);

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *type_of(const cJSON *value)
{
    if (cJSON_IsString(value))
        return "string";
    if (cJSON_IsBool(value))
        return "boolean";
    if (cJSON_IsNull(value))
        return "null";
    if (cJSON_IsArray(value))
        return "array";
    if (cJSON_IsObject(value))
        return "object";
    return value->valuedouble == floor(value->valuedouble) ? "integer" : "number";
}

static bool is_type(const char *wanted, const cJSON *value)
{
    const char *found = type_of(value);

    return !strcmp(wanted, found) || (!strcmp(wanted, "number") && !strcmp(found, "integer"));
}

static bool check_type(const struct place *place, const cJSON *schema, const cJSON *value)
{
    const cJSON *type = member(schema, "type"), *one;
    char wanted[128] = "";
    size_t used = 0;

    if (cJSON_IsString(type) && is_type(type->valuestring, value))
        return true;
    cJSON_ArrayForEach(one, type)
    {
        if (is_type(one->valuestring, value))
            return true;
        used += (size_t)snprintf(wanted + used, used < sizeof(wanted) ? sizeof(wanted) - used : 0, "%s%s", used ? " or " : "", one->valuestring);
    }
    if (!type)
        return true;
    errs_add(place->errs, ERR_USAGE, place->where, "found %s, expected %s", type_of(value), cJSON_IsString(type) ? type->valuestring : wanted);
    return false;
}

static void check_words(const struct place *place, const cJSON *schema, const cJSON *value)
{
    const cJSON *words = member(schema, "enum"), *word, *constant = member(schema, "const");
    const char *names[NAMES_MAX];
    size_t count = 0;
    int nearest;

    if (constant && !cJSON_Compare(constant, value, true))
        errs_add(place->errs, ERR_USAGE, place->where, "is not what it must be");
    if (!words)
        return;
    cJSON_ArrayForEach(word, words)
    {
        if (cJSON_Compare(word, value, true))
            return;
        if (cJSON_IsString(word) && count < NAMES_MAX)
            names[count++] = word->valuestring;
    }
    nearest = cJSON_IsString(value) ? err_nearest(value->valuestring, names, count) : -1;
    errs_add(place->errs, ERR_USAGE, place->where, "'%.80s' is none of its words%s%s%s", cJSON_IsString(value) ? value->valuestring : "?",
             nearest >= 0 ? "; did you mean '" : "", nearest >= 0 ? names[nearest] : "", nearest >= 0 ? "'?" : "");
}

static void check_range(const struct place *place, const cJSON *schema, const char *least, const char *most, double found, const char *of)
{
    const cJSON *low = member(schema, least), *high = member(schema, most);

    if (low && found < low->valuedouble)
        errs_add(place->errs, ERR_USAGE, place->where, "%g%s is below the minimum of %g", found, of, low->valuedouble);
    if (high && found > high->valuedouble)
        errs_add(place->errs, ERR_USAGE, place->where, "%g%s is above the maximum of %g", found, of, high->valuedouble);
}

static void check_below(const struct place *place, const char *part, const cJSON *schema, const cJSON *value)
{
    char where[ERR_WHERE_MAX];
    struct place below = *place;

    snprintf(where, sizeof(where), "%s/%.120s", place->where, part);
    below.where = where;
    below.depth++;
    check(&below, schema, value);
}

static void refuse_member(const struct place *place, const cJSON *properties, const char *name)
{
    const char *names[NAMES_MAX];
    const cJSON *known;
    char where[ERR_WHERE_MAX];
    size_t count = 0;
    int nearest;

    cJSON_ArrayForEach(known, properties)
        if (count < NAMES_MAX)
            names[count++] = known->string;
    nearest = err_nearest(name, names, count);
    snprintf(where, sizeof(where), "%s/%.120s", place->where, name);
    errs_add(place->errs, ERR_USAGE, where, "is no member here%s%s%s", nearest >= 0 ? "; did you mean '" : "", nearest >= 0 ? names[nearest] : "",
             nearest >= 0 ? "'?" : "");
}

static void check_object(const struct place *place, const cJSON *schema, const cJSON *value)
{
    const cJSON *properties = member(schema, "properties"), *others = member(schema, "additionalProperties"), *one;

    cJSON_ArrayForEach(one, member(schema, "required"))
        if (!member(value, one->valuestring))
            errs_add(place->errs, ERR_USAGE, place->where, "'%s' is missing", one->valuestring);
    cJSON_ArrayForEach(one, value)
    {
        const cJSON *known = member(properties, one->string);

        if (known)
            check_below(place, one->string, known, one);
        else if (cJSON_IsFalse(others))
            refuse_member(place, properties, one->string);
        else if (cJSON_IsObject(others))
            check_below(place, one->string, others, one);
    }
}

static void check_array(const struct place *place, const cJSON *schema, const cJSON *value)
{
    const cJSON *items = member(schema, "items"), *one;
    char part[24];
    int index = 0;

    check_range(place, schema, "minItems", "maxItems", cJSON_GetArraySize(value), " items");
    cJSON_ArrayForEach(one, value)
    {
        snprintf(part, sizeof(part), "%d", index++);
        if (items)
            check_below(place, part, items, one);
    }
}

/* Characters of UTF-8. */
static size_t text_length(const char *text)
{
    size_t length = 0;

    for (; *text; text++)
        length += ((unsigned char)*text & 0xc0) != 0x80;
    return length;
}

static void check_choice(const struct place *place, const cJSON *choices, const cJSON *value)
{
    AUTO_FREE struct errs *errs = calloc(1, sizeof(*errs));
    struct place trial = *place;
    const cJSON *one;

    trial.errs = errs;
    trial.depth++;
    cJSON_ArrayForEach(one, choices)
    {
        if (!errs)
            break;
        errs->count = 0;
        check(&trial, one, value);
        if (!errs->count)
            return;
    }
    errs_add(place->errs, ERR_USAGE, place->where, "is none of the forms that it may have");
}

static void check(const struct place *place, const cJSON *schema, const cJSON *value)
{
    const char *reference = cJSON_GetStringValue(member(schema, "$ref"));
    const cJSON *choices;

    if (place->depth > DEPTH_MAX) {
        errs_add(place->errs, ERR_USAGE, place->where, "is nested too deeply");
        return;
    }
    if (reference)
        schema = member(member(place->components, "schemas"), strrchr(reference, '/') + 1);
    choices = member(schema, "oneOf");
    if (choices)
        check_choice(place, choices, value);
    if (!check_type(place, schema, value))
        return;
    check_words(place, schema, value);
    if (cJSON_IsNumber(value))
        check_range(place, schema, "minimum", "maximum", value->valuedouble, "");
    if (cJSON_IsString(value))
        check_range(place, schema, "minLength", "maxLength", (double)text_length(value->valuestring), " characters");
    if (cJSON_IsArray(value))
        check_array(place, schema, value);
    if (cJSON_IsObject(value))
        check_object(place, schema, value);
}

int schema_check_value(const cJSON *components, const cJSON *schema, const cJSON *value, const char *where, struct errs *errs)
{
    size_t before = errs->count + errs->dropped;
    struct place place = { .components = components, .where = where, .errs = errs };

    check(&place, schema, value);
    return errs->count + errs->dropped > before ? -EINVAL : 0;
}

int schema_check(const cJSON *components, const char *name, const cJSON *value, struct errs *errs)
{
    const cJSON *schema = member(member(components, "schemas"), name);

    return schema ? schema_check_value(components, schema, value, "", errs) : -EPROTO;
}
