/* A growing array of finished requests: one writer appends, any thread reads what is published.
 * 1. A record is written whole before the count that covers it is stored (release); a reader loads the count first (acquire).
 * 2. Chunks never move and are unmapped only by records_done, so a published record stays where it is.
 * 3. With a directory, a thread of its own writes full chunks to an unlinked file there and maps the file's pages over the chunk:
 *    same address, same bytes, but pages that the kernel can take back. The writer never touches the file. Where the file cannot
 *    grow (a full disk) a chunk stays in memory. */
#ifndef PERTURB_CONTROLLER_LOAD_RECORDS_H
#define PERTURB_CONTROLLER_LOAD_RECORDS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "controller/load/load.h"

enum { RECORDS_CHUNK = 16384 }; /* of 40 bytes: a whole number of pages */

struct records {
    uint64_t maximum;
    struct load_record **chunks; /* as many as the maximum needs; filled from the front */
    atomic_uint_least64_t count; /* published */

    int spill_fd; /* -1: all stay in memory */
    int wake_fd;
    pthread_t spiller;
    bool spilling;
    atomic_bool stopping;
    atomic_uchar *on_file; /* of each chunk; NULL when none spills */
};

/* `directory` may be NULL. 0, -ENOMEM, -EAGAIN (no thread); -errno when no file can be made there. */
int records_init(struct records *records, uint64_t maximum, const char *directory);
void records_done(struct records *records);

/* False when the maximum is reached or memory is out: the record is not kept. Writer only. */
bool records_append(struct records *records, const struct load_record *record);

uint64_t records_count(const struct records *records);
const struct load_record *records_at(const struct records *records, uint64_t i);

/* Takes the chunk of record `i` out of this process's memory, where it lies in the file. It may still be read. */
void records_rest(const struct records *records, uint64_t i);

#endif
