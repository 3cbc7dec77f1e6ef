/* Control groups of a run. */
#include "shims/host/group.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FREEZE_TIMEOUT_MS = 2000, FILE_MAX = 64 << 10 };

/* Where version 2 is mounted: the mount point's field of mountinfo, whose type field is "cgroup2". */
static int find_mount(char *path, size_t size)
{
    struct buf text;
    int result = -ENOTSUP;
    char *line, *rest;

    buf_init(&text, 1 << 20);
    buf_read_file(&text, "/proc/self/mountinfo");
    for (line = strtok_r(text.data, "\n", &rest); line && result < 0; line = strtok_r(NULL, "\n", &rest)) {
        char mount_point[GROUP_PATH_MAX];

        if (strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %*s %319s", mount_point) == 1 &&
            snprintf(path, size, "%s", mount_point) < (int)size)
            result = 0;
    }
    buf_done(&text);
    return result;
}

/* Our own group below the mount: the "0::" line of /proc/self/cgroup. */
static int find_own(char *path, size_t size)
{
    char mount_point[GROUP_PATH_MAX];
    const char *line;
    struct buf text;
    int result = find_mount(mount_point, sizeof(mount_point));

    if (result < 0)
        return result;
    buf_init(&text, FILE_MAX);
    buf_read_file(&text, "/proc/self/cgroup");
    line = strstr(text.data, "0::/");
    if (line && line[4] == '\n')
        line++; /* the root: the mount point itself */
    if (!line || snprintf(path, size, "%s%.*s", mount_point, (int)strcspn(line + 3, "\n"), line + 3) >= (int)size)
        result = -ENOTSUP;
    buf_done(&text);
    return result;
}

static int write_file(const char *path, const char *file, const char *text)
{
    char name[GROUP_PATH_MAX + 32];
    AUTO_CLOSE int fd = -1;

    snprintf(name, sizeof(name), "%s/%s", path, file);
    fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int read_file(const char *path, const char *file, struct buf *text)
{
    char name[GROUP_PATH_MAX + 32];

    snprintf(name, sizeof(name), "%s/%s", path, file);
    buf_init(text, FILE_MAX);
    return buf_read_file(text, name);
}

int group_locate(const char *parent, const char *name, char path[GROUP_PATH_MAX])
{
    char own[GROUP_PATH_MAX];

    if (!parent && find_own(own, sizeof(own)) < 0)
        return -ENOTSUP;
    return snprintf(path, GROUP_PATH_MAX, "%s/%s", parent ? parent : own, name) >= GROUP_PATH_MAX ? -ENAMETOOLONG : 0;
}

int group_path(const char *name, char path[GROUP_PATH_MAX])
{
    char mount_point[GROUP_PATH_MAX];
    int result = find_mount(mount_point, sizeof(mount_point));

    if (result < 0)
        return result;
    return snprintf(path, GROUP_PATH_MAX, "%s%s", mount_point, name) >= GROUP_PATH_MAX ? -ENAMETOOLONG : 0;
}

int group_level(const char *path, unsigned *ret_level)
{
    char mount_point[GROUP_PATH_MAX];
    int result = find_mount(mount_point, sizeof(mount_point));
    unsigned level = 0;
    size_t length;

    if (result < 0)
        return result;
    length = strlen(mount_point);
    if (strncmp(path, mount_point, length) != 0 || path[length] != '/')
        return -ENOTSUP;
    for (const char *at = path + length; *at; at++)
        level += *at == '/' && at[1] && at[1] != '/';
    *ret_level = level;
    return level ? 0 : -ENOTSUP;
}

int group_create(const char *parent, const char *name, char path[GROUP_PATH_MAX])
{
    int result = group_locate(parent, name, path);

    if (result < 0)
        return result;
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return errno == EACCES || errno == EROFS || errno == EPERM ? -ENOTSUP : -errno;
    return access(path, W_OK) < 0 ? -ENOTSUP : 0;
}

int group_enter(const char *path, pid_t pid)
{
    char text[24];

    snprintf(text, sizeof(text), "%d", (int)pid);
    return write_file(path, "cgroup.procs", text);
}

static bool event_is(const char *path, const char *line)
{
    struct buf text;
    bool found = read_file(path, "cgroup.events", &text) == 0 && strstr(text.data, line);

    buf_done(&text);
    return found;
}

/* cgroup.events wakes a poll with POLLPRI when it changes. */
static int wait_event(const char *path, const char *line, int timeout_ms)
{
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    char name[GROUP_PATH_MAX + 32];
    AUTO_CLOSE int fd = -1;

    snprintf(name, sizeof(name), "%s/cgroup.events", path);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (!event_is(path, line)) {
        char byte;

        if (clock_now_ns() >= deadline_ns)
            return -ETIMEDOUT;
        (void)!pread(fd, &byte, 1, 0);
        poll(&(struct pollfd){ .fd = fd, .events = POLLPRI }, 1, 20);
    }
    return 0;
}

int group_freeze(const char *path, bool frozen)
{
    int result = write_file(path, "cgroup.freeze", frozen ? "1" : "0");

    return result < 0 ? result : wait_event(path, frozen ? "frozen 1" : "frozen 0", FREEZE_TIMEOUT_MS);
}

int group_kill(const char *path)
{
    return write_file(path, "cgroup.kill", "1");
}

bool group_is_empty(const char *path)
{
    return access(path, F_OK) < 0 || event_is(path, "populated 0");
}

int group_wait_empty(const char *path, int timeout_ms)
{
    return access(path, F_OK) < 0 ? 0 : wait_event(path, "populated 0", timeout_ms);
}

/* A target may have made groups of its own below the one it was given. */
int group_remove(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;

    if (!directory)
        return errno == ENOENT ? 0 : -errno;
    while ((entry = readdir(directory))) {
        char below[GROUP_PATH_MAX];

        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) < (int)sizeof(below))
            group_remove(below);
    }
    closedir(directory);
    return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

static size_t pids_of(const char *path, pid_t *list, size_t max)
{
    struct buf text;
    size_t count = 0;
    char *line, *rest;

    if (read_file(path, "cgroup.procs", &text) == 0)
        for (line = strtok_r(text.data, "\n", &rest); line && count < max; line = strtok_r(NULL, "\n", &rest))
            list[count++] = (pid_t)strtol(line, NULL, 10);
    buf_done(&text);
    return count;
}

size_t group_pids(const char *path, pid_t *list, size_t max)
{
    size_t count = pids_of(path, list, max);
    DIR *directory = opendir(path);
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        char below[GROUP_PATH_MAX];

        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) < (int)sizeof(below))
            count += group_pids(below, list + count, max - count);
    }
    if (directory)
        closedir(directory);
    return count;
}
