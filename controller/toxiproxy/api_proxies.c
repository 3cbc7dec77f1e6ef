/* Routes of proxies. */
#include "controller/toxiproxy/api_priv.h"

#include "controller/toxiproxy/log.h"
#include "controller/toxiproxy/lookup.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <string.h>

/* ---- printing --------------------------------------------------------------------------------------------------------- */

/* All of the client's direction first, each in order of creation. */
cJSON *toxics_print(const struct proxy_config *proxy, bool for_file, uint64_t now_ns)
{
    cJSON *list = cJSON_CreateArray();

    for (int direction = DIRECTION_TO_UPSTREAM; direction <= DIRECTION_TO_CLIENT; direction++)
        for (size_t i = 0; i < proxy->toxic_count; i++)
            if (proxy->toxics[i]->direction == (enum direction)direction)
                cJSON_AddItemToArray(list, toxic_print(proxy->toxics[i], for_file, now_ns));
    return list;
}

cJSON *proxy_print(const struct proxy_config *proxy, bool for_file, uint64_t now_ns)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "name", proxy->name);
    cJSON_AddStringToObject(object, "listen", proxy->listen);
    cJSON_AddStringToObject(object, "upstream", proxy->upstream);
    cJSON_AddBoolToObject(object, "enabled", proxy->enabled);
    cJSON_AddItemToObject(object, "toxics", toxics_print(proxy, for_file, now_ns));
    return object;
}

static int by_name(const void *a, const void *b)
{
    const struct proxy_config *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

void handle_proxy_list(struct call *call)
{
    const struct model *model = &call->api->model;
    AUTO_FREE struct proxy_config **sorted = calloc(model->count + 1, sizeof(struct proxy_config *));
    cJSON *object = sorted ? cJSON_CreateObject() : NULL;

    if (object) {
        memcpy(sorted, model->proxies ? model->proxies : sorted, model->count * sizeof(struct proxy_config *));
        qsort(sorted, model->count, sizeof(struct proxy_config *), by_name);
    }
    for (size_t i = 0; object && i < model->count; i++)
        cJSON_AddItemToObject(object, sorted[i]->name, proxy_print(sorted[i], false, clock_now_ns()));
    call_answer(call, 200, object);
}

void handle_proxy_show(struct call *call)
{
    const struct proxy_config *proxy = call_proxy(call);

    if (proxy)
        call_answer(call, 200, proxy_print(proxy, false, clock_now_ns()));
}

/* ---- making ----------------------------------------------------------------------------------------------------------- */

int proxy_request_read(const cJSON *body, struct proxy_request *request, struct buf *why)
{
    const struct json_field fields[] = {
        { "name", JSON_TEXT, &request->name },         { "listen", JSON_TEXT, &request->listen },
        { "upstream", JSON_TEXT, &request->upstream }, { "enabled", JSON_BOOL, &request->enabled },
        { "toxics", JSON_ANY, &request->toxics },
    };

    return json_fields(body, fields, ARRAY_SIZE(fields), why);
}

static int add_toxics(const struct api *api, struct proxy_config *proxy, const cJSON *list, struct buf *why)
{
    if (!cJSON_IsArray(list)) {
        buf_printf(why, "bad request body: cannot unmarshal %s into field toxics of type array", json_kind(list));
        return 400;
    }
    for (const cJSON *body = list->child; body; body = body->next) {
        struct toxic *toxic;
        int status = toxic_read(api, proxy, body, &toxic, why);

        if (status == 503 && api->starting) {
            log_line(LOG_LEVEL_WARN, "Halted: the toxics of the file are left out", "proxy", proxy->name, NULL);
            return 200;
        }
        if (status != 200)
            return status;
        if (model_add_toxic(proxy, toxic, proxy->toxic_count) < 0) {
            toxic_free(toxic);
            buf_puts(why, "out of memory");
            return 500;
        }
    }
    return 200;
}

int proxy_make(const struct api *api, const struct proxy_request *request, struct proxy_config **ret_proxy, struct buf *why)
{
    struct proxy_config *proxy;
    int status = 200;

    if (!request->name || !request->name[0])
        return buf_puts(why, "missing required field: name"), 400;
    if (!request->upstream || !request->upstream[0])
        return buf_puts(why, "missing required field: upstream"), 400;
    if (strlen(request->name) > NAME_BYTES_MAX)
        return buf_printf(why, "proxy name is longer than %d bytes", NAME_BYTES_MAX), 400;
    proxy = proxy_config_new(request->name, request->listen ? request->listen : "", request->upstream);
    if (!proxy)
        return buf_puts(why, "out of memory"), 500;
    if (request->toxics && !api->strict)
        status = add_toxics(api, proxy, request->toxics, why);
    if (status != 200) {
        proxy_config_free(proxy);
        return status;
    }
    *ret_proxy = proxy;
    return 201;
}

static int undo_install(struct api *api, struct proxy_config *old, struct proxy_config *proxy, bool old_enabled)
{
    struct buf ignored;

    engine_close(&api->engine, proxy);
    if (!old) {
        model_take(&api->model, proxy);
    } else {
        model_replace(&api->model, proxy, old);
        buf_init(&ignored, 1024);
        if (old_enabled && engine_open(&api->engine, old, &ignored) < 0)
            log_line(LOG_LEVEL_ERROR, "The proxy could not be opened again", "proxy", old->name, "error", ignored.data, NULL);
        buf_done(&ignored);
    }
    proxy_config_free(proxy);
    if (engine_publish(&api->engine) < 0)
        log_line(LOG_LEVEL_ERROR, "The plan could not be published", NULL);
    return 500;
}

int proxy_install(struct api *api, struct proxy_config *old, struct proxy_config *proxy, bool enabled, struct buf *why)
{
    bool old_enabled = old && old->enabled;
    int result;

    if (old) {
        engine_close(&api->engine, old);
        model_replace(&api->model, old, proxy);
    } else if (model_add(&api->model, proxy) < 0) {
        proxy_config_free(proxy);
        buf_puts(why, "out of memory");
        return 500;
    }
    if (enabled && engine_open(&api->engine, proxy, why) < 0)
        return undo_install(api, old, proxy, old_enabled);
    result = engine_publish(&api->engine);
    if (result < 0) {
        int status = publish_failure(result, why);

        undo_install(api, old, proxy, old_enabled);
        return status;
    }
    proxy_config_free(old);
    return 201;
}

void handle_proxy_create(struct call *call)
{
    struct proxy_request request = { .enabled = true };
    struct proxy_config *proxy = NULL;
    cJSON *body = call_body(call);
    struct buf why;
    int status;

    if (!body)
        return;
    buf_init(&why, 4096);
    if (proxy_request_read(body, &request, &why) < 0) {
        call_refuse_body(call, why.data);
    } else {
        status = proxy_make(call->api, &request, &proxy, &why);
        if (status == 201 && model_find(&call->api->model, proxy->name)) {
            proxy_config_free(proxy);
            status = 409;
            buf_puts(&why, "proxy already exists");
        } else if (status == 201) {
            status = proxy_install(call->api, NULL, proxy, request.enabled, &why);
        }
        if (status == 201)
            call_answer(call, 201, proxy_print(proxy, false, clock_now_ns()));
        else
            call_refuse(call, status, why.data);
    }
    buf_done(&why);
    cJSON_Delete(body);
}

/* ---- changing --------------------------------------------------------------------------------------------------------- */

int proxy_differs(const struct api *api, const struct proxy_config *proxy, const char *listen, const char *upstream,
                  struct buf *why)
{
    char asked[ADDRESS_TEXT_MAX], current[ADDRESS_TEXT_MAX];

    if (strcmp(upstream, proxy->upstream) != 0)
        return 1;
    if (!strcmp(listen, proxy->listen) && !api->strict)
        return 0;
    if (address_to_listen(listen, api->strict, asked, why) < 0 || address_to_listen(proxy->listen, api->strict, current, why) < 0)
        return -EINVAL;
    return strcmp(asked, current) != 0;
}

/* Other addresses: closed, changed, opened again; as it was, if that fails. */
static int move_proxy(struct api *api, struct proxy_config *proxy, const struct proxy_request *request, struct buf *why)
{
    AUTO_FREE char *old_listen = strdup(proxy->listen), *old_upstream = strdup(proxy->upstream);
    bool was_enabled = proxy->enabled;
    struct buf again;

    if (!old_listen || !old_upstream)
        return buf_puts(why, "out of memory"), 500;
    engine_close(&api->engine, proxy);
    if (model_set_text(&proxy->listen, request->listen) < 0 || model_set_text(&proxy->upstream, request->upstream) < 0)
        return buf_puts(why, "out of memory"), 500;
    if (!request->enabled || engine_open(&api->engine, proxy, why) >= 0)
        return 200;
    if (api->strict)
        return 500;
    (void)model_set_text(&proxy->listen, old_listen);
    (void)model_set_text(&proxy->upstream, old_upstream);
    buf_init(&again, 1024);
    if (was_enabled && engine_open(&api->engine, proxy, &again) < 0)
        log_line(LOG_LEVEL_ERROR, "The proxy could not be opened again", "proxy", proxy->name, "error", again.data, NULL);
    buf_done(&again);
    return 500;
}

static int update(struct api *api, struct proxy_config *proxy, const struct proxy_request *request, struct buf *why)
{
    int differs = proxy_differs(api, proxy, request->listen, request->upstream, why);
    int status = 200, result;

    if (differs < 0)
        return 500;
    if (differs)
        status = move_proxy(api, proxy, request, why);
    else if (!request->enabled)
        engine_close(&api->engine, proxy);
    else if (!proxy->enabled && engine_open(&api->engine, proxy, why) < 0)
        status = 500;
    result = engine_publish(&api->engine);
    return status == 200 && result < 0 ? publish_failure(result, why) : status;
}

void handle_proxy_update(struct call *call)
{
    struct proxy_config *proxy = call_proxy(call);
    cJSON *body = proxy ? call_body(call) : NULL;
    struct proxy_request request;
    struct buf why;
    int status;

    if (!body)
        return;
    request = (struct proxy_request){ .listen = proxy->listen, .upstream = proxy->upstream, .enabled = proxy->enabled };
    buf_init(&why, 4096);
    if (proxy_request_read(body, &request, &why) < 0) {
        call_refuse_body(call, why.data);
    } else {
        status = update(call->api, proxy, &request, &why);
        if (status == 200)
            call_answer(call, 200, proxy_print(proxy, false, clock_now_ns()));
        else
            call_refuse(call, status, why.data);
    }
    buf_done(&why);
    cJSON_Delete(body);
}

void handle_proxy_delete(struct call *call)
{
    struct proxy_config *proxy = call_proxy(call);

    if (!proxy)
        return;
    engine_close(&call->api->engine, proxy);
    model_take(&call->api->model, proxy);
    proxy_config_free(proxy);
    if (engine_publish(&call->api->engine) < 0)
        log_line(LOG_LEVEL_ERROR, "The plan could not be published", NULL);
    call->response->status = 204;
}
