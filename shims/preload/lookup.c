/* What is behind a descriptor, an address, a return address: asked only when an armed rule needs to know. */
#include "shims/preload/shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* "/proc/self/fd/N", or the working directory for AT_FDCWD, read as a link. Returns its length, 0 when unknown or too long. */
static size_t read_fd_link(int fd, char *room, size_t size)
{
    int saved = errno;
    char name[40] = "/proc/self/fd/";
    ssize_t got;

    if (fd == AT_FDCWD) {
        memcpy(name, "/proc/self/cwd", sizeof("/proc/self/cwd"));
    } else if (fd < 0) {
        return 0;
    } else {
        judge_number((unsigned)fd, name + strlen(name));
    }
    got = syscall(SYS_readlinkat, AT_FDCWD, name, room, size - 1);
    errno = saved;
    if (got <= 0 || (size_t)got >= size - 1)
        return 0;
    room[got] = '\0';
    return (size_t)got;
}

const char *shim_path_of(const struct occasion *occasion, char *room, size_t size)
{
    size_t length, rest;

    if (!occasion->path)
        return read_fd_link(occasion->fd, room, size) ? room : NULL;
    if (occasion->path[0] == '/')
        return occasion->path;
    if (!occasion->path[0]) /* AT_EMPTY_PATH: the descriptor itself */
        return read_fd_link(occasion->at, room, size) ? room : NULL;
    length = read_fd_link(occasion->at, room, size);
    rest = strlen(occasion->path);
    if (!length || length + rest + 2 > size)
        return NULL;
    if (room[length - 1] != '/')
        room[length++] = '/';
    memcpy(room + length, occasion->path, rest + 1);
    return room;
}

/* _dl_find_object takes no lock (glibc 2.35), unlike dladdr; where it is missing the caller is unknown. */
extern int _dl_find_object(void *address, struct dl_find_object *ret_object) __attribute__((weak));

static char program[256]; /* the file name of what this process executes, which its link map does not tell; "": unknown */

void shim_name_program(void)
{
    char path[PATH_MAX];
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof(path) - 1);
    const char *slash;
    size_t size;

    if (length <= 0)
        return;
    path[length] = '\0';
    slash = strrchr(path, '/');
    size = strlen(slash ? slash + 1 : path) + 1;
    if (size <= sizeof(program))
        memcpy(program, slash ? slash + 1 : path, size);
}

const char *shim_caller_of(const void *address, char *room, size_t size)
{
    struct dl_find_object object;
    const char *name, *slash;

    (void)room, (void)size;
    if (!_dl_find_object || _dl_find_object((void *)(uintptr_t)address, &object) < 0 || !object.dlfo_link_map)
        return NULL;
    name = object.dlfo_link_map->l_name;
    if (!name[0])
        return program[0] ? program : NULL;
    slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

bool shim_site_of(const void *address, struct judge_site *ret_site)
{
    char room[512];
    const char *name = shim_caller_of(address, room, sizeof(room));
    struct dl_find_object object;
    size_t length;

    if (!name || _dl_find_object((void *)(uintptr_t)address, &object) < 0)
        return false;
    length = strnlen(name, CONTROL_MODULE_MAX - 1);
    memcpy(ret_site->module, name, length);
    ret_site->module[length] = '\0';
    ret_site->offset = (uintptr_t)address - object.dlfo_link_map->l_addr;
    return true;
}

const struct sockaddr *shim_peer_of(const struct occasion *occasion, struct sockaddr_storage *room)
{
    socklen_t length = occasion->length;

    memset(room, 0, sizeof(*room));
    if (occasion->address && length >= sizeof(sa_family_t) && length <= sizeof(*room)) {
        memcpy(room, occasion->address, length);
        return (const struct sockaddr *)room;
    }
    length = sizeof(*room);
    return occasion->fd >= 0 && !getpeername(occasion->fd, (struct sockaddr *)room, &length) ? (const struct sockaddr *)room : NULL;
}
