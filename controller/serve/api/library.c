/* See library.h: the files. What they say is in library_judge.c. */
#include "controller/serve/api/library.h"

#include "controller/serve/http/uri.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4096, NAMES_GROWTH = 64 };

static bool is_playbook(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json"));
}

static int add_name(struct library_names *names, const char *name)
{
    char **grown = names->list;

    if (names->count == LIBRARY_NAMES_MAX)
        return -E2BIG;
    if (names->count % NAMES_GROWTH == 0)
        grown = realloc(names->list, (names->count + NAMES_GROWTH) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    names->list = grown;
    names->list[names->count] = strdup(name);
    return names->list[names->count] ? (int)(names->count++, 0) : -ENOMEM;
}

/* Walks the folder `below` ("" is the directory itself), O_NOFOLLOW all the way. */
static int walk(int parent, const char *folder, const char *below, int depth, struct library_names *names)
{
    int fd = openat(parent, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth ? O_NOFOLLOW : 0)), result = 0;
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    struct stat facts;
    char name[PATH_BYTES];

    if (!stream) {
        result = -errno;
        if (fd >= 0)
            close(fd);
        return result;
    }
    while (result == 0 && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (snprintf(name, sizeof(name), "%s%s%s", below, *below ? "/" : "", entry->d_name) >= (int)sizeof(name) || !uri_is_name(name))
            continue;
        if (S_ISDIR(facts.st_mode) && depth < LIBRARY_DEPTH_MAX)
            result = walk(fd, entry->d_name, name, depth + 1, names);
        else if (S_ISREG(facts.st_mode) && is_playbook(name))
            result = add_name(names, name);
    }
    closedir(stream);
    return result;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int library_list(const char *directory, struct library_names *ret_names)
{
    struct library_names names = { .count = 0 };
    int result = walk(AT_FDCWD, directory, "", 0, &names);

    if (result == -ENOENT)
        result = 0;
    if (result < 0) {
        library_names_done(&names);
        return result;
    }
    if (names.count)
        qsort(names.list, names.count, sizeof(*names.list), by_bytes);
    *ret_names = names;
    return 0;
}

void library_names_done(struct library_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct library_names){ .count = 0 };
}

/* ---- files ---- */

bool library_is_name(const char *name)
{
    return uri_is_name(name) && is_playbook(name);
}

/* Opens the folder that the name lies in, link by link refused; `base` is its last part. A descriptor or -errno. */
static int open_folder(const char *directory, const char *name, bool make, const char **ret_base)
{
    char path[PATH_BYTES], *at = path, *slash;
    int fd, next, error;

    if (!library_is_name(name) || snprintf(path, sizeof(path), "%s", name) >= (int)sizeof(path))
        return -EINVAL;
    if (make && mkdir(directory, 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && (slash = strchr(at, '/')) != NULL) {
        *slash = '\0';
        if (make && mkdirat(fd, at, 0700) < 0 && errno != EEXIST)
            next = -1;
        else
            next = openat(fd, at, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        error = errno;
        close(fd);
        errno = error == ENOTDIR ? ENOENT : error;
        fd = next;
        at = slash + 1;
    }
    *ret_base = name + (at - path);
    return fd < 0 ? -errno : fd;
}

int library_read(const char *directory, const char *name, struct buf *source)
{
    AUTO_CLOSE int folder = -1;
    AUTO_CLOSE int fd = -1;
    const char *base;

    folder = open_folder(directory, name, false, &base);
    if (folder < 0)
        return folder;
    fd = openat(folder, base, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd < 0 ? -errno : buf_read_fd(source, fd);
}

static int write_draft(int folder, const char *draft, const char *source, size_t length)
{
    AUTO_CLOSE int fd = openat(folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int result;

    if (fd < 0)
        return -errno;
    result = file_write_all(fd, source, length);
    return result < 0 ? result : fsync(fd) < 0 ? -errno : 0;
}

int library_write(const char *directory, const char *name, const char *source, size_t length)
{
    AUTO_CLOSE int folder = -1;
    const char *base;
    char draft[40];
    int result;

    folder = open_folder(directory, name, true, &base);
    if (folder < 0)
        return folder;
    snprintf(draft, sizeof(draft), ".draft-%ld", (long)gettid());
    (void)unlinkat(folder, draft, 0);
    result = write_draft(folder, draft, source, length);
    if (result == 0 && (renameat(folder, draft, folder, base) < 0 || fsync(folder) < 0))
        result = -errno;
    if (result < 0)
        (void)unlinkat(folder, draft, 0);
    return result;
}

int library_remove(const char *directory, const char *name)
{
    AUTO_CLOSE int folder = -1;
    const char *base;

    folder = open_folder(directory, name, false, &base);
    if (folder < 0)
        return folder;
    return unlinkat(folder, base, 0) < 0 || fsync(folder) < 0 ? -errno : 0;
}
