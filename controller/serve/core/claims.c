/* Claims of playbooks. */
#include "controller/serve/core/claims.h"

#include "scenarios/base/buf.h"
#include "scenarios/vocab/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add(struct claims *claims, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int add(struct claims *claims, const char *format, ...)
{
    char **grown = realloc(claims->items, (claims->count + 1) * sizeof(*grown));
    va_list args;
    int length;

    if (!grown)
        return -ENOMEM;
    claims->items = grown;
    va_start(args, format);
    length = vasprintf(&claims->items[claims->count], format, args);
    va_end(args);
    if (length < 0)
        return -ENOMEM;
    claims->count++;
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_target(struct claims *claims, const char *service, const struct target *target)
{
    int result = add(claims, "%s%starget:%s", service, service[0] ? "/" : "", target->name);

    if (!result && target->pid != ABSENT)
        result = add(claims, "pid:%lld", (long long)target->pid);
    if (!result && target->unit)
        result = add(claims, "unit:%s", target->unit);
    if (!result && target->cgroup)
        result = add(claims, "cgroup:%s", target->cgroup);
    if (!result && target->address)
        result = add(claims, "address:%s", target->address);
    return result;
}

/* An address of a port that was chosen for this reading would never be met again: it claims nothing. */
static bool is_lasting(const struct playbook *playbook, const char *address)
{
    const char *colon = address ? strrchr(address, ':') : NULL;
    unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;

    for (size_t i = 0; i < playbook->variables.port_count; i++)
        if (playbook->variables.ports[i].port == port)
            return false;
    return port != 0;
}

static int add_proxy(struct claims *claims, const struct playbook *playbook, const char *service, const struct proxy *proxy)
{
    int result = add(claims, "%s%sproxy:%s", service, service[0] ? "/" : "", proxy->name);

    if (!result && is_lasting(playbook, proxy->listen))
        result = add(claims, "address:%s", proxy->listen);
    if (!result && is_lasting(playbook, proxy->upstream))
        result = add(claims, "address:%s", proxy->upstream);
    for (size_t i = 0; !result && proxy->captures && i < proxy->capture.port_count; i++)
        result = add(claims, "capture:%u", (unsigned)proxy->capture.ports[i]);
    if (!result && proxy->captures && proxy->capture.unit)
        result = add(claims, "unit:%s", proxy->capture.unit);
    if (!result && proxy->captures && proxy->capture.cgroup)
        result = add(claims, "cgroup:%s", proxy->capture.cgroup);
    return result;
}

static bool acts_at(const struct step *step, int64_t at_ns)
{
    return step->at <= at_ns && (step->duration == ABSENT || at_ns < step->at + step->duration);
}

/* The most is reached where one begins. */
static int64_t most_at_once(const struct playbook *playbook)
{
    const struct step *steps = playbook->method.items;
    int64_t most = 0;

    for (size_t i = 0; i < playbook->method.count; i++) {
        int64_t now = 0;

        for (size_t j = 0; j < playbook->method.count; j++)
            now += acts_at(&steps[j], steps[i].at) || i == j;
        most = now > most ? now : most;
    }
    return most;
}

static bool is_on_machine(const struct step *step)
{
    return step->layer == LAYER_HOST && !step->target;
}

int claims_of(const struct playbook *playbook, struct claims *ret_claims)
{
    const char *service = playbook->service ? playbook->service : "";
    const struct target *targets = playbook->targets.items;
    const struct proxy *proxies = playbook->proxies.items;
    const struct step *steps = playbook->method.items;
    struct claims claims = { .faults = most_at_once(playbook) };
    int result = 0;

    for (size_t i = 0; !result && i < playbook->targets.count; i++)
        result = add_target(&claims, service, &targets[i]);
    for (size_t i = 0; !result && i < playbook->proxies.count; i++)
        result = add_proxy(&claims, playbook, service, &proxies[i]);
    for (size_t i = 0; i < playbook->method.count; i++)
        claims.whole_host |= is_on_machine(&steps[i]);
    if (result < 0) {
        claims_done(&claims);
        return result;
    }
    claims_sort(&claims);
    *ret_claims = claims;
    return 0;
}

void claims_sort(struct claims *claims)
{
    if (claims->count)
        qsort(claims->items, claims->count, sizeof(*claims->items), by_text);
}

void claims_done(struct claims *claims)
{
    for (size_t i = 0; i < claims->count; i++)
        free(claims->items[i]);
    free(claims->items);
    *claims = (struct claims){ .items = NULL };
}

const char *claims_overlap(const struct claims *a, const struct claims *b)
{
    size_t i = 0, j = 0;

    if (a->whole_host || b->whole_host)
        return "the whole machine";
    while (i < a->count && j < b->count) {
        int order = strcmp(a->items[i], b->items[j]);

        if (!order)
            return a->items[i];
        i += order < 0;
        j += order > 0;
    }
    return NULL;
}

cJSON *claims_print(const struct claims *claims)
{
    cJSON *object = cJSON_CreateObject(), *items = cJSON_AddArrayToObject(object, "items");

    cJSON_AddNumberToObject(object, "faults", (double)claims->faults);
    cJSON_AddBoolToObject(object, "whole_host", claims->whole_host);
    for (size_t i = 0; i < claims->count; i++)
        cJSON_AddItemToArray(items, cJSON_CreateString(claims->items[i]));
    return object;
}

int claims_parse(const char *text, struct claims *ret_claims)
{
    cJSON *object = cJSON_Parse(text);
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(object, "items"), *faults = cJSON_GetObjectItemCaseSensitive(object, "faults"), *item;
    struct claims claims = { .whole_host = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, "whole_host")) };
    int result = cJSON_IsArray(items) && cJSON_IsNumber(faults) ? 0 : -EINVAL;

    if (!result)
        claims.faults = (int64_t)faults->valuedouble;
    cJSON_ArrayForEach(item, items)
        if (!result)
            result = cJSON_IsString(item) ? add(&claims, "%s", item->valuestring) : -EINVAL;
    cJSON_Delete(object);
    if (result < 0) {
        claims_done(&claims);
        return result;
    }
    *ret_claims = claims;
    return 0;
}
