/* What a descriptor is: asked only when an armed rule needs to know. No call that is wrapped. */
#include "shims/judge/judge.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static enum fd_kind socket_kind(int fd)
{
    int type = 0, domain = 0;
    socklen_t length = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_STREAM)
        return KIND_PACKETS;
    length = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 || (domain != AF_INET && domain != AF_INET6))
        return KIND_STREAM;
    return KIND_TCP;
}

enum fd_kind judge_fd_kind(int fd)
{
    struct stat status;
    int flags;

    if (fd < 0 || syscall(SYS_fstat, fd, &status) < 0)
        return KIND_OTHER;
    if (S_ISSOCK(status.st_mode))
        return socket_kind(fd);
    if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode))
        return KIND_OTHER;
    flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
    return flags < 0 || (flags & O_DIRECT) ? KIND_OTHER : KIND_BYTES;
}
