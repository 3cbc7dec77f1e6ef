/* What the kernel tells of a target, worded as it words it: proc(5). */
#include "controller/probe/probe_priv.h"

#include "shims/host/process.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PART_MAX = 65536 };

/* A file under /proc, under a heading; nothing when it cannot be read. */
static void put_file(struct buf *content, const char *path)
{
    struct buf part;

    buf_init(&part, PART_MAX);
    if (buf_read_file(&part, path) == 0 || part.length)
        buf_printf(content, "--- %s\n%s%s", path, part.data, part.length && part.data[part.length - 1] == '\n' ? "" : "\n");
    buf_done(&part);
}

static void put_links(struct buf *content, pid_t pid)
{
    char path[64], target[512];
    DIR *directory;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    buf_printf(content, "--- %s\n", path);
    directory = opendir(path);
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory)) {
        ssize_t length = entry->d_name[0] == '.' ? -1 : readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);

        if (length < 0)
            continue;
        target[length] = '\0';
        buf_printf(content, "%s -> %s\n", entry->d_name, target);
    }
    if (directory)
        closedir(directory);
}

/* Each thread: its name, its state, what it waits for in the kernel. */
static void put_tasks(struct buf *content, pid_t pid)
{
    static const char *const files[] = { "comm", "wchan", "syscall", "stack" };
    char path[128];
    DIR *directory;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    directory = opendir(path);
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory))
        for (size_t i = 0; entry->d_name[0] != '.' && i < sizeof(files) / sizeof(files[0]); i++) {
            snprintf(path, sizeof(path), "/proc/%d/task/%.20s/%s", (int)pid, entry->d_name, files[i]);
            put_file(content, path);
        }
    if (directory)
        closedir(directory);
}

int evidence_proc(struct reading *reading, const char *target, struct buf *content)
{
    static const char *const files[] = { "status", "limits", "cgroup", "io", "sched", "smaps_rollup", "net/sockstat" };
    pid_t pid = reading->world->target_pid(reading->world->context, target);
    struct process_id *list = calloc(PROCESS_LIST_MAX, sizeof(*list));
    int count = !list ? -ENOMEM : pid ? process_tree(pid, list, PROCESS_LIST_MAX) : 0;
    char path[64];

    for (int i = 0; i < count && !reading_is_over(reading); i++) {
        for (size_t j = 0; j < sizeof(files) / sizeof(files[0]); j++) {
            snprintf(path, sizeof(path), "/proc/%d/%s", (int)list[i].pid, files[j]);
            put_file(content, path);
        }
        put_links(content, list[i].pid);
        put_tasks(content, list[i].pid);
    }
    free(list);
    if (count < 0)
        return reading_fail(reading, "the processes cannot be read: %s", strerror(-count));
    return count ? 0 : reading_fail(reading, "target '%s' does not run", target);
}
