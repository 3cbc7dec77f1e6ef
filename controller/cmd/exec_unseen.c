/* Which processes of the program's tree run without the page, told at its end: the faults did not reach them. */
#include "controller/cmd/exec.h"

#include "scenarios/base/clock.h"
#include "shims/host/process.h"

#include <string.h>

enum { TOLD_MAX = 4 };

#define SETTLED_NS (100 * NS_PER_MS) /* by then a process has its page, if ever */

static bool is_in(const struct page_process *list, size_t count, const struct page_process *process)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].pid == process->pid && list[i].start_ticks == process->start_ticks)
            return true;
    return false;
}

static bool is_settled(const struct page_process *process)
{
    const struct process_id id = { .pid = process->pid, .start_ticks = process->start_ticks };

    return process_age_ns(&id) > SETTLED_NS;
}

void exec_unseen_look(struct exec_unseen *unseen, const struct page *page)
{
    struct page_process found[EXEC_UNSEEN_MAX];
    size_t count = page_verify(page) < 0 ? page_unseen(page, found, EXEC_UNSEEN_MAX) : 0; /* nothing armed reaches nobody */

    for (size_t i = 0; i < count; i++)
        if (unseen->count < EXEC_UNSEEN_MAX && (is_settled(&found[i]) || is_in(unseen->candidates, unseen->candidate_count, &found[i])) &&
            !is_in(unseen->list, unseen->count, &found[i]))
            unseen->list[unseen->count++] = found[i];
    memcpy(unseen->candidates, found, count * sizeof(*found));
    unseen->candidate_count = count;
}

void exec_unseen_tell(const struct exec_unseen *unseen, FILE *out)
{
    if (!unseen->count)
        return;
    fprintf(out, "  at least %zu process%s below it ran without the shim (static, another mount namespace, a cleared environment):", unseen->count,
            unseen->count == 1 ? "" : "es");
    for (size_t i = 0; i < unseen->count && i < TOLD_MAX; i++)
        fprintf(out, "%s %s %d", i ? "," : "", unseen->list[i].comm, (int)unseen->list[i].pid);
    fprintf(out, "%s\n", unseen->count > TOLD_MAX ? ", ..." : "");
}
