/* See openapi.h. */
#include "controller/serve/http/openapi.h"

#include "controller/serve/http/dispatch.h"

#include <stdio.h>
#include <string.h>

static const char guide[] =
    "JSON in UTF-8. Instants are RFC 3339 in UTC, lengths are seconds (`_s`), 64-bit integers are texts. A list is a page: `items`, and `next`, "
    "the cursor of the page that follows, or null. Errors are application/problem+json. A GET has an ETag and answers 304. A POST may carry an "
    "Idempotency-Key: it is then carried out once. Send a token as `Authorization: Bearer TOKEN`; a page has a session cookie and sends "
    "`X-Perturb: 1` with every change. On a loopback without tokens nobody is asked.";

static cJSON *reference(const char *group, const char *name, size_t length)
{
    cJSON *object = cJSON_CreateObject();
    char text[128];

    snprintf(text, sizeof(text), "#/components/%s/%.*s", group, (int)length, name);
    cJSON_AddStringToObject(object, "$ref", text);
    return object;
}

static cJSON *page_schema(const char *item, size_t length)
{
    cJSON *schema = cJSON_CreateObject(), *properties, *items, *next;

    cJSON_AddStringToObject(schema, "type", "object");
    cJSON_AddItemToObject(schema, "required", cJSON_CreateStringArray((const char *const[]){ "items", "next" }, 2));
    properties = cJSON_AddObjectToObject(schema, "properties");
    items = cJSON_AddObjectToObject(properties, "items");
    cJSON_AddStringToObject(items, "type", "array");
    cJSON_AddItemToObject(items, "items", reference("schemas", item, length));
    next = cJSON_AddObjectToObject(properties, "next");
    cJSON_AddItemToObject(next, "type", cJSON_CreateStringArray((const char *const[]){ "string", "null" }, 2));
    return schema;
}

static void put_content(cJSON *response, const char *type, cJSON *schema)
{
    cJSON *content = cJSON_AddObjectToObject(response, "content"), *media = cJSON_AddObjectToObject(content, type);

    if (schema)
        cJSON_AddItemToObject(media, "schema", schema);
}

static void put_success(cJSON *responses, const struct route *route)
{
    size_t length = strlen(route->reply);
    char status[8];
    cJSON *response, *text;

    snprintf(status, sizeof(status), "%d", route->status);
    response = cJSON_AddObjectToObject(responses, status);
    cJSON_AddStringToObject(response, "description", route->status == 204 ? "Done." : route->status == 202 ? "Accepted." : route->help);
    if (length > 2 && !strcmp(route->reply + length - 2, "[]")) {
        put_content(response, "application/json", page_schema(route->reply, length - 2));
    } else if (strchr(route->reply, '/')) {
        text = cJSON_CreateObject();
        cJSON_AddStringToObject(text, "type", "string");
        put_content(response, route->reply, text);
    } else if (length) {
        put_content(response, "application/json", reference("schemas", route->reply, length));
    }
}

static void put_failure(cJSON *responses, const char *status, const char *description)
{
    cJSON *response = cJSON_AddObjectToObject(responses, status);

    cJSON_AddStringToObject(response, "description", description);
    put_content(response, "application/problem+json", reference("schemas", "Problem", 7));
}

static void put_failures(cJSON *responses)
{
    put_failure(responses, "4XX", "It is refused: the problem says why.");
    put_failure(responses, "5XX", "It could not be done: the problem says why.");
}

static void put_path_parameters(cJSON *list, const char *path)
{
    for (const char *at = strchr(path, '{'); at; at = strchr(at + 1, '{')) {
        cJSON *parameter = cJSON_CreateObject(), *schema;
        char name[32];

        snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 1, "}"), at + 1);
        cJSON_AddStringToObject(parameter, "name", name);
        cJSON_AddStringToObject(parameter, "in", "path");
        cJSON_AddTrueToObject(parameter, "required");
        cJSON_AddStringToObject(parameter, "description", !strcmp(name, "name") ? "Its name; a '/' in it is written %2F." : "Which one.");
        schema = cJSON_AddObjectToObject(parameter, "schema");
        cJSON_AddStringToObject(schema, "type", "string");
        cJSON_AddItemToArray(list, parameter);
    }
}

static void put_parameters(cJSON *operation, const struct route *route)
{
    cJSON *list = cJSON_AddArrayToObject(operation, "parameters");

    put_path_parameters(list, route->path);
    for (const char *at = route->query; *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");

        cJSON_AddItemToArray(list, reference("parameters", at, length));
        at += length;
    }
    if (!strcmp(route->method, "POST"))
        cJSON_AddItemToArray(list, reference("parameters", "Idempotency-Key", 15));
}

/* The part of the path after the version names the group. */
static void put_tag(cJSON *operation, const char *path)
{
    const char *part = strncmp(path, "/api/v1/", 8) ? path + 1 : path + 8;
    char tag[32];

    snprintf(tag, sizeof(tag), "%.*s", (int)strcspn(part, "/"), part);
    cJSON_AddItemToObject(operation, "tags", cJSON_CreateStringArray((const char *const[]){ tag }, 1));
}

static cJSON *operation_of(const struct route *route)
{
    cJSON *operation = cJSON_CreateObject(), *responses;
    char summary[160];

    put_tag(operation, route->path);
    cJSON_AddStringToObject(operation, "operationId", route->name);
    snprintf(summary, sizeof(summary), "%.*s", (int)strcspn(route->help, ".;"), route->help);
    cJSON_AddStringToObject(operation, "summary", summary);
    cJSON_AddStringToObject(operation, "description", route->help);
    put_parameters(operation, route);
    if (route->body[0]) {
        cJSON *body = cJSON_AddObjectToObject(operation, "requestBody");

        put_content(body, "application/json", reference("schemas", route->body, strlen(route->body)));
    }
    responses = cJSON_AddObjectToObject(operation, "responses");
    put_success(responses, route);
    put_failures(responses);
    if (route->role == API_PUBLIC)
        cJSON_AddArrayToObject(operation, "security");
    else
        cJSON_AddStringToObject(operation, "x-role", api_role_name(route->role));
    return operation;
}

static void put_security(cJSON *document, cJSON *components)
{
    cJSON *schemes = cJSON_AddObjectToObject(components, "securitySchemes"), *bearer = cJSON_AddObjectToObject(schemes, "token"),
          *cookie = cJSON_AddObjectToObject(schemes, "session"), *list = cJSON_AddArrayToObject(document, "security"), *one;

    cJSON_AddStringToObject(bearer, "type", "http");
    cJSON_AddStringToObject(bearer, "scheme", "bearer");
    cJSON_AddStringToObject(bearer, "description", "Made by `perturb serve token add`.");
    cJSON_AddStringToObject(cookie, "type", "apiKey");
    cJSON_AddStringToObject(cookie, "in", "cookie");
    cJSON_AddStringToObject(cookie, "name", "perturb_session");
    cJSON_AddStringToObject(cookie, "description", "Of POST /api/v1/session; changes also carry X-Perturb: 1.");
    one = cJSON_CreateObject();
    cJSON_AddArrayToObject(one, "token");
    cJSON_AddItemToArray(list, one);
    one = cJSON_CreateObject();
    cJSON_AddArrayToObject(one, "session");
    cJSON_AddItemToArray(list, one);
}

static void put_head(cJSON *document)
{
    cJSON *info, *license, *servers, *server;

    cJSON_AddStringToObject(document, "openapi", "3.1.0");
    info = cJSON_AddObjectToObject(document, "info");
    cJSON_AddStringToObject(info, "title", "perturb serve");
    cJSON_AddStringToObject(info, "version", "1");
    cJSON_AddStringToObject(info, "description", guide);
    license = cJSON_AddObjectToObject(info, "license");
    cJSON_AddStringToObject(license, "name", "Apache License 2.0");
    cJSON_AddStringToObject(license, "identifier", "Apache-2.0");
    servers = cJSON_AddArrayToObject(document, "servers");
    server = cJSON_CreateObject();
    cJSON_AddStringToObject(server, "url", "/");
    cJSON_AddItemToArray(servers, server);
}

cJSON *openapi_document(const cJSON *components)
{
    cJSON *document = cJSON_CreateObject(), *paths, *copy;

    put_head(document);
    paths = cJSON_AddObjectToObject(document, "paths");
    for (size_t i = 0; i < route_count; i++) {
        cJSON *path = cJSON_GetObjectItemCaseSensitive(paths, routes[i].path);
        char method[8] = "";

        if (!path)
            path = cJSON_AddObjectToObject(paths, routes[i].path);
        for (size_t c = 0; routes[i].method[c] && c + 1 < sizeof(method); c++) {
            method[c] = (char)(routes[i].method[c] | 0x20);
            method[c + 1] = '\0';
        }
        cJSON_AddItemToObject(path, method, operation_of(&routes[i]));
    }
    copy = cJSON_Duplicate(components, true);
    cJSON_AddItemToObject(document, "components", copy);
    put_security(document, copy);
    return document;
}

int openapi_show(struct api_call *call)
{
    return api_reply(call, 200, openapi_document(call->server->components));
}
