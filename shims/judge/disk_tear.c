/* A write of which only some sectors reach the file. What is lost and lies past the old end is written as zeros, so that what
 * comes behind it lands where the program thinks; not when the process ends there. */
#include "shims/judge/judge.h"

#include "scenarios/base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PARTS_MAX = 16, ZEROS = 4096 };

struct tear {
    const struct torn *torn;
    int fd;
    uint64_t start, size, old_end; /* offset in the file; bytes; the file's end before */
    const struct iovec *parts;
    size_t count;
};

/* The caller's parts from byte `from` on, at most `size`. Returns how many; *ret_size is what they hold. */
static int window(const struct tear *tear, uint64_t from, uint64_t size, struct iovec list[PARTS_MAX], uint64_t *ret_size)
{
    int used = 0;

    *ret_size = 0;
    for (size_t i = 0; i < tear->count && used < PARTS_MAX && size; i++) {
        struct iovec part = tear->parts[i];

        if (from >= part.iov_len) {
            from -= part.iov_len;
            continue;
        }
        part.iov_base = (char *)part.iov_base + from;
        part.iov_len -= from;
        from = 0;
        if (part.iov_len > size)
            part.iov_len = (size_t)size;
        size -= part.iov_len;
        *ret_size += part.iov_len;
        list[used++] = part;
    }
    return used;
}

/* pwritev(2) passes the offset in two halves; with O_APPEND it appends whatever the offset is. */
static int64_t put(const struct tear *tear, const struct iovec *list, int count, uint64_t at)
{
    const unsigned bits = 8 * (unsigned)sizeof(long);
    long result = syscall(SYS_pwritev, tear->fd, list, count, (long)at, bits < 64 ? (long)(at >> 31 >> (bits - 31)) : 0L);

    return result < 0 ? -errno : result;
}

static int64_t put_data(const struct tear *tear, uint64_t from, uint64_t size)
{
    uint64_t done = 0;

    while (done < size) {
        struct iovec list[PARTS_MAX];
        uint64_t held;
        int count = window(tear, from + done, size - done, list, &held);
        int64_t result = put(tear, list, count, tear->start + from + done);

        if (result <= 0)
            return done ? (int64_t)done : result ? result : -EIO;
        done += (uint64_t)result;
    }
    return (int64_t)done;
}

/* Only where the file grows: what was there before stays as it was. */
static void put_zeros(const struct tear *tear, uint64_t from, uint64_t size)
{
    static const char zeros[ZEROS];
    uint64_t at = tear->start + from, end = at + size;

    for (at = at < tear->old_end ? tear->old_end : at; at < end;) {
        struct iovec part = { (char *)(uintptr_t)zeros, end - at < ZEROS ? (size_t)(end - at) : ZEROS };
        int64_t result = put(tear, &part, 1, at);

        if (result <= 0)
            return;
        at += (uint64_t)result;
    }
}

static bool is_kept(const struct torn *torn, uint64_t index, uint64_t last)
{
    if (!torn->is_some)
        return index < torn->kept;
    return index != last && (!index || rng_draw(torn->draw, 0, 0, index) >> 63);
}

static int64_t tear_sectors(const struct tear *tear)
{
    const uint64_t sector = tear->torn->sector, first = tear->start / sector, last = (tear->start + tear->size - 1) / sector - first;
    uint64_t from = 0;

    while (from < tear->size) { /* runs of the same fate */
        uint64_t index = (tear->start + from) / sector - first, next = index + 1, end;
        bool kept = is_kept(tear->torn, index, last);
        int64_t result;

        while (next <= last && is_kept(tear->torn, next, last) == kept)
            next++;
        end = next > last ? tear->size : (first + next) * sector - tear->start;
        result = kept ? put_data(tear, from, end - from) : 0;
        if (result < 0)
            return from ? (int64_t)tear->size : result;
        if (!kept && (!tear->torn->then_crash || next <= last))
            put_zeros(tear, from, end - from);
        from = end;
    }
    return (int64_t)tear->size;
}

int64_t disk_tear(int fd, const struct torn *torn, uint64_t place, const struct iovec *parts, size_t count, uint64_t size)
{
    struct disk_file file;
    struct tear tear = { .torn = torn, .fd = fd, .size = size, .parts = parts, .count = count };
    int64_t result;

    if (!disk_file(fd, place, &file))
        return -EBADF;
    tear.start = file.appends ? file.size : file.offset;
    tear.old_end = file.size;
    result = tear_sectors(&tear);
    if (result > 0 && !place)
        syscall(SYS_lseek, fd, (off_t)(tear.start + size), SEEK_SET);
    return result;
}
