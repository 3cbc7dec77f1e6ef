/* Routes of toxics. */
#include "controller/toxiproxy/api_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <string.h>

void handle_toxic_list(struct call *call)
{
    const struct proxy_config *proxy = call_proxy(call);

    if (proxy)
        call_answer(call, 200, toxics_print(proxy, false, clock_now_ns()));
}

void handle_toxic_show(struct call *call)
{
    const struct proxy_config *proxy = call_proxy(call);
    const struct toxic *toxic = proxy ? call_toxic(call, proxy) : NULL;

    if (toxic)
        call_answer(call, 200, toxic_print(toxic, false, clock_now_ns()));
}

/* The order of the checks is part of the contract. */
int toxic_read(const struct api *api, const struct proxy_config *proxy, const cJSON *body, struct toxic **ret_toxic, struct buf *why)
{
    struct toxic_request request = { .toxicity = 1 };
    enum direction direction = DIRECTION_TO_CLIENT;
    const struct fault_desc *fault;
    struct toxic *toxic;
    int status = 400;

    buf_puts(why, "bad request body: ");
    if (toxic_request_read(body, &request, why) < 0)
        return 400;
    buf_done(why);
    buf_init(why, 4096);
    if ((request.stream && toxic_stream_parse(request.stream, &direction, why) < 0) ||
        toxic_type_parse(request.type, &fault, why) < 0)
        return 400;
    toxic = toxic_new(&request, fault, direction);
    if (!toxic)
        return buf_puts(why, "out of memory"), 500;
    if (strlen(toxic->name) > NAME_BYTES_MAX) {
        buf_printf(why, "toxic name is longer than %d bytes", NAME_BYTES_MAX);
    } else if (model_find_toxic(proxy, toxic->name)) {
        status = 409;
        buf_puts(why, "toxic already exists");
    } else if (toxic_attributes_merge(fault, request.attributes, true, &toxic->attributes, why) >= 0 &&
               toxic_duration_set(toxic, request.duration, clock_now_ns(), why) >= 0) {
        if (!api->halted) {
            *ret_toxic = toxic;
            return 200;
        }
        status = 503;
        buf_puts(why, "halted: no toxic may be added until `perturb resume`");
    }
    toxic_free(toxic);
    return status;
}

static int add(struct api *api, struct proxy_config *proxy, struct toxic *toxic, struct buf *why)
{
    int result = model_add_toxic(proxy, toxic, proxy->toxic_count);

    if (result < 0) {
        toxic_free(toxic);
        return publish_failure(result, why);
    }
    result = engine_publish(&api->engine);
    if (result < 0) {
        model_take_toxic(proxy, toxic);
        toxic_free(toxic);
        return publish_failure(result, why);
    }
    if (proxy->enabled)
        engine_note_armed(&api->engine, proxy, toxic);
    return 200;
}

/* The toxic as it is now, or why not. */
static void answer(struct call *call, int status, const struct toxic *toxic, const char *why)
{
    if (status == 200)
        call_answer(call, 200, toxic_print(toxic, false, clock_now_ns()));
    else
        call_refuse(call, status, why);
}

void handle_toxic_create(struct call *call)
{
    struct proxy_config *proxy = call_proxy(call);
    cJSON *body = proxy ? call_body(call) : NULL;
    struct toxic *toxic;
    struct buf why;
    int status;

    if (!body)
        return;
    buf_init(&why, 4096);
    status = toxic_read(call->api, proxy, body, &toxic, &why);
    if (status == 200)
        status = add(call->api, proxy, toxic, &why);
    answer(call, status, toxic, why.data);
    buf_done(&why);
    cJSON_Delete(body);
}

/* Does the executor take the changed toxic for the same rule? If not, its duration counts from now. */
static bool rule_goes_on(const struct toxic *before, const struct toxic *after)
{
    struct plan_rule old, new;

    return toxic_rule(before, "", "", &old) && toxic_rule(after, "", "", &new) && old.fault == new.fault &&
           !memcmp(&old.selector, &new.selector, sizeof(old.selector));
}

/* Name, type and stream stay; what is absent stays. */
static int change(struct api *api, struct toxic *toxic, const struct toxic_request *request, struct buf *why)
{
    struct toxic changed = *toxic, before = *toxic;
    uint64_t now_ns = clock_now_ns();
    int result;

    changed.toxicity = request->toxicity;
    if (toxic_attributes_merge(toxic->fault, request->attributes, false, &changed.attributes, why) < 0 ||
        toxic_duration_set(&changed, request->duration, now_ns, why) < 0)
        return 400;
    if (!request->duration && changed.deadline_ns > now_ns && !rule_goes_on(&before, &changed))
        changed.until_ns = changed.deadline_ns - now_ns;
    else if (request->duration && changed.until_ns == before.until_ns && changed.until_ns)
        changed.until_ns++; /* another rule, whose time begins now */
    *toxic = changed;
    result = engine_publish(&api->engine);
    if (result >= 0)
        return 200;
    *toxic = before;
    return publish_failure(result, why);
}

void handle_toxic_update(struct call *call)
{
    struct proxy_config *proxy = call_proxy(call);
    struct toxic *toxic = proxy ? call_toxic(call, proxy) : NULL;
    cJSON *body = toxic ? call_body(call) : NULL;
    struct toxic_request request;
    struct buf why;
    int status;

    if (!body)
        return;
    request = (struct toxic_request){ .toxicity = toxic->toxicity };
    buf_init(&why, 4096);
    if (toxic_request_read(body, &request, &why) < 0) {
        call_refuse_body(call, why.data);
    } else {
        status = change(call->api, toxic, &request, &why);
        answer(call, status, toxic, why.data);
    }
    buf_done(&why);
    cJSON_Delete(body);
}

void handle_toxic_delete(struct call *call)
{
    struct proxy_config *proxy = call_proxy(call);
    struct toxic *toxic = proxy ? call_toxic(call, proxy) : NULL;
    struct buf why;
    size_t index;
    int result;

    if (!toxic)
        return;
    engine_note_released(&call->api->engine, proxy, toxic);
    index = model_take_toxic(proxy, toxic);
    result = engine_publish(&call->api->engine);
    if (result >= 0) {
        toxic_free(toxic);
        call->response->status = 204;
        return;
    }
    (void)model_add_toxic(proxy, toxic, index); /* there is room: it was just there */
    buf_init(&why, 1024);
    call_refuse(call, publish_failure(result, &why), why.data);
    buf_done(&why);
}
