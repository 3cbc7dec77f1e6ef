/* The open file behind a call. */
#include "shims/judge/judge.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BLOCK_DEFAULT = 4096 }; /* of a stream that has no buffer yet */

/* What has regular files and no disk behind them. tmpfs counts as a disk: tests live on it. */
static bool is_pseudo(const struct statfs *system)
{
    switch ((unsigned long)system->f_type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case BPF_FS_MAGIC:
        return true;
    default:
        return false;
    }
}

static bool is_disk(const struct stat *status)
{
    return S_ISREG(status->st_mode) || S_ISBLK(status->st_mode);
}

bool disk_file(int fd, uint64_t place, struct disk_file *ret_file)
{
    struct stat status;
    struct statfs system;
    int64_t offset;
    int flags;

    if (fd < 0 || fstat(fd, &status) < 0 || !is_disk(&status) || syscall(SYS_fstatfs, fd, &system) < 0 || is_pseudo(&system))
        return false;
    flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
    offset = place ? (int64_t)(place - 1) : syscall(SYS_lseek, fd, 0, SEEK_CUR);
    if (flags < 0 || offset < 0)
        return false;
    *ret_file = (struct disk_file){
        .device = status.st_dev,
        .inode = status.st_ino,
        .size = S_ISBLK(status.st_mode) ? UINT64_MAX / 2 : (uint64_t)status.st_size, /* a device does not grow */
        .offset = (uint64_t)offset,
        .appends = flags & O_APPEND,
        .is_synced = flags & (O_SYNC | O_DSYNC),
    };
    return true;
}

/* glibc fills its buffer, writes that and all further whole blocks, and keeps the rest. */
uint64_t disk_moves(const struct occasion *occasion)
{
    uint64_t total, block;

    if (!occasion->file)
        return occasion->size;
    total = occasion->size + __fpending(occasion->file);
    block = __fbufsize(occasion->file);
    if (occasion->is_flush || __flbf(occasion->file) || block == 1)
        return total;
    block = block ? block : BLOCK_DEFAULT;
    return total <= block ? 0 : total / block * block;
}

bool disk_of(const struct judge_facts *facts, struct occasion *occasion, struct disk_file *ret_file)
{
    uint64_t place = occasion->place;

    if (occasion->file && (occasion->points & POINT_BIT(read)))
        place = AT_PLACE(ftello(occasion->file)); /* the descriptor is ahead of what the program has read */
    if (!disk_file(facts->own_fd(occasion), place, ret_file))
        return false;
    if (ret_file->appends && (occasion->points & POINT_BIT(write)))
        ret_file->offset = ret_file->size;
    return true;
}

bool disk_opens(const struct judge_facts *facts, const struct occasion *occasion)
{
    char room[512];
    const char *path = facts->path(occasion, room, sizeof(room));
    struct stat status;
    struct statfs system;

    if (!path || syscall(SYS_newfstatat, AT_FDCWD, path, &status, 0) < 0)
        return path && (occasion->flags & O_CREAT);
    return is_disk(&status) && !(syscall(SYS_statfs, path, &system) < 0 || is_pseudo(&system));
}
