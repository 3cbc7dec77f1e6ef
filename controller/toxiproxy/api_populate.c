/* Populate, from a request, the configuration file or the state file; and reset. */
#include "controller/toxiproxy/api_priv.h"

#include "controller/toxiproxy/log.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <string.h>

/* One entry, read and checked. */
struct entry {
    struct proxy_config *proxy; /* owned until it is installed */
    bool enabled, has_toxics;
};

struct batch {
    struct entry *entries;
    size_t count;
};

static void batch_done(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        proxy_config_free(batch->entries[i].proxy);
    free(batch->entries);
}

/* All entries are checked before the first is carried out. */
static int batch_read(const struct api *api, const cJSON *list, struct batch *batch, struct buf *why)
{
    size_t count = (size_t)(cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0);

    if (!cJSON_IsArray(list) && !cJSON_IsNull(list)) {
        buf_printf(why, "bad request body: cannot unmarshal %s into an array of proxies", json_kind(list));
        return 400;
    }
    batch->entries = calloc(count + 1, sizeof(*batch->entries));
    if (!batch->entries)
        return buf_puts(why, "out of memory"), 500;
    for (const cJSON *body = cJSON_IsNull(list) ? NULL : list->child; body; body = body->next) {
        struct proxy_request request = { .enabled = true };
        struct entry *entry = &batch->entries[batch->count];
        int status;

        if (proxy_request_read(body, &request, why) < 0)
            return buf_printf(why, " at proxy %zu", batch->count + 1), 400;
        status = proxy_make(api, &request, &entry->proxy, why);
        if (status != 201)
            return buf_printf(why, " at proxy %zu", batch->count + 1), status;
        entry->enabled = request.enabled;
        entry->has_toxics = request.toxics && !api->strict;
        batch->count++;
    }
    return 201;
}

/* The toxics of one for those of the other. */
static void swap_toxics(struct proxy_config *a, struct proxy_config *b)
{
    struct toxic **toxics = a->toxics;
    size_t count = a->toxic_count;

    a->toxics = b->toxics;
    a->toxic_count = b->toxic_count;
    b->toxics = toxics;
    b->toxic_count = count;
}

static int carry_out(struct api *api, struct entry *entry, struct proxy_config **ret_proxy, struct buf *why)
{
    struct proxy_config *proxy = entry->proxy, *old = model_find(&api->model, proxy->name);
    int differs = old ? proxy_differs(api, old, proxy->listen, proxy->upstream, why) : 1, result;

    if (differs < 0)
        return 500;
    if (differs) {
        *ret_proxy = proxy;
        entry->proxy = NULL;
        return proxy_install(api, old, proxy, entry->enabled, why);
    }
    *ret_proxy = old;
    if (!entry->has_toxics)
        return 201;
    swap_toxics(old, proxy);
    result = engine_publish(&api->engine);
    if (result >= 0)
        return 201;
    swap_toxics(old, proxy);
    return publish_failure(result, why);
}

/* Returns the status; `done` gets what each entry came to, up to the first that failed. */
static int populate(struct api *api, const cJSON *list, cJSON **ret_done, struct buf *why)
{
    struct batch batch = { .count = 0 };
    int status = batch_read(api, list, &batch, why);

    *ret_done = NULL;
    if (status == 201 && (batch.count || !api->strict))
        *ret_done = cJSON_CreateArray();
    for (size_t i = 0; i < batch.count && status == 201; i++) {
        struct proxy_config *proxy;

        status = carry_out(api, &batch.entries[i], &proxy, why);
        if (status == 201)
            cJSON_AddItemToArray(*ret_done, proxy_print(proxy, false, clock_now_ns()));
    }
    batch_done(&batch);
    return status;
}

void handle_populate(struct call *call)
{
    cJSON *body = NULL, *answer = cJSON_CreateObject(), *done = NULL;
    struct buf why, reason;
    int status = 400;

    buf_init(&why, 4096);
    buf_init(&reason, 1024);
    if (json_decode(call->request->body, call->request->body_size, &body, &reason) < 0)
        buf_printf(&why, "bad request body: %s", reason.data);
    else
        status = populate(call->api, body, &done, &why);
    if (status != 201) {
        cJSON_AddStringToObject(answer, "error", why.data);
        cJSON_AddNumberToObject(answer, "status", status);
    }
    cJSON_AddItemToObject(answer, "proxies", done ? done : cJSON_CreateNull());
    call_answer(call, status, answer);
    buf_done(&reason);
    buf_done(&why);
    cJSON_Delete(body);
}

int api_populate_text(struct api *api, const char *text, size_t size, struct buf *why)
{
    cJSON *body = NULL, *done = NULL;
    int status;

    if (json_decode(text, size, &body, why) < 0)
        return -EINVAL;
    status = populate(api, body, &done, why);
    cJSON_Delete(done);
    cJSON_Delete(body);
    return status == 201 ? 0 : -EINVAL;
}

void drop_toxics(struct api *api)
{
    for (size_t i = 0; i < api->model.count; i++) {
        struct proxy_config *proxy = api->model.proxies[i];

        while (proxy->toxic_count) {
            struct toxic *last = proxy->toxics[--proxy->toxic_count];

            engine_note_released(&api->engine, proxy, last);
            toxic_free(last);
        }
    }
}

bool api_look_at_lever(struct api *api)
{
    bool halted = presence_is_halted(&api->presence);

    if (halted == api->halted)
        return false;
    if (halted)
        drop_toxics(api);
    if (halted && engine_publish(&api->engine) < 0) {
        log_line(LOG_LEVEL_ERROR, "Halted, but the toxics could not be released; their lease ends them", NULL);
        engine_let_lapse(&api->engine);
        return true;
    }
    api->halted = halted;
    log_line(LOG_LEVEL_WARN, halted ? "Halted by the safety lever: every toxic is removed" : "Resumed: toxics may be added", NULL);
    presence_tell(&api->presence, &api->model, halted);
    return true;
}

void handle_reset(struct call *call)
{
    struct api *api = call->api;
    int status = 204, result;
    struct buf why;

    buf_init(&why, 4096);
    drop_toxics(api);
    result = engine_publish(&api->engine);
    if (result < 0)
        status = publish_failure(result, &why);
    for (size_t i = 0; i < api->model.count && status == 204; i++)
        if (!api->model.proxies[i]->enabled && engine_open(&api->engine, api->model.proxies[i], &why) < 0)
            status = 500;
    call->response->status = status;
    if (status != 204)
        call_refuse(call, status, why.data);
    buf_done(&why);
}
