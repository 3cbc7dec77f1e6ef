/* The order in which a request is judged, each step in a function of its own:
 *
 *   before the body   target well-formed (400) -> route (404, 405 with Allow) -> who and from where (401, 403, 421) -> how often (429)
 *   after it          its size (413) -> query parameters (400) -> type (415), JSON (400), schema (400) -> done before? -> audit log ->
 *                     the handler -> audit log -> 304 */
#include "controller/serve/http/dispatch.h"

#include "controller/serve/http/audit.h"
#include "controller/base/digest.h"
#include "controller/serve/http/gate.h"
#include "controller/serve/http/once.h"
#include "controller/serve/http/page.h"
#include "controller/serve/http/schema.h"
#include "scenarios/base/clock.h"
#include "scenarios/playbook/node.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SHOWN_MAX = 512 };

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

/* ---- the audit log ---- */

static int note(struct api_call *call, const char *event, uint64_t of, bool durable, uint64_t *ret_number)
{
    char path[PATH_SHOWN_MAX], body[DIGEST_CHARS];
    const struct audit_entry entry = { .event = event, .who = call->identity, .role = api_role_name(call->role), .from = call->peer,
                                       .method = call->method, .path = path, .of = of, .status = of ? call->answer.status : 0,
                                       .body = call->body.length ? body : NULL };

    snprintf(path, sizeof(path), "%s", call->raw);
    digest_text(call->body.data, call->body.length, body, sizeof(body));
    return audit_append(call->server->audit, &entry, durable, ret_number);
}

/* Nothing is changed that could not be told of. True, or the call is answered. */
static bool note_request(struct api_call *call, uint64_t *ret_number)
{
    int result = note(call, "request", 0, true, ret_number);

    if (result == 0)
        return true;
    api_fail(call, result == -ENOSPC || result == -EDQUOT ? 507 : 503, "the audit log cannot be written (%s): nothing was changed", strerror(-result));
    return false;
}

/* ---- the handler ---- */

static void run_handler(struct api_call *call)
{
    call->route->handler(call);
    if (!call->answer.status)
        api_fail(call, 500, "the service has no answer to this; please report it");
}

static void change(struct api_call *call)
{
    uint64_t number, outcome;

    if (!once_begin(call))
        return;
    if (note_request(call, &number)) {
        run_handler(call);
        (void)note(call, "outcome", number, true, &outcome);
    }
    once_end(call);
}

/* Faults are stopped first and told of afterwards: a disk that hangs, which may be one of the faults, must not hold that up. */
static void stop(struct api_call *call)
{
    uint64_t number, outcome;

    run_handler(call);
    if (note(call, "request", 0, false, &number) == 0)
        (void)note(call, "outcome", number, true, &outcome);
}

void dispatch_perform(struct api_call *call)
{
    call->performed = true;
    if (check_query(call) && check_body(call)) {
        if (call_is_halt(call))
            stop(call);
        else if (call_is_unsafe(call))
            change(call);
        else
            run_handler(call);
    }
    dispatch_tag(call);
}

void dispatch_finish(struct api_call *call)
{
    int hundreds = call->answer.status / 100;
    struct api_counts *counts = &call->server->counts[hundreds < 6 ? hundreds : 5];
    uint64_t number;

    if (!call->performed && call_is_unsafe(call) && call->answer.status != 429)
        (void)audit_append(call->server->audit,
                           &(struct audit_entry){ .event = "refused", .who = call->identity, .from = call->peer, .method = call->method,
                                                  .path = call->uri_problem ? "?" : call->raw, .status = call->answer.status },
                           false, &number);
    atomic_fetch_add(&counts->requests, 1);
    atomic_fetch_add(&counts->ns, clock_now_ns() - call->began_ns);
}
