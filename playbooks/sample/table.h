/* The store's keys and values: a chained hash table with bounded keys, values and count. */
#ifndef PERTURB_PLAYBOOKS_SAMPLE_TABLE_H
#define PERTURB_PLAYBOOKS_SAMPLE_TABLE_H

#include <stddef.h>

enum { TABLE_BUCKETS = 16384, TABLE_ENTRIES_MAX = 262144, TABLE_KEY_MAX = 512, TABLE_VALUE_MAX = 8192 };

struct table_entry {
    struct table_entry *next;
    size_t key_bytes, value_bytes;
    char *value;
    char key[];
};

struct table {
    struct table_entry *buckets[TABLE_BUCKETS];
    size_t entries;
};

/* Borrowed until the next put or done; NULL when there is none. */
const struct table_entry *table_get(const struct table *table, const char *key, size_t key_bytes);

/* Copies both. 0; -E2BIG, -ENOSPC, -ENOMEM. */
int table_put(struct table *table, const char *key, size_t key_bytes, const char *value, size_t value_bytes);
void table_done(struct table *table);

#endif
