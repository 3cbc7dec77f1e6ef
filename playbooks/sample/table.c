/* The store's keys and values. */
#include "playbooks/sample/table.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t bucket_of(const char *key, size_t key_bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < key_bytes; i++)
        hash = (hash ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
    return hash % TABLE_BUCKETS;
}

static struct table_entry *find(const struct table *table, const char *key, size_t key_bytes)
{
    struct table_entry *entry = table->buckets[bucket_of(key, key_bytes)];

    while (entry && (entry->key_bytes != key_bytes || memcmp(entry->key, key, key_bytes) != 0))
        entry = entry->next;
    return entry;
}

const struct table_entry *table_get(const struct table *table, const char *key, size_t key_bytes)
{
    return find(table, key, key_bytes);
}

int table_put(struct table *table, const char *key, size_t key_bytes, const char *value, size_t value_bytes)
{
    if (key_bytes > TABLE_KEY_MAX || value_bytes > TABLE_VALUE_MAX)
        return -E2BIG;
    struct table_entry *entry = find(table, key, key_bytes);
    if (!entry && table->entries >= TABLE_ENTRIES_MAX)
        return -ENOSPC;
    char *copy = malloc(value_bytes + 1);
    if (!copy)
        return -ENOMEM;
    if (!entry) {
        struct table_entry **bucket = &table->buckets[bucket_of(key, key_bytes)];
        entry = malloc(sizeof(*entry) + key_bytes);
        if (!entry) {
            free(copy);
            return -ENOMEM;
        }
        *entry = (struct table_entry){ .next = *bucket, .key_bytes = key_bytes };
        memcpy(entry->key, key, key_bytes);
        *bucket = entry;
        table->entries++;
    }
    free(entry->value);
    memcpy(copy, value, value_bytes);
    entry->value = copy;
    entry->value_bytes = value_bytes;
    return 0;
}

void table_done(struct table *table)
{
    for (size_t i = 0; i < TABLE_BUCKETS; i++)
        while (table->buckets[i]) {
            struct table_entry *entry = table->buckets[i];
            table->buckets[i] = entry->next;
            free(entry->value);
            free(entry);
        }
}
