/* The order in which a request is judged, each step in a function of its own:
 *
 *   before the body   target well-formed (400) -> route (404, 405 with Allow) -> who and from where (401, 403, 421) -> how often (429)
 *   after it          its size (413) -> query parameters (400) -> type (415), JSON (400), schema (400) -> the handler -> 304 */
#include "controller/serve/dispatch.h"

#include "controller/serve/digest.h"
#include "controller/serve/gate.h"
#include "controller/serve/page.h"
#include "controller/serve/schema.h"
#include "scenarios/playbook/node.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool find_route(struct api_call *call)
{
    char allow[64];

    if (call->uri_problem) {
        api_fail(call, strlen(call->raw) >= URI_BYTES_MAX ? 414 : 400, "the target of the request cannot be read: %s", call->uri_problem);
        return false;
    }
    if (page_answer(call))
        return false;
    call->route = route_match(call->method, &call->uri, call->argument, allow, sizeof(allow));
    if (call->route)
        return true;
    if (!allow[0]) {
        api_fail(call, 404, "there is nothing at this path; /api/v1/openapi.json lists what there is");
        return false;
    }
    api_header(call, "Allow", allow);
    if (!strcmp(call->method, "OPTIONS"))
        api_reply(call, 204, NULL);
    else
        api_fail(call, 405, "%.20s is not among what this path knows: %s", call->method, allow);
    return false;
}

bool dispatch_admit(struct api_call *call)
{
    return gate_host(call) && find_route(call) && gate_identity(call);
}

/* ---- after the body ---- */

static bool word_listed(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; *at; at += strspn(at, " ")) {
        size_t part = strcspn(at, " ");

        if (part == length && !memcmp(at, word, length))
            return true;
        at += part;
    }
    return false;
}

/* A parameter's text as the JSON that its schema speaks of. Returns new. */
static cJSON *parameter_value(const cJSON *schema, const char *text)
{
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(schema, "type"));
    char *end;
    double number;

    if (type && !strcmp(type, "boolean") && (!*text || !strcmp(text, "1") || !strcmp(text, "true")))
        return cJSON_CreateTrue();
    if (type && !strcmp(type, "boolean") && (!strcmp(text, "0") || !strcmp(text, "false")))
        return cJSON_CreateFalse();
    if (type && !strcmp(type, "integer") && isdigit((unsigned char)*text) && strlen(text) < 16) {
        number = strtod(text, &end);
        if (!*end)
            return cJSON_CreateNumber(number);
    }
    return cJSON_CreateString(text);
}

static bool check_query(struct api_call *call)
{
    const cJSON *known = cJSON_GetObjectItemCaseSensitive(call->server->components, "parameters");

    for (size_t i = 0; i < call->uri.parameter_count; i++) {
        const struct uri_parameter *parameter = &call->uri.parameter[i];
        const cJSON *schema = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(known, parameter->name), "schema");
        cJSON *value;

        if (!schema || !word_listed(call->route->query, parameter->name)) {
            api_where(call, parameter->name, "is no parameter here%s%s", call->route->query[0] ? "; known are: " : "", call->route->query);
            continue;
        }
        value = parameter_value(schema, parameter->value);
        if (value)
            schema_check_value(call->server->components, schema, value, parameter->name, api_errs(call));
        cJSON_Delete(value);
    }
    if (!call->errs || !call->errs->count)
        return true;
    api_fail(call, 400, "query parameter '%s' %s", call->errs->list[0].where, call->errs->list[0].text);
    return false;
}

static bool type_is_json(const char *type)
{
    return type && !strncasecmp(type, "application/json", 16) && (!type[16] || type[16] == ';' || type[16] == ' ');
}

/* The located reader refuses what cJSON would let through (duplicate keys, stray bytes) and says where; cJSON then gives the values. */
static bool read_body(struct api_call *call)
{
    struct document document = { .file = NULL };
    int result;

    if (!type_is_json(call->headers.content_type)) {
        api_fail(call, 415, "send the body with Content-Type: application/json");
        return false;
    }
    result = document_parse(&document, "body", call->body.data, call->body.length, true, api_errs(call));
    document_done(&document);
    if (result == 0)
        call->json = cJSON_ParseWithLength(call->body.data, call->body.length);
    if (result < 0 || !call->json) {
        api_fail(call, 400, "the body is no JSON: %s", call->errs && call->errs->count ? call->errs->list[0].text : "it cannot be read");
        return false;
    }
    return true;
}

static bool check_body(struct api_call *call)
{
    if (call->oversized) {
        api_fail(call, 413, "the body is larger than %d bytes", CALL_BODY_MAX);
        return false;
    }
    if (!call->route->body[0]) {
        if (!call->body.length)
            return true;
        api_fail(call, 400, "this takes no body");
        return false;
    }
    if (!call->body.length && !call->headers.content_type) /* all of its members may be optional */
        call->json = cJSON_CreateObject();
    else if (!read_body(call))
        return false;
    if (schema_check(call->server->components, call->route->body, call->json, api_errs(call)) == 0)
        return true;
    api_fail(call, 400, "%s %s", call->errs->list[0].where[0] ? call->errs->list[0].where : "the body:", call->errs->list[0].text);
    return false;
}

/* A GET's answer gets a tag (its handler's, or a digest of its bytes) and is left out when the client has it. */
void dispatch_tag(struct api_call *call)
{
    struct call_answer *answer = &call->answer;
    const char *bytes = answer->constant ? answer->constant : answer->bytes;
    const char *known = call->headers.if_none_match;
    char tag[DIGEST_CHARS];

    if (call_is_unsafe(call) || answer->status != 200 || !bytes)
        return;
    if (!answer->etag[0])
        api_etag(call, digest_text(bytes, answer->length, tag, sizeof(tag)));
    if (!known || (strcmp(known, "*") != 0 && !strstr(known, answer->etag)))
        return;
    free(answer->bytes);
    answer->bytes = NULL;
    answer->constant = NULL;
    answer->length = 0;
    answer->status = 304;
    answer->type = NULL;
}

void dispatch_perform(struct api_call *call)
{
    if (check_query(call) && check_body(call)) {
        call->route->handler(call);
        if (!call->answer.status)
            api_fail(call, 500, "the service has no answer to this; please report it");
    }
    dispatch_tag(call);
}
