/* A file replaced whole. */
#include "controller/toxiproxy/state.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *directory = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : strdup(".");
    AUTO_CLOSE int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int state_write(const char *path, const char *text, size_t size)
{
    char temporary[PATH_MAX];
    AUTO_CLOSE int fd = -1;
    int result;

    if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
        return -ENAMETOOLONG;
    fd = mkostemp(temporary, O_CLOEXEC); /* 0600 (mkstemp(3)) */
    if (fd < 0)
        return -errno;
    result = file_write_all(fd, text, size);
    if (!result && fsync(fd) < 0)
        result = -errno;
    if (!result && rename(temporary, path) < 0)
        result = -errno;
    if (result < 0)
        (void)unlink(temporary);
    return result < 0 ? result : sync_directory(path);
}
