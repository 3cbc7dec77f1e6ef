/* The target's side of shims/include/unsynced.h: records what a write replaces, and marks what a sync made durable. No lock: files
 * are claimed and records linked by compare-and-swap. */
#include "shims/judge/judge.h"

#include "scenarios/base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KEY_FREE, KEY_TAKING, KEY_FIRST };
enum {
    ENTER_TRIES_MAX = 64,
    ROOM_TRIES_MAX = 256, /* while others are between taking room and linking */
    LINK_TRIES_MAX = 4096, /* of four writers on two processors one in fifteen has to try again */
};

struct call {
    struct unsynced_log *log;
    const struct judge_facts *facts;
    const struct occasion *occasion;
    struct disk_file disk;
    uint64_t birth, key;
    int fd; /* our own */
};

/* Nanoseconds; 0 where the file system does not know. */
static uint64_t birth_of(int fd)
{
    struct statx status;

    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BTIME, &status) < 0 || !(status.stx_mask & STATX_BTIME))
        return 0;
    return (uint64_t)status.stx_btime.tv_sec * UINT64_C(1000000000) + status.stx_btime.tv_nsec;
}

static bool is_clean(const struct unsynced_file *file)
{
    return __atomic_load_n(&file->last, __ATOMIC_ACQUIRE) <= __atomic_load_n(&file->synced, __ATOMIC_ACQUIRE) &&
           !__atomic_load_n(&file->pending, __ATOMIC_SEQ_CST);
}

/* Fills an entry that only we can see as ours; then it gets its key. */
static bool take_entry(const struct call *call, struct unsynced_file *file, uint64_t old)
{
    if (!__atomic_compare_exchange_n(&file->key, &old, KEY_TAKING, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return false;
    if (!is_clean(file) || call->facts->path(call->occasion, file->path, sizeof(file->path)) != file->path) {
        __atomic_store_n(&file->key, old, __ATOMIC_RELEASE);
        return false;
    }
    file->device = call->disk.device;
    file->inode = call->disk.inode;
    file->birth = call->birth;
    file->synced = file->last;
    __atomic_store_n(&file->key, call->key, __ATOMIC_SEQ_CST);
    return true;
}

/* The entry that bears the file's key, with us as a pending writer. */
static struct unsynced_file *find_entry(const struct call *call)
{
    for (size_t i = 0; i < UNSYNCED_FILES_MAX; i++) {
        struct unsynced_file *file = &call->log->files[i];

        if (__atomic_load_n(&file->key, __ATOMIC_ACQUIRE) != call->key)
            continue;
        __atomic_fetch_add(&file->pending, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&file->key, __ATOMIC_SEQ_CST) == call->key)
            return file;
        __atomic_fetch_sub(&file->pending, 1, __ATOMIC_SEQ_CST); /* given to another file meanwhile */
    }
    return NULL;
}

/* Gives the file an entry: one that is free, else one whose records are all durable. 0; -EAGAIN when somebody else was taking one,
 * perhaps for the same file, which the impatient pass over; -ENOSPC. */
static int make_entry(const struct call *call, bool patient)
{
    for (int reuse = 0; reuse < 2; reuse++)
        for (size_t i = 0; i < UNSYNCED_FILES_MAX; i++) {
            struct unsynced_file *file = &call->log->files[i];
            uint64_t found = __atomic_load_n(&file->key, __ATOMIC_ACQUIRE);

            if (found == KEY_TAKING && patient)
                return -EAGAIN;
            if (found != KEY_TAKING && (reuse ? is_clean(file) : found == KEY_FREE))
                return take_entry(call, file, found) ? 0 : -EAGAIN;
        }
    return -ENOSPC;
}

/* The entry of a file, with us as a pending writer; NULL when there is none and none can be had. Of two that make one for the same
 * file the second finds the first's, so a file has one list and a sync reaches all of it. Who was killed while taking an entry is not
 * waited for to the last. */
static struct unsynced_file *enter(const struct call *call, bool make)
{
    struct unsynced_file *file = find_entry(call);
    int made = make ? -EAGAIN : 0;

    for (int attempt = 0; !file && made == -EAGAIN && attempt < ENTER_TRIES_MAX; attempt++) {
        made = make_entry(call, attempt < ENTER_TRIES_MAX / 2);
        if (made == -EAGAIN)
            syscall(SYS_sched_yield);
        file = find_entry(call);
    }
    return file;
}

static void leave(struct unsynced_file *file)
{
    __atomic_fetch_sub(&file->pending, 1, __ATOMIC_SEQ_CST);
}

static struct unsynced_record *record_at(struct unsynced_log *log, uint64_t position)
{
    return (struct unsynced_record *)(void *)&log->ring[position % UNSYNCED_RING];
}

/* The oldest record of a file that is not durable; UINT64_MAX when all are. */
static uint64_t oldest_of(struct unsynced_log *log, const struct unsynced_file *file, uint64_t tail)
{
    uint64_t synced = __atomic_load_n(&file->synced, __ATOMIC_ACQUIRE), oldest = UINT64_MAX;

    for (uint64_t at = __atomic_load_n(&file->last, __ATOMIC_ACQUIRE); at > synced && at >= tail && at < oldest; at = record_at(log, at)->previous)
        oldest = at;
    return oldest;
}

/* `own` is the caller's, in which it alone may be pending. 0 when there is more room than there was; -EAGAIN while others are pending;
 * -ENOSPC. */
static int make_room(struct unsynced_log *log, const struct unsynced_file *own)
{
    uint64_t head = __atomic_load_n(&log->head, __ATOMIC_SEQ_CST), tail = __atomic_load_n(&log->tail, __ATOMIC_ACQUIRE), low = head;

    for (size_t i = 0; i < UNSYNCED_FILES_MAX; i++) {
        const struct unsynced_file *file = &log->files[i];
        uint64_t oldest;

        if (__atomic_load_n(&file->pending, __ATOMIC_SEQ_CST) > (file == own))
            return -EAGAIN;
        oldest = oldest_of(log, file, tail);
        low = oldest < low ? oldest : low;
    }
    if (low <= tail)
        return -ENOSPC;
    __atomic_compare_exchange_n(&log->tail, &tail, low, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED); /* else another has made room */
    return 0;
}

/* Room for a record in one piece: 0 and its position, or make_room's error. */
static int take_room(struct unsynced_log *log, const struct unsynced_file *own, uint64_t length, uint64_t *ret_position)
{
    uint64_t size = (sizeof(struct unsynced_record) + length + UNSYNCED_ALIGN - 1) / UNSYNCED_ALIGN * UNSYNCED_ALIGN;
    uint64_t head = __atomic_load_n(&log->head, __ATOMIC_SEQ_CST);
    int made = size > UNSYNCED_RECORD_MAX ? -ENOSPC : 0;

    while (made == 0) {
        uint64_t begin = head % UNSYNCED_RING + size > UNSYNCED_RING ? (head / UNSYNCED_RING + 1) * UNSYNCED_RING : head;

        if (begin + size - __atomic_load_n(&log->tail, __ATOMIC_SEQ_CST) > UNSYNCED_RING) {
            made = make_room(log, own);
            head = __atomic_load_n(&log->head, __ATOMIC_SEQ_CST);
        } else if (__atomic_compare_exchange_n(&log->head, &head, begin + size, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            *ret_position = begin;
            return 0;
        }
    }
    return made;
}

/* A descriptor that only writes cannot be read through: its file is opened a second time. */
static bool read_whole(int fd, char *data, uint64_t size, uint64_t offset)
{
    char name[40] = "/proc/self/fd/";
    int reader = fd;
    uint64_t done = 0;

    if ((syscall(SYS_fcntl, fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        judge_number((unsigned)fd, name + strlen(name));
        reader = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC, 0);
    }
    while (reader >= 0 && done < size) {
        long got = syscall(SYS_pread64, reader, data + done, size - done, offset + done);

        if (got <= 0)
            break;
        done += (uint64_t)got;
    }
    if (reader >= 0 && reader != fd)
        syscall(SYS_close, reader);
    return done == size;
}

/* 0 linked, 1 another writer took a later place and linked first: positions must rise along the list, so it is done again. */
static int link_record(struct unsynced_log *log, struct unsynced_file *file, uint64_t position)
{
    struct unsynced_record *record = record_at(log, position);
    uint64_t last = __atomic_load_n(&file->last, __ATOMIC_ACQUIRE);

    do {
        if (last > position)
            return 1;
        record->previous = last;
    } while (!__atomic_compare_exchange_n(&file->last, &last, position, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
    return 0;
}

/* 0, -EAGAIN when it may be kept later, or another error. Room that was taken and not linked is passed over. */
static int keep(const struct call *call, struct unsynced_file *file, uint64_t size)
{
    const struct disk_file *disk = &call->disk;
    uint64_t length = disk->offset >= disk->size ? 0 : disk->size - disk->offset, position;

    length = length < size ? length : size;
    for (int attempt = 0; attempt < LINK_TRIES_MAX; attempt++) {
        int result = take_room(call->log, file, length, &position);
        struct unsynced_record *record;

        if (result < 0)
            return result;
        record = record_at(call->log, position);
        *record = (struct unsynced_record){ 0, disk->offset, length, disk->size, size };
        if (length && !read_whole(call->fd, (char *)(record + 1), length, disk->offset))
            return -EIO;
        if (link_record(call->log, file, position) == 0)
            return 0;
    }
    return -ENOSPC;
}

static bool look_up(const struct judge *judge, struct occasion *occasion, struct call *ret_call)
{
    *ret_call = (struct call){ .log = &judge->counters->unsynced, .facts = judge->facts, .occasion = occasion };
    if (!disk_of(judge->facts, occasion, &ret_call->disk))
        return false;
    ret_call->fd = judge->facts->own_fd(occasion);
    ret_call->birth = birth_of(ret_call->fd);
    ret_call->key = rng_mix(rng_mix(ret_call->disk.device, ret_call->disk.inode), ret_call->birth);
    if (ret_call->key < KEY_FIRST)
        ret_call->key = KEY_FIRST;
    return true;
}

void unsynced_write(const struct judge *judge, struct occasion *occasion, const struct ruling *ruling)
{
    const struct ruling undone = { .acting = ruling->unsynced.count };
    uint64_t moves = disk_moves(occasion), size = moves < ruling->size_max ? moves : ruling->size_max;
    struct call call;
    int kept = look_up(judge, occasion, &call) ? -EAGAIN : -EBADF;

    for (int attempt = 0; kept == -EAGAIN && attempt < ROOM_TRIES_MAX; attempt++) {
        struct unsynced_file *file = enter(&call, true);

        kept = file ? keep(&call, file, size) : -ENOSPC;
        if (file)
            leave(file);
        if (kept == -EAGAIN)
            syscall(SYS_sched_yield);
    }
    if (kept < 0)
        judge_take_back(&undone);
}

uint64_t unsynced_mark(const struct judge *judge, struct occasion *occasion)
{
    struct unsynced_file *file;
    struct call call;
    uint64_t last = 0;

    file = look_up(judge, occasion, &call) ? enter(&call, false) : NULL;
    if (file) {
        last = __atomic_load_n(&file->last, __ATOMIC_ACQUIRE);
        leave(file);
    }
    return last;
}

void unsynced_sync(const struct judge *judge, struct occasion *occasion, uint64_t mark)
{
    struct unsynced_file *file;
    struct call call;

    file = mark && look_up(judge, occasion, &call) ? enter(&call, false) : NULL;
    if (file) {
        uint64_t synced = __atomic_load_n(&file->synced, __ATOMIC_ACQUIRE);

        while (synced < mark && !__atomic_compare_exchange_n(&file->synced, &synced, mark, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
            ;
        leave(file);
    }
}
