/* A growing array of finished requests. */
#include "controller/load/records.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK_BYTES (RECORDS_CHUNK * sizeof(struct load_record))

_Static_assert(sizeof(struct load_record) == 40, "20 million records are promised to fit 800 MB");
_Static_assert(CHUNK_BYTES % 65536 == 0, "chunks are mapped: whole pages, up to 64 KiB each");

/* The bytes of a chunk, to their place in the file. */
static bool write_chunk(int fd, const struct load_record *chunk, uint64_t number)
{
    for (size_t written = 0; written < CHUNK_BYTES;) {
        ssize_t wrote = pwrite(fd, (const char *)chunk + written, CHUNK_BYTES - written, (off_t)(number * CHUNK_BYTES + written));
        if (wrote <= 0 && errno != EINTR)
            return false;
        written += wrote > 0 ? (size_t)wrote : 0;
    }
    return true;
}

static void spill(struct records *records, uint64_t number)
{
    struct load_record *chunk = records->chunks[number];

    if (write_chunk(records->spill_fd, chunk, number) &&
        mmap(chunk, CHUNK_BYTES, PROT_READ, MAP_SHARED | MAP_FIXED, records->spill_fd, (off_t)(number * CHUNK_BYTES)) != MAP_FAILED)
        atomic_store(&records->on_file[number], 1);
}

static void *spill_all(void *argument)
{
    struct records *records = argument;
    uint64_t woken;

    for (uint64_t number = 0;;) {
        while ((number + 1) * RECORDS_CHUNK <= records_count(records))
            spill(records, number++);
        if (atomic_load(&records->stopping))
            return NULL;
        if (read(records->wake_fd, &woken, sizeof(woken)) < 0 && errno != EINTR)
            return NULL;
    }
}

/* Not every file system has files without a name. */
static int open_unlinked(const char *directory)
{
    char path[PATH_MAX];
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || snprintf(path, sizeof(path), "%s/requests.XXXXXX", directory) >= (int)sizeof(path))
        return fd;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static int spill_open(struct records *records, const char *directory)
{
    records->on_file = calloc((size_t)(records->maximum / RECORDS_CHUNK + 1), sizeof(*records->on_file));
    if (!records->on_file)
        return -ENOMEM;
    records->spill_fd = open_unlinked(directory);
    records->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (records->spill_fd < 0 || records->wake_fd < 0)
        return -errno;
    int rc = pthread_create(&records->spiller, NULL, spill_all, records);
    records->spilling = rc == 0;
    return -rc;
}

int records_init(struct records *records, uint64_t maximum, const char *directory)
{
    *records = (struct records){ .maximum = maximum, .spill_fd = -1, .wake_fd = -1 };
    records->chunks = calloc((size_t)(maximum / RECORDS_CHUNK + 1), sizeof(struct load_record *));
    if (!records->chunks)
        return -ENOMEM;
    return directory ? spill_open(records, directory) : 0;
}

static void wake(const struct records *records)
{
    const uint64_t one = 1;

    (void)!write(records->wake_fd, &one, sizeof(one));
}

void records_done(struct records *records)
{
    if (!records->chunks)
        return;
    if (records->spilling) {
        atomic_store(&records->stopping, true);
        wake(records);
        (void)pthread_join(records->spiller, NULL);
    }
    for (uint64_t i = 0; i <= records->maximum / RECORDS_CHUNK; i++)
        if (records->chunks[i])
            (void)munmap(records->chunks[i], CHUNK_BYTES);
    free(records->chunks);
    free(records->on_file);
    if (records->spill_fd >= 0)
        close(records->spill_fd);
    if (records->wake_fd >= 0)
        close(records->wake_fd);
    *records = (struct records){ .spill_fd = -1, .wake_fd = -1 };
}

bool records_append(struct records *records, const struct load_record *record)
{
    uint64_t count = atomic_load_explicit(&records->count, memory_order_relaxed);
    struct load_record **chunk = &records->chunks[count / RECORDS_CHUNK];

    if (count >= records->maximum)
        return false;
    if (!*chunk) {
        void *memory = mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return false;
        *chunk = memory;
    }
    (*chunk)[count % RECORDS_CHUNK] = *record;
    atomic_store_explicit(&records->count, count + 1, memory_order_release);
    if (records->spilling && (count + 1) % RECORDS_CHUNK == 0)
        wake(records);
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

void records_rest(const struct records *records, uint64_t i)
{
    uint64_t number = i / RECORDS_CHUNK;

    if (records->on_file && atomic_load(&records->on_file[number]))
        (void)madvise(records->chunks[number], CHUNK_BYTES, MADV_DONTNEED);
}
