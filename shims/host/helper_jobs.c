/* What helpers do. */
#include "shims/host/helper_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PPM 1000000
#define PERIOD_NS (10 * NS_PER_MS)
#define SPIN_READS 64
#define MEMORY_CHUNK (UINT64_C(1) << 20)
#define DISK_CHUNK (UINT64_C(64) << 20)
#define PAGE UINT64_C(4096)
#define MEMORY_FLOOR (UINT64_C(512) << 20)

enum { CREDIT_PERIODS = 20, CHUNKS_MAX = 1 << 20 }; /* a tebibyte */

/* ---- CPU time ------------------------------------------------------------------------------------------------------------ */

static uint64_t burned_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return timespec_ns(used);
}

/* In every period it burns until its CPU time has caught up with its share of the wall time, so that what the scheduler took is made
 * good later, but never more than CREDIT_PERIODS' worth: a stopped machine is not burned for afterwards. */
int helper_burn(const struct helper_spec *spec, struct helper_state *state)
{
    uint64_t start_ns = clock_now_ns(), before_ns = burned_ns(), period = 0, goal_ns = 0;

    while (helper_lives(state)) {
        uint64_t end_ns = start_ns + ++period * PERIOD_NS, share_ns = PERIOD_NS * spec->load_ppm / PPM, used_ns;

        goal_ns += share_ns;
        while ((used_ns = burned_ns() - before_ns) < goal_ns && clock_now_ns() < end_ns)
            for (unsigned i = 0; i < SPIN_READS; i++)
                __asm__ volatile("" : "+r"(i)); /* a loop that stays */
        helper_took(state, used_ns);
        if (goal_ns > used_ns + CREDIT_PERIODS * share_ns)
            goal_ns = used_ns + CREDIT_PERIODS * share_ns;
        if (clock_now_ns() < end_ns)
            helper_pause(end_ns - clock_now_ns());
        for (; start_ns + (period + 1) * PERIOD_NS < clock_now_ns(); period++) /* whole periods that it was not let run in */
            goal_ns += share_ns;
    }
    return 0;
}

/* ---- memory -------------------------------------------------------------------------------------------------------------- */

/* Each page is written, with something that does not compress. */
static void touch(unsigned char *chunk, uint64_t round)
{
    for (uint64_t at = 0; at < MEMORY_CHUNK; at += sizeof(uint64_t) * 8) {
        uint64_t mixed = (at + round) * UINT64_C(0x9e3779b97f4a7c15);

        memcpy(chunk + at, &mixed, sizeof(mixed));
    }
}

/* How many bytes it may hold now: by its size, its rate, and the machine's floor. */
static uint64_t allowance(const struct helper_spec *spec, uint64_t held, uint64_t since_ns)
{
    uint64_t total, available, allowed = spec->bytes;

    if (spec->rate)
        allowed = MIN(allowed, (uint64_t)((double)spec->rate * (double)(clock_now_ns() - since_ns) / 1e9));
    if (memory_of_machine(&total, &available) < 0 || available < spec->floor)
        return held > MEMORY_CHUNK ? held - MEMORY_CHUNK : 0;
    return MIN(allowed, held + (available - spec->floor));
}

int helper_hold(const struct helper_spec *spec, struct helper_state *state)
{
    uint64_t since_ns = clock_now_ns(), touched_ns = since_ns;
    unsigned char **chunks = mmap(NULL, CHUNKS_MAX * sizeof(*chunks), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t count = 0;

    if (chunks == MAP_FAILED)
        return -errno;
    while (helper_lives(state)) {
        uint64_t held = count * MEMORY_CHUNK, allowed = allowance(spec, held, since_ns);

        if (allowed >= held + MEMORY_CHUNK && count < CHUNKS_MAX) {
            unsigned char *chunk = mmap(NULL, MEMORY_CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

            if (chunk == MAP_FAILED)
                return -errno;
            touch(chunk, count);
            chunks[count++] = chunk;
        } else if (allowed < held && count) {
            munmap(chunks[--count], MEMORY_CHUNK);
        } else {
            for (size_t i = 0; clock_now_ns() > touched_ns + NS_PER_S && i < count && helper_lives(state); i++)
                touch(chunks[i], i + 1); /* so that it stays in memory */
            touched_ns = clock_now_ns() > touched_ns + NS_PER_S ? clock_now_ns() : touched_ns;
            helper_pause(10 * NS_PER_MS);
        }
        helper_took(state, count * MEMORY_CHUNK);
    }
    return 0;
}

/* ---- room on a disk -------------------------------------------------------------------------------------------------------- */

static int open_nameless(const struct helper_spec *spec)
{
    char path[HELPER_PATH_MAX + HELPER_NAME_MAX];
    int fd = open(spec->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd < 0 ? -errno : fd;
    snprintf(path, sizeof(path), "%s/%s", spec->directory, spec->name);
    fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    return unlink(path) < 0 ? -errno : fd;
}

/* Where the file system cannot allocate ahead, zeros are written. */
static int extend(int fd, uint64_t from, uint64_t length)
{
    static const char zeros[64 << 10];

    if (fallocate(fd, 0, (off_t)from, (off_t)length) == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return -errno;
    for (uint64_t done = 0; done < length;) {
        ssize_t written = pwrite(fd, zeros, MIN(sizeof(zeros), length - done), (off_t)(from + done));

        if (written <= 0)
            return written < 0 ? -errno : -ENOSPC;
        done += (uint64_t)written;
    }
    return 0;
}

/* Bytes that may still be taken: up to the size, and down to what has to stay free. With a floor of 0 also what is kept for root.
 * A file system that lives in memory is not filled at the cost of the machine's last. */
static uint64_t room(const struct helper_spec *spec, int fd, uint64_t length)
{
    uint64_t wanted = spec->bytes > length ? spec->bytes - length : 0, free, total, available;
    struct statvfs facts;
    struct statfs kind;

    if (fstatvfs(fd, &facts) < 0 || fstatfs(fd, &kind) < 0)
        return 0;
    if (kind.f_type == TMPFS_MAGIC || kind.f_type == RAMFS_MAGIC) {
        if (memory_of_machine(&total, &available) < 0 || available < MEMORY_FLOOR)
            return 0;
        wanted = MIN(wanted, available - MEMORY_FLOOR);
    }
    free = (uint64_t)(spec->floor ? facts.f_bavail : facts.f_bfree) * facts.f_frsize;
    return MIN(MIN(wanted, DISK_CHUNK), free > spec->floor ? free - spec->floor : 0) / PAGE * PAGE;
}

int helper_fill(const struct helper_spec *spec, struct helper_state *state)
{
    AUTO_CLOSE int fd = open_nameless(spec);
    uint64_t length = 0, chunk = DISK_CHUNK;
    struct stat facts;

    if (fd < 0)
        return fd;
    while (helper_lives(state)) {
        uint64_t more = MIN(room(spec, fd, length), chunk);
        int result = more ? extend(fd, length, more) : 0;

        if (result == -ENOSPC || result == -EDQUOT)
            chunk = more > PAGE ? more / 2 / PAGE * PAGE : 0;
        else if (result < 0 && result != -EINTR)
            return result;
        else
            length += result == 0 ? more : 0;
        if (fstat(fd, &facts) == 0)
            helper_took(state, (uint64_t)facts.st_blocks * 512);
        if (more && chunk)
            continue;
        helper_pause(20 * NS_PER_MS);
        chunk = DISK_CHUNK; /* what somebody frees is taken too */
    }
    return 0;
}
