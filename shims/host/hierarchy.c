/* Places of processes in the hierarchies of control groups. */
#include "shims/host/hierarchy.h"

#include "scenarios/base/buf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 64 << 10, MOUNTS_MAX = 1 << 20 };

static bool has_option(const char *options, size_t length, const char *wanted)
{
    size_t size = strlen(wanted);

    for (size_t at = 0; at < length; at += strcspn(options + at, ",\n") + 1)
        if (length - at >= size && !strncmp(options + at, wanted, size) && (at + size == length || options[at + size] == ','))
            return true;
    return false;
}

/* The mount of the hierarchy and what part of it is mounted there. Version 1 is asked for by its controller, an option of the
 * file system. */
static int find_mount(const char *mountinfo, const char *controller, char mount[GROUP_PATH_MAX], char root[GROUP_PATH_MAX])
{
    for (const char *line = mountinfo; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        const char *kind = memmem(line, length, controller ? " - cgroup " : " - cgroup2 ", controller ? 10 : 11);
        const char *options = kind;

        if (!kind || sscanf(line, "%*s %*s %*s %319s %319s", root, mount) != 2)
            continue;
        while (options < line + length && *options)
            options++;
        while (options > kind && options[-1] != ' ')
            options--;
        if (!controller || has_option(options, (size_t)(line + length - options), controller))
            return 0;
    }
    return -ENOTSUP;
}

/* The path of the process in one hierarchy: "N:a,memory,b:/PATH" or "0::/PATH". */
static int find_place(const char *cgroup, const char *controller, char path[GROUP_PATH_MAX])
{
    for (const char *line = cgroup; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *controllers = strchr(line, ':'), *place = controllers ? strchr(controllers + 1, ':') : NULL;
        size_t length = place ? (size_t)(place - controllers - 1) : 0;

        if (!place || place > line + strcspn(line, "\n") || (controller ? !has_option(controllers + 1, length, controller) : length > 0))
            continue;
        if (snprintf(path, GROUP_PATH_MAX, "%.*s", (int)strcspn(place + 1, "\n"), place + 1) < GROUP_PATH_MAX)
            return 0;
    }
    return -ENOTSUP;
}

static int join(const char *mount, const char *root, const char *place, char path[GROUP_PATH_MAX])
{
    size_t skip = strcmp(root, "/") != 0 && !strncmp(place, root, strlen(root)) ? strlen(root) : 0;

    place += skip;
    if (!strcmp(place, "/"))
        place = "";
    return snprintf(path, GROUP_PATH_MAX, "%s%s", mount, place) >= GROUP_PATH_MAX ? -ENAMETOOLONG : 0;
}

int hierarchy_parse(const char *mountinfo, const char *cgroup, const char *controller, char path[GROUP_PATH_MAX])
{
    char mount[GROUP_PATH_MAX], root[GROUP_PATH_MAX], place[GROUP_PATH_MAX];

    if (find_mount(mountinfo, controller, mount, root) < 0 || find_place(cgroup, controller, place) < 0)
        return -ENOTSUP;
    return join(mount, root, place, path);
}

int hierarchy_of(pid_t pid, const char *controller, char path[GROUP_PATH_MAX])
{
    struct buf mounts, cgroup;
    char file[64];
    int result;

    buf_init(&mounts, MOUNTS_MAX);
    buf_init(&cgroup, FILE_MAX);
    buf_read_file(&mounts, "/proc/self/mountinfo");
    snprintf(file, sizeof(file), pid ? "/proc/%d/cgroup" : "/proc/self/cgroup", (int)pid);
    result = buf_read_file(&cgroup, file);
    result = result < 0 ? -ESRCH : hierarchy_parse(mounts.data, cgroup.data, controller, path);
    buf_done(&mounts);
    buf_done(&cgroup);
    return result;
}
