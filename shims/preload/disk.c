/* The disk faults around a call, and stdio's own ways. */
#include "shims/preload/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int64_t shim_tear(const struct occasion *occasion, const struct ruling *ruling)
{
    const struct iovec whole = { (void *)(uintptr_t)occasion->data, (size_t)occasion->size };
    bool is_flat = occasion->data != NULL;
    int saved = errno;
    int64_t result;

    shim_self.depth++;
    result = disk_tear(occasion->fd, &ruling->torn, occasion->place, is_flat ? &whole : occasion->parts,
                       is_flat ? 1 : occasion->part_count, occasion->size);
    shim_self.depth--;
    if (result < 0)
        judge_take_back(ruling);
    else if (ruling->torn.then_crash)
        syscall(SYS_kill, getpid(), SIGKILL);
    errno = result < 0 ? (int)-result : saved;
    return result < 0 ? -1 : result;
}

/* A torn write keeps what it replaces as well: the part that reached the file may be lost like any other. */
void shim_before(struct occasion *occasion, struct ruling *ruling)
{
    const struct judge judge = shim_judge();

    if (ruling->error || ruling->fake || !ruling->unsynced.count)
        return;
    shim_self.depth++;
    if (ruling->unsynced.is_sync)
        ruling->unsynced.mark = unsynced_mark(&judge, occasion);
    else
        unsynced_write(&judge, occasion, ruling);
    shim_self.depth--;
}

void shim_after(struct occasion *occasion, const struct ruling *ruling, int64_t result)
{
    const struct ruling undone = { .rot.count = ruling->rot.count };
    uint64_t size = result > 0 ? (uint64_t)result * (occasion->unit ? occasion->unit : 1) : 0;
    const struct iovec whole = { (void *)(uintptr_t)occasion->data, (size_t)size };
    const struct judge judge = shim_judge();
    bool is_flat = occasion->data != NULL;
    int saved = errno;

    shim_self.depth++;
    if (ruling->rot.count && !disk_rot(&ruling->rot, is_flat ? &whole : occasion->parts, is_flat ? 1 : occasion->part_count, size))
        judge_take_back(&undone);
    if (ruling->unsynced.is_sync && result == 0)
        unsynced_sync(&judge, occasion, ruling->unsynced.mark);
    shim_self.depth--;
    errno = saved;
}

/* musl has a function for it; in glibc the bit is compiled into programs by its header. A stream in use by another thread may
 * lose it: no lock is taken here. */
extern void __fseterr(FILE *file) __attribute__((weak));
extern const char *gnu_get_libc_version(void) __attribute__((weak));

void shim_stream_fails(FILE *file)
{
    if (__fseterr)
        __fseterr(file);
    else if (gnu_get_libc_version)
        __atomic_fetch_or(&file->_flags, _IO_ERR_SEEN, __ATOMIC_RELAXED);
}

int stream_fd(FILE *file)
{
    int saved = errno, fd = file ? fileno_unlocked(file) : -1;

    errno = saved;
    return fd;
}

int mode_flags(const char *mode)
{
    bool both = strchr(mode, '+') != NULL;

    switch (mode[0]) {
    case 'w':
        return O_CREAT | O_TRUNC | (both ? O_RDWR : O_WRONLY);
    case 'a':
        return O_CREAT | O_APPEND | (both ? O_RDWR : O_WRONLY);
    default:
        return both ? O_RDWR : O_RDONLY;
    }
}
