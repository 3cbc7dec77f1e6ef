/* A page for people. */
#include "controller/cmd/ps.h"

#include "controller/cmd/code_points.h"
#include "controller/cmd/counts.h"
#include "scenarios/base/clock.h"
#include "scenarios/playbook/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { ENDED_LINES_MAX = 8, INDENT_MAX = 12 };

static double seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

static double lease_left_s(const struct ps_page *ps)
{
    uint64_t now_ns = clock_now_ns();

    return ps->state.armed && ps->state.lease_ns > now_ns ? seconds(ps->state.lease_ns - now_ns) : 0;
}

static void print_rules(const struct page *page)
{
    struct plan_rule rule;

    for (size_t i = 0; !page_rule(page, i, &rule); i++) {
        struct fault_spec spec = { .rule = rule };
        char line[512];

        if (!fault_spec_print(&spec, line, sizeof(line)))
            printf("  %s = %s\n", rule.name, line);
    }
    if (page_redirects(page))
        printf("  %zu of its destinations go through a proxy\n", page_redirects(page));
}

static void print_process(const struct ps_page *ps, size_t index)
{
    const struct ps_process *row = &ps->processes[index];
    const struct page_process *process = &row->process;
    int indent = ps->depth[index] < INDENT_MAX / 2 ? 2 * ps->depth[index] : INDENT_MAX;
    char inner[32] = "", age[32] = "ended";

    if (process->pid && process->pid != process->inner)
        snprintf(inner, sizeof(inner), " (%d inside)", (int)process->inner);
    if (process->pid)
        snprintf(age, sizeof(age), "%.1f s", seconds(row->age_ns));
    printf("  %7d %*s%-*s %10s", (int)(process->pid ? process->pid : process->inner), indent, "", 28 - indent, process->comm, age);
    if (row->unseen)
        printf("  without the shim: %s\n", row->why);
    else
        printf("  matched %" PRIu64 ", fired %" PRIu64 ", asleep %" PRIu64 "%s%s\n", process->matched, process->fired, process->asleep, inner,
               process->way_out ? ", attached" : "");
}

static void print_processes(const struct ps_page *ps)
{
    uint64_t matched = 0, fired = 0;
    size_t ended = 0, shown = 0;

    for (size_t i = 0; i < ps->process_count; i++) {
        const struct page_process *process = &ps->processes[i].process;

        if (process->pid || (process->matched && shown < ENDED_LINES_MAX)) {
            print_process(ps, i);
            shown += !process->pid;
            continue;
        }
        ended++;
        matched += process->matched;
        fired += process->fired;
    }
    if (ended)
        printf("          %4zu %sthat have ended                 matched %" PRIu64 ", fired %" PRIu64 "\n", ended, shown ? "more " : "", matched, fired);
}

static void print_sites(const struct page *page)
{
    static struct page_site sites[CONTROL_SITES_MAX];
    size_t count = page_sites(page, sites, CONTROL_SITES_MAX);
    struct plan_rule rule;

    for (size_t i = 0; i < count; i++)
        if (!page_rule(page, sites[i].rule, &rule))
            printf("  %s acted at %s+0x%" PRIx64 "\n", rule.name, sites[i].module, sites[i].offset);
}

void ps_print_text(const struct ps_page *ps)
{
    const struct page_state *state = &ps->state;

    printf("%s  by %" PRIu32 "%s  ", page_name(ps->page), state->owner_pid, state->owner_alive ? "" : " (gone)");
    if (lease_left_s(ps) > 0)
        printf("armed, epoch %" PRIu64 ", %.1f s of lease\n", state->epoch, lease_left_s(ps));
    else
        printf("nothing armed\n");
    if (state->supervised)
        printf("  supervised (seccomp)\n");
    print_processes(ps);
    code_points_of_page(ps->page);
    if (state->refused)
        printf("  %" PRIu64 " processes could not read this page's version\n", state->refused);
    if (state->unlisted)
        printf("  %" PRIu64 " processes found no room in the list of %d; they are under the faults all the same\n", state->unlisted,
               CONTROL_PROCESSES_MAX);
    if (state->armed)
        print_rules(ps->page);
    if (ps->rule_count) {
        counts_print(stdout, ps->rules, ps->rule_count, state->armed_ns);
        counts_print_shares(stdout, ps->page, ps->rules, ps->rule_count);
    }
    print_sites(ps->page);
}
