/* All pages of a registry: walking over them, and sweeping those that nobody can use any more. Control plane. */
#include "shims/host/page.h"

#include "scenarios/base/clock.h"
#include "scenarios/base/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static DIR *open_pages(const struct registry *registry)
{
    int fd = openat(registry->fd, "pages", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);

    if (fd >= 0 && !folder)
        close(fd);
    return folder;
}

int page_each(const struct registry *registry, int (*each)(struct page *page, void *context), void *context)
{
    DIR *folder = open_pages(registry);
    const struct dirent *entry;
    int result = 0, missed = 0;

    if (!folder)
        return -errno;
    while (!result && (errno = 0, entry = readdir(folder))) {
        struct page *page;
        int opened = page_open(registry, entry->d_name, &page);

        if (opened < 0) {
            missed = err_is_shortage(opened) ? opened : missed;
            continue;
        }
        result = each(page, context);
        page_close(page);
    }
    missed = !entry && errno ? -errno : missed;
    closedir(folder);
    return result ? result : missed;
}

/* The first fields never change between versions (control.h rule 1). */
static uint32_t version_of(const struct registry *registry, const char *name)
{
    uint32_t head[2] = { 0, 0 }; /* magic, version */
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "pages/%s", name);
    fd = openat(registry->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    if (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) || head[0] != CONTROL_MAGIC)
        head[1] = 0;
    close(fd);
    return head[1];
}

size_t page_strangers(const struct registry *registry, struct page_strange *list, size_t max)
{
    DIR *folder = open_pages(registry);
    const struct dirent *entry;
    size_t count = 0;

    while (folder && count < max && (entry = readdir(folder))) {
        struct page *page;
        int opened = page_open(registry, entry->d_name, &page);

        if (!opened)
            page_close(page);
        if (opened != -EPROTO)
            continue;
        list[count].version = version_of(registry, entry->d_name);
        snprintf(list[count].name, sizeof(list[count].name), "%.63s", entry->d_name);
        count++;
    }
    if (folder)
        closedir(folder);
    return count;
}

static int sweep_one(struct page *page, void *context)
{
    struct page_process process;
    struct page_state state;
    size_t *swept = context;

    page_state(page, &state);
    if (state.owner_alive || state.armed || page_processes(page, &process, 1))
        return 0;
    if (!page_remove(page))
        (*swept)++;
    return 0;
}

/* Drafts (".PID.NAME") whose maker was killed before it could name the page. */
static void sweep_drafts(const struct registry *registry)
{
    DIR *folder = open_pages(registry);
    const struct dirent *entry;

    if (!folder)
        return;
    while ((entry = readdir(folder))) {
        char *end;
        long pid = entry->d_name[0] == '.' ? strtol(entry->d_name + 1, &end, 10) : 0;

        if (pid > 0 && *end == '.' && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    }
    closedir(folder);
}

size_t page_sweep(const struct registry *registry)
{
    size_t swept = 0;

    (void)page_each(registry, sweep_one, &swept);
    sweep_drafts(registry);
    return swept;
}
