#include "controller/look/pages.h"

#include "shims/host/inspect.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

int pages_registry(const char *command, struct registry *ret_registry, struct errs *errs)
{
    int result = registry_open(ret_registry);
    char why[REGISTRY_FILE_MAX];

    if (result < 0)
        return errs_add(errs, ERR_WORLD, command, "%s", registry_explain(result, why, sizeof(why)));
    return 0;
}

struct search {
    const struct registry *registry;
    const char *pattern; /* NULL: all */
    pid_t pid;           /* not 0: this one, instead */
    struct pages *pages;
    size_t dropped;
};

static bool has_process(const struct page *page, const struct search *search)
{
    static struct page_process processes[CONTROL_PROCESSES_MAX];
    size_t count = page_processes(page, processes, CONTROL_PROCESSES_MAX);

    for (size_t i = 0; i < count; i++)
        if (search->pid ? processes[i].pid == search->pid : !fnmatch(search->pattern, processes[i].comm, 0))
            return true;
    return false;
}

static bool is_wanted(const struct page *page, const struct search *search)
{
    struct page_state state;

    if (!search->pid)
        return !search->pattern || !fnmatch(search->pattern, page_name(page), 0) || has_process(page, search);
    page_state(page, &state);
    return state.owner_pid == (uint32_t)search->pid || has_process(page, search);
}

/* The walk closes its page: the one to keep is opened anew. */
static int add_wanted(struct page *page, void *context)
{
    struct search *search = context;
    struct pages *pages = search->pages;

    if (!is_wanted(page, search))
        return 0;
    if (pages->count == PAGES_MAX)
        search->dropped++;
    else if (page_open(search->registry, page_name(page), &pages->list[pages->count]) == 0)
        pages->count++;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(page_name(*(struct page *const *)a), page_name(*(struct page *const *)b));
}

/* Why a target has no page. A page of another version says so itself. */
static int refuse(const struct registry *registry, const char *target, pid_t pid, struct errs *errs)
{
    struct inspection *inspection = NULL;
    struct page *page = NULL;
    const char *reason = NULL;
    int result = pid > 0 ? inspect_process(pid, &inspection) : -ENOENT;
    int opened = pid > 0 ? -ENOENT : page_open(registry, target, &page);

    page_close(page);
    if (opened == -EPROTO)
        errs_add(errs, ERR_WORLD, target, "its control page is cut short, or of another version of perturb");
    else if (result == -ESRCH)
        errs_add(errs, ERR_WORLD, target, "there is no such process");
    else if (!result && (reason = inspect_unreachable(inspection)))
        errs_add(errs, ERR_WORLD, target, "%s", reason);
    else if (!result && inspection->has_page)
        errs_add(errs, ERR_WORLD, target, "its control page is none of this registry's: it was started by another user, or with another PERTURB_REGISTRY");
    else
        errs_add(errs, ERR_WORLD, target, "no page of that name and no process under the shim; `perturb ps` lists them");
    inspection_free(inspection);
    return -ENOENT;
}

int pages_select(const struct registry *registry, const char *target, struct pages *ret_pages, struct errs *errs)
{
    struct search search = { .registry = registry, .pattern = target, .pages = ret_pages };
    char *end = NULL;
    int result;
    long pid = target ? strtol(target, &end, 10) : 0;

    ret_pages->count = 0;
    if (end && !*end && end != target && pid > 0 && pid <= INT32_MAX)
        search.pid = (pid_t)pid;
    if (target && !search.pid && page_open(registry, target, &ret_pages->list[0]) == 0) {
        ret_pages->count = 1;
        return 0;
    }
    result = page_each(registry, add_wanted, &search);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, target ? target : "--all", "not every control page could be read: %s", strerror(-result));
    qsort(ret_pages->list, ret_pages->count, sizeof(ret_pages->list[0]), by_name);
    if (search.dropped)
        return errs_add(errs, ERR_WORLD, target ? target : "--all", "%zu control pages, more than the %d that can be had at once",
                        search.dropped + PAGES_MAX, PAGES_MAX);
    return ret_pages->count || !target ? 0 : refuse(registry, target, search.pid, errs);
}

void pages_close(struct pages *pages)
{
    for (size_t i = 0; i < pages->count; i++)
        page_close(pages->list[i]);
    pages->count = 0;
}
