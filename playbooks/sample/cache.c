/* The shop's last known answers. */
#include "playbooks/sample/cache.h"

#include <stdio.h>
#include <string.h>

#include "scenarios/base/rng.h"

void cache_init(struct cache *cache)
{
    memset(cache, 0, sizeof(*cache));
    pthread_mutex_init(&cache->lock, NULL);
}

void cache_put(struct cache *cache, const char *key, const char *value)
{
    struct cache_cell *cell = &cache->cells[rng_hash(key) % CACHE_CELLS];

    if (strlen(key) >= CACHE_KEY_SIZE)
        return;
    pthread_mutex_lock(&cache->lock);
    snprintf(cell->key, sizeof(cell->key), "%s", key);
    snprintf(cell->value, sizeof(cell->value), "%s", value);
    pthread_mutex_unlock(&cache->lock);
}

bool cache_get(struct cache *cache, const char *key, char ret_value[CACHE_VALUE_SIZE])
{
    struct cache_cell *cell = &cache->cells[rng_hash(key) % CACHE_CELLS];

    pthread_mutex_lock(&cache->lock);
    bool found = strcmp(cell->key, key) == 0;
    if (found)
        memcpy(ret_value, cell->value, CACHE_VALUE_SIZE);
    pthread_mutex_unlock(&cache->lock);
    return found;
}
