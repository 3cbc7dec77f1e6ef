/* A growing array of finished requests: one writer appends, any thread reads what is published.
 * 1. A record is written whole before the count that covers it is stored (release); a reader loads the count first (acquire).
 * 2. Chunks never move and are freed only by records_done, so a published record stays where it is. */
#ifndef PERTURB_CONTROLLER_LOAD_RECORDS_H
#define PERTURB_CONTROLLER_LOAD_RECORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "controller/load/load.h"

enum { RECORDS_CHUNK = 16384 };

struct records {
    uint64_t maximum;
    struct load_record **chunks; /* as many as the maximum needs; filled from the front */
    atomic_uint_least64_t count; /* published */
};

/* 0, -ENOMEM. */
int records_init(struct records *records, uint64_t maximum);
void records_done(struct records *records);

/* False when the maximum is reached or memory is out: the record is not kept. Writer only. */
bool records_append(struct records *records, const struct load_record *record);

uint64_t records_count(const struct records *records);
const struct load_record *records_at(const struct records *records, uint64_t i);

#endif
