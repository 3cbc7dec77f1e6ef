/* Tolerances: is what a probe found within what its author allows? */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "controller/ctk/ctk_priv.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is refused ------------------------------------------------------------------------------------------------------- */

static int refuse(const struct document *document, const struct node *node, struct errs *errs, const char *format, const char *text)
{
    char place[ERR_WHERE_MAX];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return errs_add(errs, ERR_INPUT, node_where(document, node, place, sizeof(place)), format, text);
#pragma GCC diagnostic pop
}

static pcre2_code *compile(const char *pattern, char *why, size_t size)
{
    PCRE2_SIZE offset;
    int error;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &error, &offset, NULL);

    if (!code)
        pcre2_get_error_message(error, (PCRE2_UCHAR *)why, size);
    return code;
}

static int check_regex(const struct document *document, const struct node *node, struct errs *errs)
{
    const struct node *pattern = node_member(node, "pattern");
    char why[128];
    pcre2_code *code;

    if (!pattern || !pattern->text)
        return refuse(document, node, errs, "a tolerance of type regex needs a pattern%s", "");
    code = compile(pattern->text, why, sizeof(why));
    if (!code)
        return refuse(document, pattern, errs, "pattern: %s", why);
    pcre2_code_free(code);
    return 0;
}

static int check_jsonpath(const struct document *document, const struct node *node, struct errs *errs)
{
    const struct node *path = node_member(node, "path");
    cJSON *nothing = cJSON_CreateNull(), *matches = NULL;
    int result;

    if (!path || !path->text) {
        cJSON_Delete(nothing);
        return refuse(document, node, errs, "a tolerance of type jsonpath needs a path%s", "");
    }
    result = ctk_jsonpath(nothing, path->text, &matches);
    cJSON_Delete(nothing);
    cJSON_Delete(matches);
    return result == 0 ? 0
                       : refuse(document, path, errs, "path: '%s' is outside the subset that is read: children, [index], [*], '..', "
                                "[?(@.name==value)]", path->text);
}

static int check_range(const struct document *document, const struct node *node, struct errs *errs)
{
    const struct node *range = node_member(node, "range");
    const struct node *low = range ? range->first : NULL, *high = low ? low->next : NULL;

    if (!high || high->next || low->kind != NODE_NUMBER || high->kind != NODE_NUMBER)
        return refuse(document, range ? range : node, errs, "a tolerance of type range needs a range of two numbers%s", "");
    return 0;
}

int ctk_check_tolerance(const struct document *document, const struct node *node, struct errs *errs)
{
    const struct node *type = node_member(node, "type");

    if (node->kind == NODE_NUMBER && strpbrk(node->text, ".eE"))
        return refuse(document, node, errs, "tolerance: %s is a fraction; the format takes whole numbers, a range takes fractions", node->text);
    if (node->kind == NODE_NULL)
        return refuse(document, node, errs, "tolerance: null tolerates nothing%s", "");
    if (node->kind == NODE_LIST && (!node->first || !node->first->next))
        return refuse(document, node, errs, "tolerance: a list needs two bounds, or more values to be one of%s", "");
    if (node->kind != NODE_MAP)
        return 0;
    if (!type || !type->text)
        return refuse(document, node, errs, "tolerance: no type; there are regex, jsonpath, range, probe%s", "");
    if (!strcmp(type->text, "regex"))
        return check_regex(document, node, errs);
    if (!strcmp(type->text, "jsonpath"))
        return check_jsonpath(document, node, errs);
    if (!strcmp(type->text, "range"))
        return check_range(document, node, errs);
    if (!strcmp(type->text, "probe"))
        return 0; /* its provider is checked with all others */
    return refuse(document, type, errs, "tolerance: '%s' is none of: regex jsonpath range probe", type->text);
}

/* ---- judging ------------------------------------------------------------------------------------------------------------------- */

/* Of an answer or a process its status: that is what plain values are compared with. */
static const cJSON *plain_of(const cJSON *output)
{
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(output, "status");

    return cJSON_IsObject(output) && status ? status : output;
}

static const cJSON *target_of(const cJSON *tolerance, const cJSON *output)
{
    const cJSON *target = cJSON_GetObjectItemCaseSensitive(tolerance, "target");

    return cJSON_IsString(target) && cJSON_IsObject(output) ? cJSON_GetObjectItemCaseSensitive(output, target->valuestring) : output;
}

static bool is_one_of(const cJSON *list, const cJSON *value)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
        if (cJSON_Compare(item, value, 1))
            return true;
    return false;
}

/* Two numbers are bounds, unless the output has a status: then any list is one of these. */
static bool tolerates_list(const cJSON *list, const cJSON *output)
{
    const cJSON *value = plain_of(output), *low = cJSON_GetArrayItem(list, 0), *high = cJSON_GetArrayItem(list, 1);

    if (value == output && cJSON_GetArraySize(list) == 2 && cJSON_IsNumber(low) && cJSON_IsNumber(high) && cJSON_IsNumber(value))
        return value->valuedouble >= low->valuedouble && value->valuedouble <= high->valuedouble;
    return is_one_of(list, value);
}

/* A search, not a match of the whole. */
static bool tolerates_regex(const cJSON *tolerance, const cJSON *output)
{
    const cJSON *value = target_of(tolerance, output);
    AUTO_FREE char *text = value ? ctk_print(value) : NULL;
    char why[128];
    pcre2_code *code = compile(ctk_text(tolerance, "pattern"), why, sizeof(why));
    pcre2_match_data *match = code ? pcre2_match_data_create_from_pattern(code, NULL) : NULL;
    bool found = match && text && pcre2_match(code, (PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0, 0, match, NULL) >= 0;

    pcre2_match_data_free(match);
    pcre2_code_free(code);
    return found;
}

static bool tolerates_jsonpath(const cJSON *tolerance, const cJSON *output)
{
    const cJSON *value = target_of(tolerance, output), *count = cJSON_GetObjectItemCaseSensitive(tolerance, "count");
    const cJSON *expect = cJSON_GetObjectItemCaseSensitive(tolerance, "expect");
    cJSON *parsed = cJSON_IsString(value) ? cJSON_Parse(value->valuestring) : NULL, *matches = NULL;
    bool holds = false;

    if (ctk_jsonpath(parsed ? parsed : value, ctk_text(tolerance, "path"), &matches) == 0) {
        holds = cJSON_GetArraySize(matches) > 0;
        if (cJSON_IsNumber(count))
            holds = cJSON_GetArraySize(matches) == (int)count->valuedouble;
        if (cJSON_IsArray(expect))
            holds = holds && cJSON_Compare(matches, expect, 1);
        else if (expect)
            holds = holds && cJSON_GetArraySize(matches) == 1 && cJSON_Compare(cJSON_GetArrayItem(matches, 0), expect, 1);
    }
    cJSON_Delete(matches);
    cJSON_Delete(parsed);
    return holds;
}

static bool tolerates_range(const cJSON *tolerance, const cJSON *output)
{
    const cJSON *range = cJSON_GetObjectItemCaseSensitive(tolerance, "range"), *value = target_of(tolerance, output);
    AUTO_FREE char *text = NULL;
    double number;
    char *end;

    value = plain_of(value);
    text = value ? ctk_print(value) : NULL;
    number = text ? strtod(text, &end) : 0;
    return text && end != text && !end[strspn(end, " \r\n")] && number >= cJSON_GetArrayItem(range, 0)->valuedouble &&
           number <= cJSON_GetArrayItem(range, 1)->valuedouble;
}

/* The probe is handed what was found, as argument `value`; it says yes by exit status 0 or by an answer of 2xx. */
static bool tolerates_by_probe(const cJSON *tolerance, const cJSON *output, const struct ctk_values *values, const atomic_bool *stopping)
{
    cJSON *provider = ctk_substitute(cJSON_GetObjectItemCaseSensitive(tolerance, "provider"), values), *arguments, *answer = NULL;
    double status = -1;
    char why[256];

    arguments = cJSON_GetObjectItemCaseSensitive(provider, "arguments");
    if (!arguments)
        arguments = cJSON_AddObjectToObject(provider, "arguments");
    if (cJSON_IsObject(arguments)) {
        char *text = ctk_print(output);

        cJSON_DeleteItemFromObjectCaseSensitive(arguments, "value");
        cJSON_AddStringToObject(arguments, "value", text ? text : "");
        free(text);
    }
    if (ctk_run_provider(provider, values->configuration, stopping, &answer, why, sizeof(why)) == 0)
        status = ctk_number(answer, "status", -1);
    cJSON_Delete(answer);
    cJSON_Delete(provider);
    return status == 0 || (status >= 200 && status <= 299);
}

bool ctk_tolerates(const cJSON *tolerance, const cJSON *output, const struct ctk_values *values, const atomic_bool *stopping)
{
    const char *type = ctk_text(tolerance, "type");

    if (!cJSON_IsObject(tolerance))
        return cJSON_IsArray(tolerance) ? tolerates_list(tolerance, output) : cJSON_Compare(tolerance, plain_of(output), 1);
    if (!strcmp(type, "regex"))
        return tolerates_regex(tolerance, output);
    if (!strcmp(type, "jsonpath"))
        return tolerates_jsonpath(tolerance, output);
    if (!strcmp(type, "range"))
        return tolerates_range(tolerance, output);
    return tolerates_by_probe(tolerance, output, values, stopping);
}
