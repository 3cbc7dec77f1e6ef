/* Toxics: read, shown, and turned into rules. */
#include "controller/toxiproxy/toxic.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"
#include "scenarios/playbook/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/param.h>

/* How the reference counts. */
static const struct {
    const char *type, *param;
    int64_t value;
} strict_params[] = {
    { "timeout", "since", 1 },
    { "limit_data", "since", 1 },
    { "reset_peer", "since", 1 },
};

/* What a zero means where the fault itself knows none, and which values kill the server that this one stands in for. */
struct quirk {
    const char *type, *attribute;
    bool refuses_zero; /* when it is written out; absent is allowed */
    bool zero_stalls; /* a zero lets nothing pass; else it changes nothing */
};

static const struct quirk quirks[] = {
    { "bandwidth", "rate", false, true },
    { "slicer", "average_size", true, false },
};

static const char noop_type[] = "noop";

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

int toxic_request_read(const cJSON *body, struct toxic_request *request, struct buf *why)
{
    const struct json_field fields[] = {
        { "name", JSON_TEXT, &request->name },
        { "type", JSON_TEXT, &request->type },
        { "stream", JSON_TEXT, &request->stream },
        { "toxicity", JSON_FLOAT, &request->toxicity },
        { "attributes", JSON_OBJECT, &request->attributes },
        { "duration", JSON_ANY, &request->duration },
    };

    return json_fields(body, fields, ARRAY_SIZE(fields), why);
}

int toxic_stream_parse(const char *text, enum direction *ret_direction, struct buf *why)
{
    if (!strcasecmp(text, "upstream"))
        *ret_direction = DIRECTION_TO_UPSTREAM;
    else if (!strcasecmp(text, "downstream"))
        *ret_direction = DIRECTION_TO_CLIENT;
    else
        return buf_puts(why, "stream was invalid, can be either upstream or downstream"), -EINVAL;
    return 0;
}

int toxic_type_parse(const char *type, const struct fault_desc **ret_fault, struct buf *why)
{
    const struct fault_desc *fault = type ? fault_find(type, BIT(LAYER_STREAM), NULL) : NULL;

    if (fault ? strcmp(fault->name, type) != 0 : !type || strcmp(type, noop_type) != 0) {
        buf_puts(why, "invalid toxic type");
        return -EINVAL;
    }
    *ret_fault = fault;
    return 0;
}

static int refuse_body(struct buf *why, const char *reason)
{
    buf_printf(why, "bad request body: %s", reason);
    return -EINVAL;
}

static const struct alias_desc *find_alias(const struct fault_desc *fault, const char *name)
{
    for (size_t i = 0; i < fault->alias_count; i++)
        if (!strcasecmp(fault->aliases[i].name, name))
            return &fault->aliases[i];
    return NULL;
}

static const struct param_desc *find_param(const struct fault_desc *fault, const char *name)
{
    for (size_t i = 0; i < fault->param_count; i++)
        if (!strcasecmp(fault->params[i].name, name))
            return &fault->params[i];
    return NULL;
}

static const struct quirk *find_quirk(const struct fault_desc *fault, const char *attribute)
{
    for (size_t i = 0; i < ARRAY_SIZE(quirks); i++)
        if (!strcmp(quirks[i].type, fault->name) && (!attribute || !strcmp(quirks[i].attribute, attribute)))
            return &quirks[i];
    return NULL;
}

static int set_typed(const struct fault_desc *fault, const struct alias_desc *alias, const cJSON *value,
                     struct attributes *attributes, struct buf *why)
{
    const struct quirk *quirk = find_quirk(fault, alias->name);
    int64_t number;

    if (json_integer(value, &number) < 0) {
        buf_printf(why, "bad request body: cannot unmarshal %s%s%.40s into attribute %s of type int64", json_kind(value),
                   cJSON_IsNumber(value) ? " " : "", cJSON_IsNumber(value) ? value->valuestring : "", alias->name);
        return -EINVAL;
    }
    if (quirk && (number < 0 || (number == 0 && quirk->refuses_zero))) {
        buf_printf(why, "bad request body: %s of %s must %s", alias->name, fault->name,
                   quirk->refuses_zero ? "be above zero" : "not be negative");
        return -EINVAL;
    }
    attributes->typed[alias->slot] = number;
    attributes->native_given &= ~BIT(alias->slot);
    return 0;
}

/* The parameter under its own name: text with a unit, or a number or boolean where the unit allows it. */
static int set_native(const struct fault_desc *fault, const struct param_desc *param, const cJSON *value,
                      struct attributes *attributes, struct buf *why)
{
    AUTO_FREE struct errs *errs = calloc(1, sizeof(*errs));
    struct fault_spec spec = { .given_params = 0 };
    const char *text = value->valuestring;

    if (!errs)
        return refuse_body(why, "out of memory");
    if (cJSON_IsBool(value))
        text = cJSON_IsTrue(value) ? "true" : "false";
    if (!text) {
        buf_printf(why, "bad request body: cannot unmarshal %s into attribute %s", json_kind(value), param->name);
        return -EINVAL;
    }
    plan_rule_init(&spec.rule, fault, NULL);
    if (fault_set(&spec, param->name, OP_EQ, text, NULL, errs) < 0)
        return refuse_body(why, errs->count ? errs->list[0].text : "not a value of its unit");
    attributes->native[param->slot] = spec.rule.params.slot[param->slot];
    attributes->native_given |= BIT(param->slot);
    for (size_t i = 0; i < fault->alias_count; i++)
        if (fault->aliases[i].slot == param->slot)
            attributes->typed[param->slot] = attributes->native[param->slot] / fault->aliases[i].factor;
    return 0;
}

static bool has_alias(const struct fault_desc *fault, size_t slot)
{
    for (size_t i = 0; i < fault->alias_count; i++)
        if (fault->aliases[i].slot == slot)
            return true;
    return false;
}

static int check_required(const struct fault_desc *fault, const struct attributes *attributes, struct buf *why)
{
    for (size_t i = 0; i < fault->param_count; i++) {
        const struct param_desc *param = &fault->params[i];

        if (!param->required || attributes->native_given & BIT(param->slot) || has_alias(fault, param->slot))
            continue;
        buf_printf(why, "bad request body: %s needs the attribute %s", fault->name, param->name);
        return -EINVAL;
    }
    return 0;
}

int toxic_attributes_merge(const struct fault_desc *fault, const cJSON *given, bool is_new, struct attributes *attributes,
                           struct buf *why)
{
    struct attributes merged = *attributes;

    if (!fault)
        return 0;
    for (const cJSON *child = given ? given->child : NULL; child; child = child->next) {
        const struct alias_desc *alias = find_alias(fault, child->string);
        const struct param_desc *param = find_param(fault, child->string);
        int result = 0;

        if (cJSON_IsNull(child))
            continue;
        if (alias && (!param || !cJSON_IsString(child)))
            result = set_typed(fault, alias, child, &merged, why);
        else if (param)
            result = set_native(fault, param, child, &merged, why);
        if (result < 0)
            return result;
    }
    if (is_new && check_required(fault, &merged, why) < 0)
        return -EINVAL;
    *attributes = merged;
    return 0;
}

int toxic_duration_set(struct toxic *toxic, const cJSON *given, uint64_t now_ns, struct buf *why)
{
    int64_t value;

    if (!given)
        return 0;
    if (cJSON_IsNumber(given)) {
        if (json_integer(given, &value) < 0 || value < 0 || value > INT64_MAX / (int64_t)NS_PER_MS)
            return refuse_body(why, "duration is a whole number of milliseconds, or a text such as \"30s\"");
        value *= (int64_t)NS_PER_MS;
    } else if (!cJSON_IsString(given) || unit_parse(UNIT_DURATION, given->valuestring, &value) < 0 || value < 0) {
        return refuse_body(why, "duration is a whole number of milliseconds, or a text such as \"30s\"");
    }
    toxic->duration_ns = (uint64_t)value;
    toxic->deadline_ns = value ? now_ns + (uint64_t)value : 0;
    toxic->until_ns = (uint64_t)value;
    return 0;
}

struct toxic *toxic_new(const struct toxic_request *request, const struct fault_desc *fault, enum direction direction)
{
    const char *stream = request->stream ? request->stream : "downstream";
    struct toxic *toxic = calloc(1, sizeof(*toxic));
    char name[64];

    if (!toxic)
        return NULL;
    snprintf(name, sizeof(name), "%s_%s", request->type, stream);
    toxic->name = strdup(request->name && request->name[0] ? request->name : name);
    if (!toxic->name) {
        free(toxic);
        return NULL;
    }
    snprintf(toxic->stream, sizeof(toxic->stream), "%s", stream);
    toxic->fault = fault;
    toxic->direction = direction;
    toxic->toxicity = request->toxicity;
    return toxic;
}

void toxic_free(struct toxic *toxic)
{
    if (toxic)
        free(toxic->name);
    free(toxic);
}

/* ---- showing ---------------------------------------------------------------------------------------------------------- */

const char *toxic_type(const struct toxic *toxic)
{
    return toxic->fault ? toxic->fault->name : noop_type;
}

static void print_native(cJSON *object, const struct param_desc *param, int64_t value)
{
    char text[64];

    if (param->unit == UNIT_BOOL)
        cJSON_AddBoolToObject(object, param->name, value != 0);
    else if (param->unit == UNIT_ENUM)
        cJSON_AddStringToObject(object, param->name, words_at(param->words, value, text, sizeof(text)));
    else
        cJSON_AddStringToObject(object, param->name, unit_print(param->unit, value, text, sizeof(text)));
}

/* Was it given under its own name, with a value that no integer of its alias can tell? */
static bool is_inexact(const struct attributes *attributes, const struct alias_desc *alias)
{
    int128 told = (int128)attributes->typed[alias->slot] * alias->factor;

    return attributes->native_given & BIT(alias->slot) && told != attributes->native[alias->slot];
}

static cJSON *print_attributes(const struct toxic *toxic, bool for_file)
{
    const struct attributes *attributes = &toxic->attributes;
    const struct fault_desc *fault = toxic->fault;
    cJSON *object = cJSON_CreateObject();
    uint64_t told = 0;

    for (size_t i = 0; fault && i < fault->alias_count; i++) {
        const struct alias_desc *alias = &fault->aliases[i];

        if (is_inexact(attributes, alias))
            continue;
        told |= BIT(alias->slot);
        if (!for_file || attributes->typed[alias->slot])
            json_add_integer(object, alias->name, attributes->typed[alias->slot]);
    }
    for (size_t i = 0; fault && i < fault->param_count; i++)
        if (attributes->native_given & ~told & BIT(fault->params[i].slot))
            print_native(object, &fault->params[i], attributes->native[fault->params[i].slot]);
    return object;
}

cJSON *toxic_print(const struct toxic *toxic, bool for_file, uint64_t now_ns)
{
    cJSON *object = cJSON_CreateObject();
    uint64_t left_ns = toxic->deadline_ns > now_ns ? toxic->deadline_ns - now_ns : 1;

    cJSON_AddItemToObject(object, "attributes", print_attributes(toxic, for_file));
    cJSON_AddStringToObject(object, "name", toxic->name);
    cJSON_AddStringToObject(object, "type", toxic_type(toxic));
    cJSON_AddStringToObject(object, "stream", toxic->stream);
    json_add_float(object, "toxicity", toxic->toxicity);
    if (toxic->duration_ns)
        json_add_integer(object, "duration", (int64_t)howmany(for_file ? left_ns : toxic->duration_ns, NS_PER_MS));
    return object;
}

/* ---- carrying out ----------------------------------------------------------------------------------------------------- */

static int64_t clamp(const struct param_desc *param, int128 value)
{
    return (int64_t)MAX((int128)param->minimum, MIN((int128)param_maximum(param), value));
}

static void set_params(const struct toxic *toxic, struct plan_rule *rule)
{
    const struct attributes *attributes = &toxic->attributes;
    const struct fault_desc *fault = toxic->fault;

    for (size_t i = 0; i < fault->param_count; i++) {
        const struct param_desc *param = &fault->params[i];
        int64_t *slot = &rule->params.slot[param->slot];

        if (attributes->native_given & BIT(param->slot))
            *slot = attributes->native[param->slot];
        for (size_t a = 0; a < fault->alias_count && !(attributes->native_given & BIT(param->slot)); a++)
            if (fault->aliases[a].slot == param->slot)
                *slot = clamp(param, (int128)attributes->typed[param->slot] * fault->aliases[a].factor);
    }
}

static const struct alias_desc *zero_of(const struct toxic *toxic, const struct quirk *quirk)
{
    const struct alias_desc *alias = quirk ? find_alias(toxic->fault, quirk->attribute) : NULL;

    if (!alias || toxic->attributes.typed[alias->slot] || toxic->attributes.native_given & BIT(alias->slot))
        return NULL;
    return alias;
}

/* A name the draws follow from: the same for the same proxy and toxic, whatever else there is. */
static void rule_name(char name[RULE_NAME_MAX], const char *proxy, const char *toxic)
{
    bool is_plain = !strchr(proxy, '/') && !strchr(toxic, '/') && *proxy != '~';

    if (!is_plain || snprintf(name, RULE_NAME_MAX, "%s/%s", proxy, toxic) >= RULE_NAME_MAX)
        snprintf(name, RULE_NAME_MAX, "~%016" PRIx64, rng_mix(rng_hash(proxy), rng_hash(toxic)));
}

bool toxic_rule(const struct toxic *toxic, const char *proxy, const char *scope, struct plan_rule *ret_rule)
{
    const struct quirk *quirk = toxic->fault ? find_quirk(toxic->fault, NULL) : NULL;
    const struct fault_desc *fault = toxic->fault;
    char name[RULE_NAME_MAX];
    bool stalls = false;

    if (!fault)
        return false;
    if (zero_of(toxic, quirk)) {
        if (!quirk->zero_stalls)
            return false;
        stalls = true;
        fault = &fault_descs[FAULT_STREAM_blackhole];
    }
    rule_name(name, proxy, toxic->name);
    plan_rule_init(ret_rule, fault, name);
    snprintf(ret_rule->scope, sizeof(ret_rule->scope), "%s", scope);
    if (!stalls)
        set_params(toxic, ret_rule);
    ret_rule->selector.direction = toxic->direction;
    ret_rule->selector.probability_ppm = (uint32_t)lround(fmax(0, fmin(1, (double)toxic->toxicity)) * PPM);
    ret_rule->selector.until_ns = toxic->until_ns;
    return true;
}

void toxic_rule_strict(const struct toxic *toxic, struct plan_rule *rule)
{
    for (size_t i = 0; i < ARRAY_SIZE(strict_params); i++) {
        const struct param_desc *param;

        if (strcmp(strict_params[i].type, toxic->fault->name) != 0)
            continue;
        param = find_param(toxic->fault, strict_params[i].param);
        if (!(toxic->attributes.native_given & BIT(param->slot)))
            rule->params.slot[param->slot] = strict_params[i].value;
    }
}
