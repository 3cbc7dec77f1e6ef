/* Looking at a page: its processes as a tree, with those that have escaped it. */
#include "controller/look/processes.h"

#include "shims/host/inspect.h"
#include "shims/host/process.h"

#include <stdio.h>
#include <string.h>

static const char *why_unseen(pid_t pid, char *room, size_t size)
{
    struct inspection *inspection = NULL;
    const char *reason = "it has just begun, or has gone";

    if (inspect_process(pid, &inspection) == 0)
        reason = inspect_unreachable(inspection) ? inspect_unreachable(inspection) : "it has begun this moment, or has another page";
    snprintf(room, size, "%.*s", (int)strcspn(reason, ":."), reason); /* the first part of it; doctor tells the rest */
    inspection_free(inspection);
    return room;
}

static void add(struct ps_page *ps, const struct page_process *process, bool unseen)
{
    struct ps_process *row = &ps->processes[ps->process_count++];
    const struct process_id id = { .pid = process->pid, .start_ticks = process->start_ticks };

    *row = (struct ps_process){ .process = *process, .unseen = unseen };
    if (!process->pid)
        return;
    row->parent = process_parent(process->pid);
    row->age_ns = process_age_ns(&id);
    if (unseen)
        why_unseen(process->pid, row->why, sizeof(row->why));
}

/* One that the page lists and that has replaced itself is told once, as unseen. */
static void collect(struct ps_page *ps)
{
    static struct page_process listed[CONTROL_PROCESSES_MAX], unseen[PS_UNSEEN_MAX];
    size_t listed_count = page_listed(ps->page, listed, CONTROL_PROCESSES_MAX);
    size_t unseen_count = page_unseen(ps->page, unseen, PS_UNSEEN_MAX);

    for (size_t i = 0; i < listed_count; i++) {
        size_t k = 0;

        while (k < unseen_count && (!listed[i].pid || unseen[k].pid != listed[i].pid))
            k++;
        if (k == unseen_count)
            add(ps, &listed[i], false);
    }
    for (size_t i = 0; i < unseen_count; i++)
        add(ps, &unseen[i], true);
}

static void place(struct ps_page *ps, const struct ps_process *rows, size_t count, bool *placed, size_t index, uint16_t depth)
{
    placed[index] = true;
    ps->depth[ps->process_count] = depth;
    ps->processes[ps->process_count++] = rows[index];
    for (size_t i = 0; i < count; i++)
        if (!placed[i] && rows[index].process.pid && rows[i].parent == rows[index].process.pid)
            place(ps, rows, count, placed, i, (uint16_t)(depth + 1));
}

static bool has_parent(const struct ps_process *rows, size_t count, size_t index)
{
    for (size_t i = 0; i < count; i++)
        if (i != index && rows[i].process.pid && rows[i].process.pid == rows[index].parent)
            return true;
    return false;
}

/* Depth first, each root with all that is below it; those that have ended come last. */
static void order(struct ps_page *ps)
{
    static struct ps_process rows[PS_PROCESSES_MAX];
    bool placed[PS_PROCESSES_MAX] = { false };
    size_t count = ps->process_count;

    memcpy(rows, ps->processes, count * sizeof(*rows));
    ps->process_count = 0;
    for (size_t i = 0; i < count; i++)
        if (rows[i].process.pid && !placed[i] && !has_parent(rows, count, i))
            place(ps, rows, count, placed, i, 0);
    for (size_t i = 0; i < count; i++)
        if (!placed[i])
            place(ps, rows, count, placed, i, 0);
}

void ps_look(const struct page *page, struct ps_page *ps)
{
    ps->page = page;
    ps->process_count = 0;
    page_state(page, &ps->state);
    ps->rule_count = page_status(page, ps->rules, PLAN_RULES_MAX);
    collect(ps);
    order(ps);
}
