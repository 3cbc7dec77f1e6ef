/* What a program's open connections carry: found through its descriptors, asked by duplicates of them. */
#include "controller/cmd/init.h"

#include "scenarios/base/cleanup.h"
#include "shims/host/process.h"
#include "shims/seccomp/remote.h"

#include <dirent.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/syscall.h>

enum { PROCESSES_MAX = 256, PATH_ROOM = 300 };

/* An accepted connection has the port that somebody here listens on. */
static bool is_accepted(const struct init_watch *watch, const struct sockaddr_storage *own, socklen_t length)
{
    const struct sighting local = { .length = length, .address = *own };

    for (size_t i = 0; i < watch->count; i++)
        if (sighting_is(&watch->list[i], WATCH_LISTEN) && sighting_port(&watch->list[i]) == sighting_port(&local))
            return true;
    return false;
}

static void look_at(struct init_watch *watch, int fd, pid_t pid)
{
    struct watch_event event = { .kind = WATCH_CONNECT, .tid = pid, .length = sizeof(event.address) };
    struct sockaddr_storage own;
    struct tcp_info info;
    socklen_t type_length = sizeof(event.type), own_length = sizeof(own), info_length = sizeof(info);
    struct sighting *place;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &event.type, &type_length) < 0 || event.type != SOCK_STREAM ||
        getpeername(fd, (struct sockaddr *)&event.address, &event.length) < 0 ||
        getsockname(fd, (struct sockaddr *)&own, &own_length) < 0 || (own.ss_family != AF_INET && own.ss_family != AF_INET6) ||
        is_accepted(watch, &own, own_length))
        return;
    place = sighting_of(watch, &event);
    if (!place)
        return;
    place->open++;
    memset(&info, 0, sizeof(info));
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_length) == 0)
        place->bytes += info.tcpi_bytes_acked + info.tcpi_bytes_received;
}

static void look_at_process(struct init_watch *watch, pid_t pid)
{
    AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    char path[PATH_ROOM], link[32];
    const struct dirent *entry;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    folder = pidfd < 0 ? NULL : opendir(path);
    if (!folder)
        return;
    while ((entry = readdir(folder))) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, link, sizeof(link));
        AUTO_CLOSE int fd = -1;

        if (length < 8 || memcmp(link, "socket:[", 8) != 0)
            continue;
        fd = remote_fd(pidfd, (int)strtol(entry->d_name, NULL, 10));
        if (fd >= 0)
            look_at(watch, fd, pid);
    }
    closedir(folder);
}

void init_open_look(struct init_watch *watch, bool begins)
{
    static struct process_id list[PROCESSES_MAX];
    int count = watch->pid > 0 ? process_tree(watch->pid, list, PROCESSES_MAX) : 0;

    pthread_mutex_lock(&watch->lock);
    for (size_t i = 0; i < watch->count; i++)
        watch->list[i].bytes = watch->list[i].open = 0;
    for (int i = 0; i < count; i++)
        look_at_process(watch, list[i].pid);
    for (size_t i = 0; i < watch->count && begins; i++) {
        watch->list[i].bytes_before = watch->list[i].bytes;
        watch->list[i].connects_before = watch->list[i].connects;
    }
    pthread_mutex_unlock(&watch->lock);
}
