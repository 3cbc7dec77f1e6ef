/* Proxies and toxics as data. */
#include "controller/toxiproxy/model.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void free_toxics(struct proxy_config *proxy)
{
    for (size_t i = 0; i < proxy->toxic_count; i++)
        toxic_free(proxy->toxics[i]);
    free(proxy->toxics);
}

void proxy_config_free(struct proxy_config *proxy)
{
    if (!proxy)
        return;
    free_toxics(proxy);
    free(proxy->name);
    free(proxy->listen);
    free(proxy->upstream);
    free(proxy);
}

void model_done(struct model *model)
{
    for (size_t i = 0; i < model->count; i++)
        proxy_config_free(model->proxies[i]);
    free(model->proxies);
    *model = (struct model){ .count = 0 };
}

struct proxy_config *model_find(const struct model *model, const char *name)
{
    for (size_t i = 0; i < model->count; i++)
        if (!strcmp(model->proxies[i]->name, name))
            return model->proxies[i];
    return NULL;
}

/* The executor's names are short; draws follow from them, so they depend on the name alone. */
static void set_scope(struct proxy_config *proxy)
{
    if (strlen(proxy->name) < sizeof(proxy->scope) && proxy->name[0] != '~')
        snprintf(proxy->scope, sizeof(proxy->scope), "%s", proxy->name);
    else
        snprintf(proxy->scope, sizeof(proxy->scope), "~%016" PRIx64, rng_hash(proxy->name));
}

struct proxy_config *proxy_config_new(const char *name, const char *listen, const char *upstream)
{
    struct proxy_config *proxy = calloc(1, sizeof(*proxy));

    if (!proxy)
        return NULL;
    proxy->name = strdup(name);
    proxy->listen = strdup(listen);
    proxy->upstream = strdup(upstream);
    if (!proxy->name || !proxy->listen || !proxy->upstream) {
        proxy_config_free(proxy);
        return NULL;
    }
    set_scope(proxy);
    return proxy;
}

int model_add(struct model *model, struct proxy_config *proxy)
{
    struct proxy_config **grown = realloc(model->proxies, (model->count + 1) * sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    model->proxies = grown;
    model->proxies[model->count++] = proxy;
    return 0;
}

static size_t index_of(const struct model *model, const struct proxy_config *proxy)
{
    size_t index = 0;

    while (index < model->count && model->proxies[index] != proxy)
        index++;
    assert(index < model->count);
    return index;
}

void model_replace(struct model *model, struct proxy_config *old, struct proxy_config *proxy)
{
    model->proxies[index_of(model, old)] = proxy;
}

void model_take(struct model *model, struct proxy_config *proxy)
{
    size_t index = index_of(model, proxy);

    memmove(&model->proxies[index], &model->proxies[index + 1], (--model->count - index) * sizeof(struct proxy_config *));
}

struct toxic *model_find_toxic(const struct proxy_config *proxy, const char *name)
{
    for (size_t i = 0; i < proxy->toxic_count; i++)
        if (!strcmp(proxy->toxics[i]->name, name))
            return proxy->toxics[i];
    return NULL;
}

int model_add_toxic(struct proxy_config *proxy, struct toxic *toxic, size_t index)
{
    struct toxic **grown = realloc(proxy->toxics, (proxy->toxic_count + 1) * sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    assert(index <= proxy->toxic_count);
    proxy->toxics = grown;
    memmove(&grown[index + 1], &grown[index], (proxy->toxic_count++ - index) * sizeof(*grown));
    grown[index] = toxic;
    return 0;
}

size_t model_take_toxic(struct proxy_config *proxy, const struct toxic *toxic)
{
    size_t index = 0;

    while (index < proxy->toxic_count && proxy->toxics[index] != toxic)
        index++;
    assert(index < proxy->toxic_count);
    memmove(&proxy->toxics[index], &proxy->toxics[index + 1], (--proxy->toxic_count - index) * sizeof(struct toxic *));
    return index;
}

int model_set_text(char **slot, const char *text)
{
    char *copied = strdup(text);

    if (!copied)
        return -ENOMEM;
    free(*slot);
    *slot = copied;
    return 0;
}
