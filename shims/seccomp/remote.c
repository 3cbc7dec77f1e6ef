/* Reading the target from outside. */
#include "shims/seccomp/remote.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { LINE_PAGE = 4096 };

#define SIGNAL_BIT(number) (UINT64_C(1) << ((number) - 1))

int remote_read(pid_t pid, const void *from, void *data, size_t size)
{
    struct iovec ours = { data, size }, theirs = { (void *)(uintptr_t)from, size };
    ssize_t got = from ? process_vm_readv(pid, &ours, 1, &theirs, 1, 0) : -1;

    if (got < 0)
        return from ? -errno : -EFAULT;
    return (size_t)got == size ? 0 : -EFAULT;
}

int remote_write(pid_t pid, void *to, const void *data, size_t size)
{
    struct iovec ours = { (void *)(uintptr_t)data, size }, theirs = { to, size };
    ssize_t put = process_vm_writev(pid, &ours, 1, &theirs, 1, 0);

    if (put < 0)
        return -errno;
    return (size_t)put == size ? 0 : -EFAULT;
}

/* By pages: what comes after the text may not be mapped. */
int remote_text(pid_t pid, const char *from, char *text, size_t size)
{
    size_t used = 0;

    while (used < size) {
        size_t part = LINE_PAGE - (uintptr_t)(from + used) % LINE_PAGE;
        int result;

        if (part > size - used)
            part = size - used;
        result = remote_read(pid, from + used, text + used, part);
        if (result < 0)
            return result;
        if (memchr(text + used, '\0', part))
            return 0;
        used += part;
    }
    return -ENAMETOOLONG;
}

int remote_fd(int pidfd, int fd)
{
    int ours = fd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

    return ours < 0 ? (fd < 0 ? -EBADF : -errno) : ours;
}

/* A descriptor of theirs, or their working directory, as a link. Its length, 0 when unknown or too long. */
static size_t read_link(pid_t pid, int fd, char *room, size_t size)
{
    char name[48];
    ssize_t got;

    if (fd == AT_FDCWD)
        snprintf(name, sizeof(name), "/proc/%d/cwd", (int)pid);
    else
        snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)pid, fd);
    got = readlink(name, room, size - 1);
    if (got <= 0 || (size_t)got >= size - 1)
        return 0;
    room[got] = '\0';
    return (size_t)got;
}

const char *remote_path(pid_t pid, const struct occasion *occasion, char *room, size_t size)
{
    size_t length;
    char first;

    if (!occasion->path)
        return read_link(pid, occasion->fd, room, size) ? room : NULL;
    if (remote_read(pid, occasion->path, &first, 1) < 0)
        return NULL;
    if (first == '/')
        return remote_text(pid, occasion->path, room, size) < 0 ? NULL : room;
    length = read_link(pid, occasion->at, room, size);
    if (!length || length + 2 > size)
        return NULL;
    if (!first) /* AT_EMPTY_PATH: the descriptor itself */
        return room;
    if (room[length - 1] != '/')
        room[length++] = '/';
    return remote_text(pid, occasion->path, room + length, size - length) < 0 ? NULL : room;
}

const char *remote_name(pid_t pid, pid_t tid, char room[RULE_THREAD_MAX])
{
    char name[64];
    AUTO_CLOSE int fd = -1;
    ssize_t length;

    snprintf(name, sizeof(name), "/proc/%d/task/%d/comm", (int)pid, (int)tid);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? -1 : read(fd, room, RULE_THREAD_MAX);
    if (length <= 0)
        return NULL;
    room[length - 1] = '\0'; /* the newline */
    return room;
}

static uint64_t field(const char *text, const char *name, int base)
{
    const char *place = strstr(text, name);

    return place ? strtoull(place + strlen(name), NULL, base) : 0;
}

bool remote_has_signal(pid_t pid, pid_t tid)
{
    const uint64_t stops = SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU);
    char name[64], text[4096];
    AUTO_CLOSE int fd = -1;
    uint64_t pending, welcome;
    ssize_t length;

    snprintf(name, sizeof(name), "/proc/%d/task/%d/status", (int)pid, (int)tid);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (length <= 0)
        return false;
    text[length] = '\0';
    welcome = (field(text, "\nSigCgt:", 16) | (stops & ~field(text, "\nSigIgn:", 16))) & ~field(text, "\nSigBlk:", 16);
    pending = field(text, "\nSigPnd:", 16);
    if (field(text, "\nThreads:", 10) == 1)
        pending |= field(text, "\nShdPnd:", 16);
    return (pending & welcome) != 0;
}
