/* Finding processes of other pid namespaces. */
#include "shims/host/namespace.h"

#include "scenarios/base/cleanup.h"
#include "shims/host/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static uint64_t read_link(const char *path)
{
    char link[64];
    ssize_t length = readlink(path, link, sizeof(link) - 1);
    const char *place;

    link[length > 0 ? length : 0] = '\0';
    place = strchr(link, '[');
    return place ? strtoull(place + 1, NULL, 10) : 0;
}

uint64_t namespace_of_pids(void)
{
    return read_link("/proc/self/ns/pid");
}

/* The last number of the line NSpid is that of the innermost namespace, its own. */
static pid_t innermost(pid_t pid)
{
    char path[40], text[4096], *line, *end;
    AUTO_CLOSE int fd = -1;
    ssize_t got;
    long number = 0;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    line = strstr(text, "\nNSpid:");
    if (!line)
        return 0;
    line[1 + strcspn(line + 1, "\n")] = '\0';
    for (char *place = line + 7; *place; place = end) {
        long next = strtol(place, &end, 10);

        if (end == place)
            break;
        number = next;
    }
    return (pid_t)number;
}

static bool look_at(pid_t pid, uint64_t own_namespace, struct namespace_process *ret_process)
{
    struct process_id id;
    char path[40];

    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
    ret_process->pid = pid;
    ret_process->pid_namespace = read_link(path);
    if (!ret_process->pid_namespace || ret_process->pid_namespace == own_namespace || process_identify(pid, &id) < 0 ||
        !process_is_alive(&id))
        return false;
    ret_process->start_ticks = id.start_ticks;
    ret_process->inner = innermost(pid);
    return ret_process->inner > 0;
}

size_t namespace_list(struct namespace_process *list, size_t max)
{
    uint64_t own_namespace = namespace_of_pids();
    DIR *folder = opendir("/proc");
    const struct dirent *entry;
    size_t count = 0;

    while (folder && count < max && (entry = readdir(folder))) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);

        if (!*end && pid > 0)
            count += look_at((pid_t)pid, own_namespace, &list[count]);
    }
    if (folder)
        closedir(folder);
    return count;
}
