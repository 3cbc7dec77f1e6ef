/* Binding, and what it leaves in the file system. */
#include "injector/listen.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 4096 };

/* A path that a process left behind when it died, where nobody listens, is taken over; one where somebody does is in use. */
static void remove_dead_socket(const struct sockaddr_storage *address, socklen_t size)
{
    const struct sockaddr_un *un = (const void *)address;
    AUTO_CLOSE int fd = -1;
    struct stat found;

    if (address->ss_family != AF_UNIX || !un->sun_path[0] || lstat(un->sun_path, &found) < 0 || !S_ISSOCK(found.st_mode))
        return;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)address, size) < 0 && errno == ECONNREFUSED)
        (void)unlink(un->sun_path);
}

int listen_at(const struct sockaddr_storage *address, socklen_t size, int *ret_fd)
{
    AUTO_CLOSE int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    remove_dead_socket(address, size);
    if (address->ss_family != AF_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 ||
        bind(fd, (const struct sockaddr *)address, size) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

void listen_path(const struct sockaddr *address, char *text, size_t size)
{
    const struct sockaddr_un *un = (const void *)address;

    snprintf(text, size, "%s", address->sa_family == AF_UNIX ? un->sun_path : "");
}

void listen_remove(char *path)
{
    if (path[0])
        (void)unlink(path);
    path[0] = '\0';
}
