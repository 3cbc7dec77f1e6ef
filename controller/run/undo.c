/* Verbs backwards. */
#include "controller/run/undo.h"

#include "scenarios/base/cleanup.h"
#include "shims/host/attach_page.h"
#include "shims/host/capture.h"
#include "shims/host/cut.h"
#include "shims/host/group.h"
#include "shims/host/memory.h"
#include "shims/host/page.h"
#include "shims/host/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { GONE_TIMEOUT_MS = 5000, DETACH_TIMEOUT_MS = 4000, ENTER_TIMEOUT_MS = 2 * ATTACH_PATIENCE_MS, ENTER_STEP_MS = 20 };

struct undo_verb {
    const char *name;
    int (*undo)(const char *argument); /* 0, 1 when there was nothing to do, -errno */
    bool ends_fault;
};

static int undo_group(const char *argument)
{
    int result;

    group_freeze(argument, false);
    result = group_kill(argument);
    if (result == -ENOENT)
        return 1;
    if (result == 0)
        result = group_wait_empty(argument, GONE_TIMEOUT_MS);
    return result < 0 ? result : group_remove(argument);
}

/* `count` may be the error of what made the list. */
static int kill_listed(const struct process_id *list, int count)
{
    int result = 0;

    if (count < 0)
        return count;
    for (int i = 0; i < count; i++)
        process_signal(&list[i], SIGKILL);
    for (int i = 0; i < count; i++) {
        waitpid(list[i].pid, NULL, WNOHANG);
        if (process_wait_gone(&list[i], GONE_TIMEOUT_MS) < 0)
            result = -EBUSY;
    }
    return count ? result : 1;
}

static int undo_process(const char *argument)
{
    struct process_id list[PROCESS_LIST_MAX / 4], id;

    if (process_parse(argument, &id) < 0)
        return -EINVAL;
    if (!process_is_alive(&id))
        return 1;
    return kill_listed(list, process_tree(id.pid, list, ARRAY_SIZE(list)));
}

static int undo_marked(const char *argument)
{
    struct process_id list[PROCESS_LIST_MAX / 4];

    return kill_listed(list, process_find_marked(argument, list, ARRAY_SIZE(list)));
}

static int undo_freeze(const char *argument)
{
    int result = group_freeze(argument, false);

    return result == -ENOENT ? 1 : result;
}

static int signal_identity(const char *argument, int number)
{
    struct process_id id;
    int result;

    if (process_parse(argument, &id) < 0)
        return -EINVAL;
    result = process_signal(&id, number);
    return result == -ESRCH ? 1 : result;
}

static int undo_stop(const char *argument)
{
    return signal_identity(argument, SIGCONT);
}

static int undo_wire(const char *argument)
{
    return signal_identity(argument, SIGTERM);
}

static int on_page(const char *name, int (*act)(struct page *page))
{
    struct registry registry;
    struct page *page;
    int result = registry_open(&registry);

    if (result < 0)
        return result;
    result = page_open(&registry, name, &page);
    if (result == 0) {
        result = act(page);
        page_close(page);
    }
    registry_close(&registry);
    return result == -ENOENT ? 1 : result;
}

static int undo_page(const char *argument)
{
    return on_page(argument, page_remove);
}

/* An attach whose maker was killed may be under way: the process enters the page within its patience, or never. */
static size_t await_entry(const struct page *page, const struct process_id *id)
{
    struct page_process one;
    size_t count;

    for (int waited_ms = 0; !(count = page_processes(page, &one, 1)) && waited_ms < ENTER_TIMEOUT_MS && process_is_alive(id); waited_ms += ENTER_STEP_MS)
        (void)poll(NULL, 0, ENTER_STEP_MS);
    return count;
}

static int undo_attach(const char *argument)
{
    char name[CONTROL_NAME_MAX], identity[PROCESS_TEXT_MAX];
    struct registry registry;
    struct process_id id;
    struct page *page;
    size_t count = 0;
    int result;

    if (sscanf(argument, "%63s %95s", name, identity) != 2 || process_parse(identity, &id) < 0)
        return -EINVAL;
    result = registry_open(&registry);
    if (result < 0)
        return result;
    result = page_open(&registry, name, &page);
    if (result == 0) {
        count = await_entry(page, &id);
        result = attach_page_end(page, DETACH_TIMEOUT_MS, NULL, NULL);
        page_close(page);
    }
    registry_close(&registry);
    return result == -ENOENT || (result == 0 && !count) ? 1 : result;
}

static int undo_release(const char *argument)
{
    return on_page(argument, page_release);
}

static int undo_helper(const char *argument)
{
    struct process_id id;

    if (process_parse(argument, &id) < 0)
        return -EINVAL;
    return process_is_alive(&id) ? kill_listed(&id, 1) : 1;
}

static int undo_move(const char *argument)
{
    char identity[PROCESS_TEXT_MAX], group[GROUP_PATH_MAX];
    struct process_id id;
    int result;

    if (sscanf(argument, "%95s %319s", identity, group) != 2 || process_parse(identity, &id) < 0)
        return -EINVAL;
    if (!process_is_alive(&id))
        return 1;
    result = group_enter(group, id.pid);
    return result == -ESRCH ? 1 : result;
}

static int undo_file(const char *argument)
{
    const char *name = strrchr(argument, '/');

    if (!name || strncmp(name, "/.perturb-", 10) != 0)
        return -EINVAL;
    if (unlink(argument) < 0)
        return errno == ENOENT ? 1 : -errno;
    return 0;
}

static int undo_nothing(const char *argument)
{
    (void)argument;
    return 1;
}

static const struct undo_verb verbs[] = {
    { UNDO_GROUP, undo_group, false },
    { UNDO_PROCESS, undo_process, false },
    { UNDO_MARKED, undo_marked, false },
    { UNDO_FREEZE, undo_freeze, true },
    { UNDO_STOP, undo_stop, true },
    { UNDO_PAGE, undo_page, false },
    { UNDO_WIRE, undo_wire, false },
    { UNDO_KILLED, undo_nothing, false },
    { UNDO_RELEASE, undo_release, false },
    { UNDO_ATTACH, undo_attach, false },
    { UNDO_MEMORY, memory_restore, true },
    { UNDO_MEMORY_GROUP, memory_group_remove, false },
    { UNDO_MOVE, undo_move, false },
    { UNDO_HELPER, undo_helper, true },
    { UNDO_FILE, undo_file, false },
    { UNDO_CAPTURE, capture_remove, true },
    { UNDO_CUT, cut_remove, true },
};

bool undo_ends_fault(const char *verb)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (!strcmp(verbs[i].name, verb))
            return verbs[i].ends_fault;
    return false;
}

static int undo_entry(struct journal *journal, const struct journal_entry *entry)
{
    int result = -ENOSYS;

    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (!strcmp(verbs[i].name, entry->verb))
            result = verbs[i].undo(entry->argument);
    journal_mark(journal, entry->seq, result < 0 ? JOURNAL_FAILED : result ? JOURNAL_MOOT : JOURNAL_UNDONE);
    return result;
}

int undo_one(struct journal *journal, uint64_t seq)
{
    int result = seq >= 1 && seq <= journal->count ? undo_entry(journal, &journal->entries[seq - 1]) : -ENOENT;

    return result < 0 ? result : 0;
}

int undo_all(struct journal *journal, undo_report *report, void *context)
{
    int resisted = 0;

    for (size_t i = journal->count; i-- > 0;) {
        const struct journal_entry *entry = &journal->entries[i];
        int result;

        if (entry->state == JOURNAL_UNDONE || entry->state == JOURNAL_MOOT)
            continue;
        result = undo_entry(journal, entry);
        resisted += result < 0;
        if (report)
            report(context, entry, result < 0 ? strerror(-result) : result ? "moot" : "undone");
    }
    return resisted;
}
