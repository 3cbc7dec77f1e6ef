/* Attach and detach by page. Control plane. */
#include "shims/host/attach_page.h"

#include "scenarios/base/cleanup.h"
#include "shims/host/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { TRIES_MAX = 3 };

int attach_page_make(const struct registry *registry, const char *name, struct page **ret_page)
{
    struct page *old;
    int result = page_create(registry, name, ret_page);

    if (result != -EEXIST)
        return result;
    result = page_open(registry, name, &old);
    if (result == 0) {
        result = page_remove(old);
        page_close(old);
    }
    return result < 0 ? result : page_create(registry, name, ret_page);
}

static int refuse(pid_t pid, char why[ATTACH_WHY_MAX])
{
    struct inspection *inspection = NULL;
    char room[ATTACH_WHY_MAX];
    struct process_facts facts;
    const char *text = "there is no such process";

    if (process_facts_read(pid, &facts) == 0) {
        (void)inspect_process(pid, &inspection);
        text = attach_refusal(pid, &facts, inspection, room);
    }
    if (text)
        snprintf(why, ATTACH_WHY_MAX, "%s", text);
    inspection_free(inspection);
    return text ? -EOPNOTSUPP : 0;
}

static int open_library(char why[ATTACH_WHY_MAX])
{
    char path[PATH_MAX];
    int result = preload_find(path, sizeof(path)), fd;

    fd = result < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    result = result < 0 ? result : -errno;
    snprintf(why, ATTACH_WHY_MAX, "libperturb.so: %s", strerror(-result));
    return result;
}

int attach_page_add(const struct page *page, pid_t pid, int deadline_ms, struct attach_outcome *ret_outcome, char why[ATTACH_WHY_MAX])
{
    struct attach_order order = { .pid = pid, .deadline_ms = deadline_ms };
    AUTO_CLOSE int library_fd = -1, page_fd = -1;
    int result = refuse(pid, why);

    if (result < 0)
        return result;
    library_fd = open_library(why);
    if (library_fd < 0)
        return library_fd;
    page_fd = open(page_path(page), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (page_fd < 0) {
        result = -errno;
        snprintf(why, ATTACH_WHY_MAX, "%.300s: %s", page_path(page), strerror(errno));
        return result;
    }
    order.library_fd = library_fd;
    order.page_fd = page_fd;
    return attach_run(&order, ret_outcome, why);
}

/* A thread that was not given the processor in time is asked again; nothing has changed meanwhile. */
static int detach(const struct page_process *process, int deadline_ms, struct attach_outcome *ret_outcome, char why[ATTACH_WHY_MAX])
{
    const struct attach_order order = { process->pid, -1, -1, process->way_out, deadline_ms };
    int result = refuse(process->pid, why);

    if (result < 0)
        return result;
    for (int attempt = 1; (result = attach_run(&order, ret_outcome, why)) == -ETIMEDOUT && attempt < TRIES_MAX; attempt++)
        ;
    return result;
}

int attach_page_end(struct page *page, int deadline_ms, detach_report *report, void *context)
{
    struct page_process list[CONTROL_PROCESSES_MAX], now[CONTROL_PROCESSES_MAX];
    size_t count, left = 0;

    (void)page_release(page);
    count = page_processes(page, list, CONTROL_PROCESSES_MAX);
    for (size_t i = 0; i < count; i++) {
        struct attach_outcome outcome = { 0 };
        char why[ATTACH_WHY_MAX] = "";
        int result = detach(&list[i], deadline_ms, &outcome, why);

        left += result < 0;
        if (report)
            report(context, list[i].pid, result, &outcome, why);
    }
    if (left && page_processes(page, now, CONTROL_PROCESSES_MAX)) /* those that resisted may have gone by now */
        return -EBUSY;
    return page_remove(page);
}
