/* The shop's last known answers, served when the store cannot be asked. Direct-mapped: a newer key takes the place of the older
 * one in its cell, so memory is bounded. Values have no age limit: stale beats absent, and X-Source says which it was. */
#ifndef PERTURB_PLAYBOOKS_SAMPLE_CACHE_H
#define PERTURB_PLAYBOOKS_SAMPLE_CACHE_H

#include <pthread.h>
#include <stdbool.h>

enum { CACHE_CELLS = 4096, CACHE_KEY_SIZE = 64, CACHE_VALUE_SIZE = 256 };

struct cache {
    pthread_mutex_t lock;
    struct cache_cell {
        char key[CACHE_KEY_SIZE]; /* "" = empty */
        char value[CACHE_VALUE_SIZE];
    } cells[CACHE_CELLS];
};

void cache_init(struct cache *cache);
void cache_put(struct cache *cache, const char *key, const char *value); /* longer keys are not kept, longer values are cut */
bool cache_get(struct cache *cache, const char *key, char ret_value[CACHE_VALUE_SIZE]);

#endif
