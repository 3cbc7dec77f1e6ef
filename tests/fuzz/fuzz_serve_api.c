/* Requests of the service's API: what comes out of a target is UTF-8 without controls, its parts are never empty, "." or ".."; a name that
 * passes stays below its directory; a body is judged by every schema without a crash, and what a schema finds right has no unknown member. */
#include "tests/fuzz/fuzz.h"

#include "controller/serve/api/library.h"
#include "controller/serve/http/page.h"
#include "controller/serve/http/route.h"
#include "controller/serve/http/schema.h"
#include "scenarios/base/utf8.h"
#include "scenarios/playbook/node.h"

const char *const fuzz_seeds[] = {
    "/api/v1/runs?limit=5&verdict=converged\n",
    "/api/v1/playbooks/team%2Fshop.yaml\n{\"source\": \"perturb: 1\\n\"}",
    "/api/v1/runs/20261123-1/events?after=3.7\n",
    "/api/v1/findings/7\n{\"owner\": \"ada\", \"due\": \"2026-12-01\"}",
    "/api/v1/playbooks/..%2f..%2fetc%2Fpasswd/check\n{\"vars\": {\"rate\": \"5/s\", \"n\": 3, \"b\": true}}",
    "/%00%ff%4/../.\n[1, {\"a\": null}]",
    "/a//b?x=%26&&=&y+z=1\n{\"reason\": 7, \"reason\": \"x\"}",
    NULL,
};

static void check_text(const char *text)
{
    size_t length = strlen(text);

    fuzz_check(utf8_valid_length(text, length) == length);
    for (size_t i = 0; i < length; i++)
        fuzz_check((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

static void check_name(const char *name)
{
    if (!library_is_name(name))
        return;
    fuzz_check(name[0] != '/' && name[0] != '.' && !strstr(name, "/.") && !strstr(name, "//") && !strchr(name, '\\') && strlen(name) <= 255);
}

static void check_target(const char *target, size_t length)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "" };
    struct route_argument arguments[ROUTE_ARGUMENTS_MAX];
    const char *why = NULL;
    char allow[64];
    struct uri uri;

    if (uri_parse(target, length, &uri, &why) < 0) {
        fuzz_check(why);
        return;
    }
    for (size_t i = 0; i < uri.segment_count; i++) {
        fuzz_check(uri.segment[i][0] && strcmp(uri.segment[i], ".") != 0 && strcmp(uri.segment[i], "..") != 0);
        check_text(uri.segment[i]);
        check_name(uri.segment[i]);
    }
    for (size_t i = 0; i < uri.parameter_count; i++) {
        check_text(uri.parameter[i].name);
        check_text(uri.parameter[i].value);
        fuzz_check(uri_parameter(&uri, uri.parameter[i].name));
    }
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        const struct route *found = route_match(methods[i], &uri, arguments, allow, sizeof(allow));

        fuzz_check(strlen(allow) < sizeof(allow));
        fuzz_check(!found || !strcmp(found->method, methods[i]) || !strcmp(methods[i], "HEAD"));
    }
}

static void check_body(const char *body, size_t length)
{
    static cJSON *components;
    static struct errs errs;
    struct document document = { .file = NULL };
    const cJSON *schema;
    cJSON *value;
    int result;

    if (!components)
        components = cJSON_Parse(page_schemas());
    fuzz_check(components);
    errs = (struct errs){ .count = 0 };
    result = document_parse(&document, "body", body, length, true, &errs);
    fuzz_check(result == 0 || errs.count);
    document_done(&document);
    value = result == 0 ? cJSON_ParseWithLength(body, length) : NULL;
    if (!value)
        return;
    cJSON_ArrayForEach(schema, cJSON_GetObjectItemCaseSensitive(components, "schemas"))
    {
        errs = (struct errs){ .count = 0 };
        result = schema_check(components, schema->string, value, &errs);
        fuzz_check((result == 0) == !(errs.count + errs.dropped));
        if (result == 0 && cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(schema, "additionalProperties")))
            for (const cJSON *one = value->child; one; one = one->next)
                fuzz_check(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(schema, "properties"), one->string));
    }
    cJSON_Delete(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    const char *end = size ? memchr(bytes, '\n', size) : NULL;
    size_t line = end ? (size_t)(end - bytes) : size;

    check_target(bytes, line);
    check_body(bytes + line, size - line);
    return 0;
}
