/* All pages of a registry: walking over them, and sweeping those that nobody can use any more. Control plane. */
#include "shims/host/page.h"

#include "scenarios/base/clock.h"
#include "scenarios/base/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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
