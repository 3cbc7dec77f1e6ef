/* Deliveries on disk, and what the kinds share in making them. */
#include "controller/outlet/delivery.h"

#include "controller/base/json.h"
#include "controller/report/doc.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void delivery_done(struct delivery *delivery)
{
    free(delivery->body);
    *delivery = (struct delivery){ .body = NULL };
}

int delivery_print(const struct delivery *delivery, struct buf *out)
{
    cJSON *object = cJSON_CreateObject();
    char *text;

    cJSON_AddStringToObject(object, "id", delivery->id);
    cJSON_AddStringToObject(object, "event", delivery->event);
    cJSON_AddStringToObject(object, "method", delivery->method);
    cJSON_AddStringToObject(object, "path", delivery->path);
    cJSON_AddStringToObject(object, "save", delivery->save);
    cJSON_AddStringToObject(object, "needs", delivery->needs);
    cJSON_AddStringToObject(object, "otherwise", delivery->otherwise);
    cJSON_AddNumberToObject(object, "created_ms", (double)delivery->created_ms);
    cJSON_AddNumberToObject(object, "not_before_ms", (double)delivery->not_before_ms);
    cJSON_AddNumberToObject(object, "attempts", delivery->attempts);
    if (delivery->body)
        cJSON_AddStringToObject(object, "body", delivery->body);
    text = json_text(object);
    cJSON_Delete(object);
    if (text)
        buf_puts(out, text);
    free(text);
    return text && !out->failed ? 0 : -ENOMEM;
}

static bool take_text(const cJSON *object, const char *key, char *text, size_t size)
{
    const char *value = doc_text(object, key);

    if (strlen(value) >= size)
        return false;
    snprintf(text, size, "%s", value);
    return true;
}

static uint64_t take_ms(const cJSON *object, const char *key)
{
    double value = doc_number(object, key);

    return value >= 0 && value < 9e15 ? (uint64_t)value : 0;
}

int delivery_parse(const char *text, struct delivery *ret_delivery)
{
    struct delivery delivery = { .body = NULL };
    cJSON *object = cJSON_Parse(text);
    bool good = take_text(object, "id", delivery.id, sizeof(delivery.id)) && take_text(object, "event", delivery.event, sizeof(delivery.event)) &&
                take_text(object, "method", delivery.method, sizeof(delivery.method)) && delivery.method[0] &&
                take_text(object, "path", delivery.path, sizeof(delivery.path)) && take_text(object, "save", delivery.save, sizeof(delivery.save)) &&
                take_text(object, "needs", delivery.needs, sizeof(delivery.needs)) &&
                take_text(object, "otherwise", delivery.otherwise, sizeof(delivery.otherwise));

    delivery.created_ms = take_ms(object, "created_ms");
    delivery.not_before_ms = take_ms(object, "not_before_ms");
    delivery.attempts = (unsigned)take_ms(object, "attempts");
    if (good && doc_get(object, "body"))
        delivery.body = strdup(doc_text(object, "body"));
    cJSON_Delete(object);
    if (!good)
        return -EINVAL;
    *ret_delivery = delivery;
    return 0;
}

/* ---- making them ---------------------------------------------------------------------------------------------------------------- */

const char *moment_name(enum outlet_moment moment)
{
    static const char *const names[MOMENTS] = { "started", "injected", "released", "guard", "mark", "aborted", "ended", "failed" };

    return moment < MOMENTS ? names[moment] : "";
}

bool telling_is_wanted(const struct telling *telling)
{
    enum outlet_moment moment = telling->moment->moment;

    if (moment >= MOMENTS)
        return false;
    return (telling->outlet->moments & (1U << moment)) ||
           (moment == MOMENT_ENDED && story_status(telling->story) && (telling->outlet->moments & (1U << MOMENT_FAILED)));
}

void telling_put_json(const struct telling *telling, const char *method, const char *path, cJSON *body, struct delivery *draft)
{
    struct delivery none = { .body = NULL }, *delivery = draft ? draft : &none;

    delivery->body = json_text(body);
    snprintf(delivery->event, sizeof(delivery->event), "%s", moment_name(telling->moment->moment));
    snprintf(delivery->method, sizeof(delivery->method), "%s", method);
    snprintf(delivery->path, sizeof(delivery->path), "%s", path);
    cJSON_Delete(body);
    telling->put(telling->context, delivery);
}

void outlet_tell(const struct telling *telling)
{
    static void (*const kinds[OUTLET_KINDS])(const struct telling *telling) = {
        [OUTLET_WEBHOOK] = webhook_tell,           [OUTLET_SLACK] = slack_tell, [OUTLET_GRAFANA] = grafana_tell,
        [OUTLET_ALERTMANAGER] = alertmanager_tell, [OUTLET_OTLP] = otlp_tell,
    };

    if (telling->moment->moment < MOMENTS)
        kinds[telling->outlet->kind](telling);
}
