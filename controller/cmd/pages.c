#include "controller/cmd/pages.h"

#include "shims/host/inspect.h"

#include <errno.h>
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

struct wanted {
    pid_t pid;
    char name[CONTROL_NAME_MAX];
};

static int match_pid(struct page *page, void *context)
{
    struct page_process processes[CONTROL_PROCESSES_MAX];
    size_t count = page_processes(page, processes, CONTROL_PROCESSES_MAX);
    struct wanted *wanted = context;
    struct page_state state;

    page_state(page, &state);
    for (size_t i = 0; i < count; i++)
        if (processes[i].pid == wanted->pid)
            state.owner_pid = (uint32_t)wanted->pid;
    if (state.owner_pid != (uint32_t)wanted->pid)
        return 0;
    memcpy(wanted->name, page_name(page), strlen(page_name(page)) + 1);
    return 1;
}

void pages_each(const char *command, const struct registry *registry, int (*each)(struct page *page, void *context), void *context,
                struct errs *errs)
{
    int result = page_each(registry, each, context);

    if (result < 0)
        errs_add(errs, ERR_WORLD, command, "not every control page could be read: %s", strerror(-result));
}

static int refuse(const char *target, pid_t pid, struct errs *errs)
{
    struct inspection *inspection = NULL;
    const char *reason = NULL;
    int result = pid > 0 ? inspect_process(pid, &inspection) : -ENOENT;

    if (result == -ESRCH)
        errs_add(errs, ERR_WORLD, target, "there is no such process");
    else if (!result && (reason = inspect_unreachable(inspection)))
        errs_add(errs, ERR_WORLD, target, "%s", reason);
    else
        errs_add(errs, ERR_WORLD, target, "no page of that name and no process under the shim; `perturb ps` lists them");
    inspection_free(inspection);
    return -ENOENT;
}

int pages_find(const struct registry *registry, const char *target, struct page **ret_page, struct errs *errs)
{
    struct wanted wanted = { .name = "" };
    char *end;
    long pid = strtol(target, &end, 10);
    int result;

    if (*end || end == target || pid <= 0 || pid > INT32_MAX) {
        result = page_open(registry, target, ret_page);
        return result < 0 ? refuse(target, 0, errs) : 0;
    }
    wanted.pid = (pid_t)pid;
    result = page_each(registry, match_pid, &wanted);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, target, "not every control page could be read: %s", strerror(-result));
    if (result != 1)
        return refuse(target, wanted.pid, errs);
    result = page_open(registry, wanted.name, ret_page);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, target, "%s", strerror(-result));
    return 0;
}
