/* The playbook's JSON Schema, from the tables of keys and of faults. It accepts what the reader accepts in a single file, bar the
 * references between sections; a value may always be a text with a variable in it. */
#include "scenarios/base/cleanup.h"
#include "scenarios/playbook/section.h"
#include "scenarios/tools/vocab_gen.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The texts of each unit as an ECMA-262 pattern, by the suffix table of units.c. */
static const char *unit_pattern(enum unit unit)
{
    switch (unit) {
    case UNIT_DURATION:
        return "^(0|([0-9]*\\.?[0-9]+(ns|us|ms|s|m|h|d))+)$";
    case UNIT_SIZE:
        return "^[0-9]*\\.?[0-9]+([kKMG]B|[KMG]iB|B)?$";
    case UNIT_RATE:
        return "^[0-9]*\\.?[0-9]+([kKMG]?B|[KMG]iB|[kMG]?bit)/s$";
    case UNIT_FREQUENCY:
        return "^[0-9]*\\.?[0-9]+(/s|/m)?$";
    case UNIT_SHARE:
        return "^[0-9]*\\.?[0-9]+%?$";
    case UNIT_RATIO:
        return "^[0-9]*\\.?[0-9]+x?$";
    case UNIT_COUNT:
        return "^-?[0-9]*\\.?[0-9]+[kM]?$";
    case UNIT_SHIFT:
        return "^-?(0|([0-9]*\\.?[0-9]+(ns|us|ms|s|m|h|d))+)$";
    case UNIT_IPV4:
        return "^[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+$";
    case UNIT_ERRNO:
        return "^(any|E[A-Z0-9]+(:[0-9]+)?(\\+E[A-Z0-9]+(:[0-9]+)?)*)$";
    default:
        return NULL;
    }
}

static cJSON *typed(const char *type)
{
    cJSON *schema = cJSON_CreateObject();

    cJSON_AddStringToObject(schema, "type", type);
    return schema;
}

static cJSON *pattern(const char *text)
{
    cJSON *schema = typed("string");

    cJSON_AddStringToObject(schema, "pattern", text);
    return schema;
}

static cJSON *reference(const char *name)
{
    cJSON *schema = cJSON_CreateObject();
    char target[64];

    snprintf(target, sizeof(target), "#/$defs/%s", name);
    cJSON_AddStringToObject(schema, "$ref", target);
    return schema;
}

static cJSON *choice(cJSON *a, cJSON *b, cJSON *c)
{
    cJSON *schema = cJSON_CreateObject(), *any = cJSON_AddArrayToObject(schema, "anyOf");

    cJSON_AddItemToArray(any, a);
    cJSON_AddItemToArray(any, b);
    if (c)
        cJSON_AddItemToArray(any, c);
    return schema;
}

static cJSON *words_schema(const char *words)
{
    cJSON *schema = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(schema, "enum");
    char word[64];

    for (int64_t i = 0; *words_at(words, i, word, sizeof(word)); i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(word));
    return schema;
}

/* A value of a unit. The base units of counts are whole numbers and may be given as such, with their range. */
static cJSON *value_schema(enum unit unit, const char *words, int64_t minimum, int64_t maximum)
{
    cJSON *number = NULL;

    if (unit == UNIT_ENUM)
        return choice(words_schema(words), reference("variable"), NULL);
    if (unit == UNIT_BOOL)
        return choice(typed("boolean"), words_schema("yes no on off true false"), reference("variable"));
    if (unit == UNIT_TEXT)
        return reference("scalar");
    if (unit == UNIT_COUNT || unit == UNIT_SIZE) {
        number = typed("integer");
        cJSON_AddNumberToObject(number, "minimum", (double)minimum);
        if (maximum < INT64_C(1) << 53)
            cJSON_AddNumberToObject(number, "maximum", (double)maximum);
    } else if (unit != UNIT_ERRNO && unit != UNIT_RATE && unit != UNIT_IPV4) {
        number = typed("number");
        if (unit == UNIT_DURATION || unit == UNIT_SHIFT)
            cJSON_AddNumberToObject(number, "const", 0);
    }
    return choice(pattern(unit_pattern(unit)), reference("variable"), number);
}

static cJSON *list_of(cJSON *items)
{
    cJSON *schema = typed("array");

    cJSON_AddItemToObject(schema, "items", items);
    return schema;
}

static cJSON *map_of(cJSON *values)
{
    cJSON *schema = typed("object");

    cJSON_AddItemToObject(schema, "additionalProperties", values);
    return schema;
}

static cJSON *key_schema(const struct key_desc *key)
{
    switch (key->type) {
    case KEY_TEXT:
        return reference("scalar");
    case KEY_VALUE:
        return value_schema(key->unit, key->words, key->minimum, key->maximum);
    case KEY_TEXTS:
        return choice(reference("scalar"), list_of(reference("scalar")), NULL);
    case KEY_PAIRS:
    case KEY_ANY:
        return map_of(reference("scalar"));
    case KEY_SECTION:
        return reference(key->section->name);
    case KEY_LIST:
        return list_of(reference(key->section->name));
    case KEY_MAP:
        return map_of(reference(key->section->name));
    }
    return NULL;
}

/* Range and default, for the editor's hover. */
static void describe(cJSON *schema, const struct key_desc *key)
{
    char text[512], low[32], high[32], initial[64] = "";

    if (key->type != KEY_VALUE || key->unit == UNIT_ENUM || key->unit == UNIT_BOOL) {
        cJSON_AddStringToObject(schema, "description", key->help);
        return;
    }
    if (key->initial != ABSENT)
        snprintf(initial, sizeof(initial), "; default %s", unit_print(key->unit, key->initial, low, sizeof(low)));
    snprintf(text, sizeof(text), "%s (%s to %s%s)", key->help, unit_print(key->unit, key->minimum, low, sizeof(low)),
             unit_print(key->unit, key->maximum, high, sizeof(high)), initial);
    cJSON_AddStringToObject(schema, "description", text);
}

static void add_section(cJSON *definitions, const struct section_desc *section);

static cJSON *section_schema(cJSON *definitions, const struct section_desc *section)
{
    cJSON *schema = typed("object"), *properties, *required = cJSON_CreateArray();

    cJSON_AddStringToObject(schema, "description", section->help);
    properties = cJSON_AddObjectToObject(schema, "properties");
    for (size_t i = 0; i < section->key_count; i++) {
        const struct key_desc *key = &section->keys[i];
        cJSON *value = key_schema(key);

        describe(value, key);
        cJSON_AddItemToObject(properties, key->name, value);
        if (key->required)
            cJSON_AddItemToArray(required, cJSON_CreateString(key->name));
        if (key->section)
            add_section(definitions, key->section);
    }
    cJSON_AddItemToObject(schema, "required", required);
    if (!section->open)
        cJSON_AddFalseToObject(schema, "additionalProperties");
    return schema;
}

/* ---- steps: the fault decides which further keys there are -------------------------------------------------------------- */

static cJSON *selector_schema(const struct selector_desc *selector)
{
    cJSON *value;

    if (selector->operators == OP_EQ || selector->unit == UNIT_TEXT)
        value = value_schema(selector->unit, NULL, selector->minimum, selector->maximum);
    else
        value = choice(pattern("^(>=|<=)?[0-9]*\\.?[0-9]+([kKMG]B|[KMG]iB|B)?$"), reference("variable"), typed("integer"));
    cJSON_AddStringToObject(value, "description", selector->help);
    return value;
}

static const char *scope_of(const struct fault_desc *fault)
{
    return fault->backends & BACKEND_WIRE ? "proxy" : "target";
}

/* The fault of that short name at the same kind of place, from `from` on; NULL when there is none. Which one a step means is then a
 * matter of the place: of what its proxy speaks. */
static const struct fault_desc *find_namesake(const struct fault_desc *fault, size_t from)
{
    for (size_t i = from; i < FAULT_COUNT; i++)
        if (&fault_descs[i] != fault && !strcmp(fault_descs[i].name, fault->name) && scope_of(&fault_descs[i]) == scope_of(fault))
            return &fault_descs[i];
    return NULL;
}

static void add_identity(cJSON *list, const struct fault_desc *fault)
{
    char identity[64];

    snprintf(identity, sizeof(identity), "%s.%s", layer_names[fault->layer], fault->name);
    cJSON_AddItemToArray(list, cJSON_CreateString(identity));
}

/* "latency" and "stream.latency". */
static void add_names(cJSON *list, const struct fault_desc *fault)
{
    const cJSON *other;
    bool known = false;

    cJSON_ArrayForEach(other, list)
        known |= !strcmp(other->valuestring, fault->name);
    if (!known)
        cJSON_AddItemToArray(list, cJSON_CreateString(fault->name));
    add_identity(list, fault);
}

/* The step names this fault; `short_name`: by the name that it shares with a namesake, and not by its identity. */
static cJSON *condition(const struct fault_desc *fault, bool short_name)
{
    cJSON *list;
    cJSON *schema = cJSON_CreateObject(), *required = cJSON_AddArrayToObject(schema, "required"), *name;

    cJSON_AddItemToArray(required, cJSON_CreateString("fault"));
    if (!(fault_places[fault->id] & ACTS_ON_MACHINE))
        cJSON_AddItemToArray(required, cJSON_CreateString(scope_of(fault)));
    name = cJSON_AddObjectToObject(cJSON_AddObjectToObject(schema, "properties"), "fault");
    list = cJSON_AddArrayToObject(name, "enum");
    if (short_name)
        cJSON_AddItemToArray(list, cJSON_CreateString(fault->name));
    else if (find_namesake(fault, 0))
        add_identity(list, fault);
    else
        add_names(list, fault);
    return schema;
}

static cJSON *points_schema(const struct fault_desc *fault)
{
    cJSON *schema = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(schema, "enum");

    for (size_t i = 0; i < POINT_COUNT; i++)
        if (fault_points[fault->id] & BIT(i))
            cJSON_AddItemToArray(list, cJSON_CreateString(point_descs[i].name));
    return schema;
}

/* One, a list of some, or a map of their weights. */
static cJSON *errnos_schema(void)
{
    cJSON *list = typed("array"), *map = typed("object"), *weight = typed("integer");
    cJSON *schema = choice(value_schema(UNIT_ERRNO, NULL, 0, 0), list, map);

    cJSON_AddItemToObject(list, "items", value_schema(UNIT_ERRNO, NULL, 0, 0));
    cJSON_AddNumberToObject(list, "minItems", 1);
    cJSON_AddNumberToObject(weight, "minimum", 1);
    cJSON_AddItemToObject(map, "additionalProperties", weight);
    cJSON_AddNumberToObject(map, "minProperties", 1);
    return schema;
}

static cJSON *consequence(const struct fault_desc *fault, const struct section_desc *step)
{
    cJSON *schema = cJSON_CreateObject(), *properties = cJSON_AddObjectToObject(schema, "properties"), *required = cJSON_CreateArray();

    for (size_t i = 0; i < step->key_count; i++)
        cJSON_AddTrueToObject(properties, step->keys[i].name);
    for (size_t i = 0; i < fault->param_count; i++) {
        const struct param_desc *param = &fault->params[i];
        cJSON *value = param->unit == UNIT_ERRNO ? errnos_schema() : value_schema(param->unit, param->words, param->minimum, param->maximum);

        cJSON_AddStringToObject(value, "description", param->help);
        cJSON_AddItemToObject(properties, param->name, value);
        if (param->required)
            cJSON_AddItemToArray(required, cJSON_CreateString(param->name));
    }
    for (size_t i = 0; i < SELECTOR_COUNT; i++)
        if (fault->selectors & BIT(i) && !fault_param(fault, selector_descs[i].name))
            cJSON_AddItemToObject(properties, selector_descs[i].name, selector_schema(&selector_descs[i]));
    cJSON_AddItemToObject(properties, "name", reference("scalar"));
    if (fault_places[fault->id] & ACTS_ON_OTHER)
        cJSON_AddItemToObject(properties, "to", reference("scalar"));
    if (fault_points[fault->id])
        cJSON_ReplaceItemInObjectCaseSensitive(properties, "point", points_schema(fault));
    cJSON_AddItemToObject(schema, "required", required);
    cJSON_AddFalseToObject(schema, "additionalProperties");
    return schema;
}

static void add_rule(cJSON *all, cJSON *when, cJSON *then)
{
    cJSON *rule = cJSON_CreateObject();

    cJSON_AddItemToObject(rule, "if", when);
    cJSON_AddItemToObject(rule, "then", then);
    cJSON_AddItemToArray(all, rule);
}

/* The short name of namesakes takes the keys of either. Told by the first of them. */
static void add_shared_name(cJSON *all, const struct fault_desc *fault, const struct section_desc *step)
{
    cJSON *either = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(either, "anyOf");

    cJSON_AddItemToArray(list, consequence(fault, step));
    for (const struct fault_desc *other = find_namesake(fault, 0); other; other = find_namesake(fault, (size_t)other->id + 1))
        cJSON_AddItemToArray(list, consequence(other, step));
    add_rule(all, condition(fault, true), either);
}

/* Neither proxy nor target: the fault acts on the machine. */
static cJSON *machine_alternative(void)
{
    cJSON *alternative = cJSON_CreateObject(), *properties = cJSON_AddObjectToObject(alternative, "properties");
    cJSON *names = cJSON_AddArrayToObject(cJSON_AddObjectToObject(properties, "fault"), "enum");

    for (size_t i = 0; i < FAULT_COUNT; i++)
        if (fault_places[i] & ACTS_ON_MACHINE)
            add_names(names, &fault_descs[i]);
    cJSON_AddFalseToObject(properties, "proxy");
    cJSON_AddFalseToObject(properties, "target");
    return alternative;
}

/* One of proxy and target, a fault that there is, and for each fault its own keys. */
static void add_faults(cJSON *schema, const struct section_desc *step)
{
    cJSON *all = cJSON_AddArrayToObject(schema, "allOf"), *one = cJSON_AddArrayToObject(schema, "oneOf"), *names = cJSON_CreateObject();
    cJSON *fault = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(schema, "properties"), "fault");
    cJSON *list = cJSON_AddArrayToObject(names, "enum");

    cJSON_DeleteItemFromObjectCaseSensitive(fault, "$ref");
    cJSON_AddItemToArray(cJSON_AddArrayToObject(fault, "anyOf"), names);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(fault, "anyOf"), reference("variable"));
    for (const char *const *scope = (const char *const[]){ "proxy", "target", NULL }; *scope; scope++) {
        cJSON *alternative = cJSON_CreateObject();

        cJSON_AddItemToArray(cJSON_AddArrayToObject(alternative, "required"), cJSON_CreateString(*scope));
        cJSON_AddItemToArray(one, alternative);
    }
    cJSON_AddItemToArray(one, machine_alternative());
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        const struct fault_desc *other = find_namesake(&fault_descs[i], 0);

        add_names(list, &fault_descs[i]);
        add_rule(all, condition(&fault_descs[i], false), consequence(&fault_descs[i], step));
        if (other && other->id > fault_descs[i].id)
            add_shared_name(all, &fault_descs[i], step);
    }
}

static void add_section(cJSON *definitions, const struct section_desc *section)
{
    cJSON *schema;

    if (cJSON_GetObjectItemCaseSensitive(definitions, section->name))
        return;
    schema = section_schema(definitions, section);
    if (section->open)
        add_faults(schema, section);
    cJSON_AddItemToObject(definitions, section->name, schema);
}

int print_schema(FILE *out)
{
    cJSON *root = cJSON_CreateObject(), *definitions = cJSON_CreateObject(), *scalar = cJSON_CreateObject(), *playbook, *types;
    char *text;

    types = cJSON_AddArrayToObject(scalar, "type");
    for (const char *const *type = (const char *const[]){ "string", "number", "boolean", NULL }; *type; type++)
        cJSON_AddItemToArray(types, cJSON_CreateString(*type));
    cJSON_AddItemToObject(definitions, "scalar", scalar);
    cJSON_AddItemToObject(definitions, "variable", pattern("\\$\\{[^}]+\\}"));
    playbook = section_schema(definitions, &playbook_section);
    cJSON_AddStringToObject(root, "$schema", "https://json-schema.org/draft/2020-12/schema");
    cJSON_AddStringToObject(root, "title", "perturb playbook, version 1");
    while (playbook->child) {
        cJSON *member = cJSON_DetachItemViaPointer(playbook, playbook->child);

        cJSON_AddItemToObject(root, member->string, member);
    }
    cJSON_Delete(playbook);
    cJSON_AddItemToObject(root, "$defs", definitions);
    text = cJSON_Print(root);
    cJSON_Delete(root);
    if (!text)
        return -ENOMEM;
    fprintf(out, "%s\n", text);
    free(text);
    return 0;
}
