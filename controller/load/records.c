/* A growing array of finished requests. */
#include "controller/load/records.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(sizeof(struct load_record) == 40, "20 million records are promised to fit 800 MB");

int records_init(struct records *records, uint64_t maximum)
{
    records->maximum = maximum;
    records->chunks = calloc((size_t)(maximum / RECORDS_CHUNK + 1), sizeof(struct load_record *));
    atomic_init(&records->count, 0);
    return records->chunks ? 0 : -ENOMEM;
}

void records_done(struct records *records)
{
    if (!records->chunks)
        return;
    for (uint64_t i = 0; i <= records->maximum / RECORDS_CHUNK; i++)
        free(records->chunks[i]);
    free(records->chunks);
    records->chunks = NULL;
}

bool records_append(struct records *records, const struct load_record *record)
{
    uint64_t count = atomic_load_explicit(&records->count, memory_order_relaxed);
    struct load_record **chunk = &records->chunks[count / RECORDS_CHUNK];

    if (count >= records->maximum)
        return false;
    if (!*chunk)
        *chunk = malloc(RECORDS_CHUNK * sizeof(struct load_record));
    if (!*chunk)
        return false;
    (*chunk)[count % RECORDS_CHUNK] = *record;
    atomic_store_explicit(&records->count, count + 1, memory_order_release);
    return true;
}

uint64_t records_count(const struct records *records)
{
    return atomic_load_explicit(&records->count, memory_order_acquire);
}

const struct load_record *records_at(const struct records *records, uint64_t i)
{
    return &records->chunks[i / RECORDS_CHUNK][i % RECORDS_CHUNK];
}
