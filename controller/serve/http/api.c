/* What handlers ask and answer with (api.h). */
#include "controller/serve/http/call.h"
#include "controller/base/json.h"
#include "controller/serve/http/dispatch.h"
#include "controller/serve/http/hub.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LIMIT_DEFAULT = 50, CURSOR_BYTES_MAX = 1024 };

struct api_call *call_new(struct api_server *server, const char *target)
{
    struct api_call *call = calloc(1, sizeof(*call));
    size_t length = strlen(target);

    if (!call)
        return NULL;
    call->server = server;
    call->began_ns = clock_now_ns();
    call->raw = strndup(target, URI_BYTES_MAX);
    buf_init(&call->body, CALL_BODY_MAX);
    if (!call->raw)
        return call_free(call), NULL;
    uri_parse(target, length, &call->uri, &call->uri_problem);
    return call;
}

void call_free(struct api_call *call)
{
    if (!call)
        return;
    free(call->raw);
    buf_done(&call->body);
    cJSON_Delete(call->json);
    free(call->errs);
    for (size_t i = 0; i < CALL_CURSOR_PARTS_MAX; i++)
        free(call->cursor[i]);
    free(call->answer.bytes);
    watcher_close(call->answer.watcher);
    free(call);
}

bool call_is_unsafe(const struct api_call *call)
{
    return strcmp(call->method, "GET") != 0 && strcmp(call->method, "HEAD") != 0 && strcmp(call->method, "OPTIONS") != 0;
}

bool call_is_halt(const struct api_call *call)
{
    return call->route && call->route->handler == halt;
}

/* ---- what was asked ---- */

struct service *api_service(struct api_call *call)
{
    return call->server->service;
}

const char *api_arg(const struct api_call *call, const char *name)
{
    for (size_t i = 0; i < ROUTE_ARGUMENTS_MAX && call->argument[i].name; i++)
        if (strlen(name) == call->argument[i].name_length && !memcmp(name, call->argument[i].name, call->argument[i].name_length))
            return call->argument[i].value;
    return "";
}

const char *api_query(const struct api_call *call, const char *name)
{
    return uri_parameter(&call->uri, name);
}

bool api_query_flag(const struct api_call *call, const char *name)
{
    const char *value = api_query(call, name);

    return value && (!*value || !strcmp(value, "1") || !strcmp(value, "true"));
}

const cJSON *api_body(const struct api_call *call)
{
    return call->json;
}

const char *api_text(const struct api_call *call, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(call->json, key));
}

double api_number(const struct api_call *call, const char *key, double absent)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(call->json, key);

    return cJSON_IsNumber(item) ? item->valuedouble : absent;
}

bool api_flag(const struct api_call *call, const char *key, bool absent)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(call->json, key);

    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : absent;
}

const char *api_identity(const struct api_call *call)
{
    return call->identity;
}

enum api_role api_role_of(const struct api_call *call)
{
    return call->role;
}

const char *api_role_name(enum api_role role)
{
    static const char *const names[] = { "public", "viewer", "operator", "admin" };

    return names[role];
}

/* Memory out leaves the call with a list of its own, which is never freed and never read: the answer is 500 anyhow. */
struct errs *api_errs(struct api_call *call)
{
    static _Thread_local struct errs spare;

    if (!call->errs)
        call->errs = calloc(1, sizeof(*call->errs));
    return call->errs ? call->errs : &spare;
}

/* ---- the answer ---- */

static void forget_answer(struct call_answer *answer)
{
    free(answer->bytes);
    answer->bytes = NULL;
    answer->constant = NULL;
    answer->length = 0;
}

static int answer_json(struct api_call *call, int status, const char *type, cJSON *taken)
{
    static const char exhausted[] = "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,\"detail\":\"out of memory\"}";
    struct call_answer *answer = &call->answer;
    char *text = json_text(taken);

    cJSON_Delete(taken);
    forget_answer(answer);
    answer->status = text ? status : 500;
    answer->type = text ? type : "application/problem+json";
    answer->bytes = text;
    answer->constant = text ? NULL : exhausted;
    answer->length = text ? strlen(text) : sizeof(exhausted) - 1;
    return 0;
}

int api_reply(struct api_call *call, int status, cJSON *body)
{
    if (status != 204)
        return answer_json(call, status, "application/json", body);
    cJSON_Delete(body);
    forget_answer(&call->answer);
    call->answer.status = 204;
    call->answer.type = NULL;
    return 0;
}

int api_reply_list(struct api_call *call, cJSON *items, const char *next)
{
    cJSON *page = cJSON_CreateObject();

    if (!items || !page || !cJSON_AddItemToObject(page, "items", items)) {
        cJSON_Delete(items);
        cJSON_Delete(page);
        return api_reply(call, 200, NULL);
    }
    if (next)
        cJSON_AddStringToObject(page, "next", next);
    else
        cJSON_AddNullToObject(page, "next");
    return api_reply(call, 200, page);
}

int api_reply_bytes(struct api_call *call, int status, const char *type, char *bytes, size_t length)
{
    if (!bytes)
        return api_reply(call, status, NULL);
    forget_answer(&call->answer);
    call->answer.status = status;
    call->answer.type = type;
    call->answer.bytes = bytes;
    call->answer.length = length;
    return 0;
}

int call_reply_constant(struct api_call *call, const char *type, const char *bytes, size_t length)
{
    forget_answer(&call->answer);
    call->answer.status = 200;
    call->answer.type = type;
    call->answer.constant = bytes;
    call->answer.length = length;
    return 0;
}

int call_reply_stream(struct api_call *call, struct watcher *watcher)
{
    forget_answer(&call->answer);
    call->answer.status = 200;
    call->answer.type = "text/event-stream";
    call->answer.watcher = watcher;
    return 0;
}

static const char *status_title(int status)
{
    static const struct {
        int status;
        const char *title;
    } known[] = {
        { 400, "Bad Request" },          { 401, "Unauthorized" },           { 403, "Forbidden" },
        { 404, "Not Found" },            { 405, "Method Not Allowed" },     { 409, "Conflict" },
        { 410, "Gone" },                 { 412, "Precondition Failed" },    { 413, "Content Too Large" },
        { 414, "URI Too Long" },         { 415, "Unsupported Media Type" }, { 421, "Misdirected Request" },
        { 422, "Unprocessable Content" }, { 428, "Precondition Required" },  { 429, "Too Many Requests" },
        { 500, "Internal Server Error" }, { 503, "Service Unavailable" },    { 507, "Insufficient Storage" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (known[i].status == status)
            return known[i].title;
    return "Error";
}

void api_where(struct api_call *call, const char *where, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    errs_add(api_errs(call), ERR_USAGE, where, "%s", text);
}

int api_fail(struct api_call *call, int status, const char *format, ...)
{
    char detail[ERR_TEXT_MAX + ERR_WHERE_MAX];
    cJSON *problem = cJSON_CreateObject(), *list;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    for (char *at = detail; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    cJSON_AddStringToObject(problem, "type", "about:blank");
    cJSON_AddStringToObject(problem, "title", status_title(status));
    cJSON_AddNumberToObject(problem, "status", status);
    cJSON_AddStringToObject(problem, "detail", detail);
    list = cJSON_AddArrayToObject(problem, "errors");
    for (size_t i = 0; call->errs && i < call->errs->count; i++) {
        cJSON *one = cJSON_CreateObject();

        cJSON_AddStringToObject(one, "where", call->errs->list[i].where);
        cJSON_AddStringToObject(one, "message", call->errs->list[i].text);
        cJSON_AddItemToArray(list, one);
    }
    return answer_json(call, status, "application/problem+json", problem);
}

static int failure_status(int result, const struct errs *errs)
{
    switch (result) {
    case -ENOENT:
        return 404;
    case -EEXIST:
    case -ENOTUNIQ:
    case -EBUSY:
        return 409;
    case -EACCES:
    case -EPERM:
        return 403;
    case -ENOSPC:
    case -EDQUOT:
        return 507;
    default:
        break;
    }
    switch (errs_status(errs)) {
    case ERR_USAGE:
        return 400;
    case ERR_INPUT:
        return 422;
    case ERR_WORLD:
        return 503;
    default:
        return 500;
    }
}

int api_fail_errs(struct api_call *call, int result)
{
    struct errs *errs = api_errs(call);
    int status = failure_status(result, errs);

    if (!errs->count)
        return api_fail(call, status, "%s", strerror(-result));
    return api_fail(call, status, "%s%s%s", errs->list[0].where, errs->list[0].where[0] ? ": " : "", errs->list[0].text);
}

/* ---- headers ---- */

void api_etag(struct api_call *call, const char *tag)
{
    snprintf(call->answer.etag, sizeof(call->answer.etag), "\"%s\"", tag);
}

bool api_if_match(struct api_call *call, const char *tag)
{
    const char *wanted = call->headers.if_match;
    size_t length = strlen(tag);

    if (!wanted) {
        api_fail(call, 428, "send If-Match with the ETag that you read, so that nobody's change is lost");
        return false;
    }
    if (!strcmp(wanted, "*"))
        return true;
    for (const char *at = strchr(wanted, '"'); at; at = strchr(at + 1, '"'))
        if (!strncmp(at + 1, tag, length) && (at[1 + length] == '"' || at[1 + length] == '-'))
            return true;
    api_fail(call, 412, "it was changed since you read it; read it again");
    return false;
}

void api_header(struct api_call *call, const char *name, const char *value)
{
    struct call_header *header = &call->answer.header[call->answer.header_count];

    if (call->answer.header_count == CALL_HEADERS_MAX)
        return;
    call->answer.header_count++;
    snprintf(header->name, sizeof(header->name), "%s", name);
    snprintf(header->value, sizeof(header->value), "%s", value);
}

/* ---- pages of lists ---- */

size_t api_limit(const struct api_call *call)
{
    const char *text = api_query(call, "limit");

    return text ? (size_t)strtoul(text, NULL, 10) : LIMIT_DEFAULT;
}

/* A cursor is the parts as a list of texts, in hexadecimal: nobody is to build one by hand, and it needs no escaping in a URL. */
static int decode_cursor(struct api_call *call, const char *text, size_t count)
{
    char json[CURSOR_BYTES_MAX + 1];
    size_t length = strlen(text);
    cJSON *list;
    int result = -EINVAL;

    if (length % 2 || length > 2 * CURSOR_BYTES_MAX || strspn(text, "0123456789abcdef") != length)
        return -EINVAL;
    for (size_t i = 0; i < length / 2; i++) {
        char digits[3] = { text[2 * i], text[2 * i + 1], '\0' };

        json[i] = (char)strtoul(digits, NULL, 16);
    }
    json[length / 2] = '\0';
    list = cJSON_Parse(json);
    if (cJSON_IsArray(list) && (size_t)cJSON_GetArraySize(list) == count) {
        result = 0;
        for (size_t i = 0; i < count && result == 0; i++) {
            const char *part = cJSON_GetStringValue(cJSON_GetArrayItem(list, (int)i));

            call->cursor[i] = part ? strdup(part) : NULL;
            result = call->cursor[i] ? 0 : -EINVAL;
        }
    }
    cJSON_Delete(list);
    return result;
}

int api_cursor(struct api_call *call, const char **parts, size_t count)
{
    const char *text = api_query(call, "cursor");

    if (!text)
        return 0;
    if (count > CALL_CURSOR_PARTS_MAX || decode_cursor(call, text, count) < 0) {
        api_fail(call, 400, "the cursor is none that this list has given");
        return -EINVAL;
    }
    for (size_t i = 0; i < count; i++)
        parts[i] = call->cursor[i];
    return (int)count;
}

char *api_cursor_make(const char *const *parts, size_t count)
{
    cJSON *list = cJSON_CreateStringArray(parts, (int)count);
    AUTO_FREE char *json = json_text(list);
    size_t length = json ? strlen(json) : 0;
    char *text = json && length <= CURSOR_BYTES_MAX ? malloc(2 * length + 1) : NULL;

    cJSON_Delete(list);
    for (size_t i = 0; text && i < length; i++)
        snprintf(text + 2 * i, 3, "%02x", (unsigned char)json[i]);
    return text;
}
