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
enum { TRIES_MAX = 16 };

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

/* The entry of a file, with us as a pending writer; NULL when there is none and none can be had. */
static struct unsynced_file *enter(const struct call *call, bool make)
{
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < UNSYNCED_FILES_MAX; i++) {
            struct unsynced_file *file = &call->log->files[i];
            uint64_t found = __atomic_load_n(&file->key, __ATOMIC_ACQUIRE);
            bool takes = make && ((round == 1 && found == KEY_FREE) || (round == 2 && found != KEY_TAKING && is_clean(file)));

            if (found != call->key && !(takes && take_entry(call, file, found)))
                continue;
            __atomic_fetch_add(&file->pending, 1, __ATOMIC_SEQ_CST);
            if (__atomic_load_n(&file->key, __ATOMIC_SEQ_CST) == call->key)
                return file;
            __atomic_fetch_sub(&file->pending, 1, __ATOMIC_SEQ_CST); /* given to another file meanwhile */
        }
    return NULL;
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

/* `own` is the caller's, in which it alone may be pending. */
static bool make_room(struct unsynced_log *log, const struct unsynced_file *own)
{
    uint64_t head = __atomic_load_n(&log->head, __ATOMIC_SEQ_CST), tail = __atomic_load_n(&log->tail, __ATOMIC_ACQUIRE), low = head;

    for (size_t i = 0; i < UNSYNCED_FILES_MAX; i++) {
        const struct unsynced_file *file = &log->files[i];
        uint64_t oldest;

        if (__atomic_load_n(&file->pending, __ATOMIC_SEQ_CST) > (file == own))
            return false;
        oldest = oldest_of(log, file, tail);
        low = oldest < low ? oldest : low;
    }
    return low > tail && __atomic_compare_exchange_n(&log->tail, &tail, low, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Room for a record in one piece. 0: there is none. */
static uint64_t take_room(struct unsynced_log *log, const struct unsynced_file *own, uint64_t length)
{
    uint64_t size = (sizeof(struct unsynced_record) + length + UNSYNCED_ALIGN - 1) / UNSYNCED_ALIGN * UNSYNCED_ALIGN;
    uint64_t head = __atomic_load_n(&log->head, __ATOMIC_SEQ_CST), begin;
    bool again = true;

    if (size > UNSYNCED_RECORD_MAX)
        return 0;
    for (;;) {
        begin = head % UNSYNCED_RING + size > UNSYNCED_RING ? (head / UNSYNCED_RING + 1) * UNSYNCED_RING : head;
        if (begin + size - __atomic_load_n(&log->tail, __ATOMIC_SEQ_CST) > UNSYNCED_RING) {
            if (!again || !make_room(log, own))
                return 0;
            again = false;
            head = __atomic_load_n(&log->head, __ATOMIC_SEQ_CST);
        } else if (__atomic_compare_exchange_n(&log->head, &head, begin + size, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            return begin;
        }
    }
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

/* Room that was taken and not linked is passed over. */
static bool keep(const struct call *call, struct unsynced_file *file, uint64_t size)
{
    const struct disk_file *disk = &call->disk;
    uint64_t length = disk->offset >= disk->size ? 0 : disk->size - disk->offset;

    length = length < size ? length : size;
    for (int attempt = 0; attempt < TRIES_MAX; attempt++) {
        uint64_t position = take_room(call->log, file, length);
        struct unsynced_record *record = record_at(call->log, position);

        if (!position)
            return false;
        *record = (struct unsynced_record){ 0, disk->offset, length, disk->size, size };
        if (length && !read_whole(call->fd, (char *)(record + 1), length, disk->offset))
            return false;
        if (link_record(call->log, file, position) == 0)
            return true;
    }
    return false;
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
    struct unsynced_file *file;
    struct call call;
    bool kept = false;

    file = look_up(judge, occasion, &call) ? enter(&call, true) : NULL;
    if (file) {
        kept = keep(&call, file, size);
        leave(file);
    }
    if (!kept)
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
