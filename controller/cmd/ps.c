/* perturb ps: runs, control pages, the processes under them, what is armed, what fired. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/counts.h"
#include "controller/cmd/pages.h"
#include "controller/cmd/proxies.h"

#include "controller/run/recover.h"
#include "scenarios/base/clock.h"
#include "scenarios/playbook/spec.h"

#include <inttypes.h>
#include <string.h>

static void print_redirects(const struct page *page)
{
    size_t count = page_redirects(page);

    if (count)
        printf("  %zu of its destinations go through a proxy\n", count);
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

static int print_page(struct page *page, void *context)
{
    static struct page_process processes[CONTROL_PROCESSES_MAX];
    static struct rule_status list[PLAN_RULES_MAX];
    size_t process_count = page_processes(page, processes, CONTROL_PROCESSES_MAX);
    size_t rule_count = page_status(page, list, PLAN_RULES_MAX);
    uint64_t now_ns = clock_now_ns();
    size_t *pages = context;
    struct page_state state;

    page_state(page, &state);
    printf("%s%s  by %" PRIu32 "%s  ", *pages ? "\n" : "", page_name(page), state.owner_pid, state.owner_alive ? "" : " (gone)");
    if (state.armed && state.lease_ns > now_ns)
        printf("armed, epoch %" PRIu64 ", %.1f s of lease\n", state.epoch, (double)(state.lease_ns - now_ns) / (double)NS_PER_S);
    else
        printf("nothing armed\n");
    if (state.supervised)
        printf("  supervised (seccomp)\n");
    for (size_t i = 0; i < process_count; i++)
        printf("  %7d %s%s\n", (int)processes[i].pid, processes[i].comm, processes[i].way_out ? " (attached)" : "");
    if (state.refused)
        printf("  %" PRIu64 " processes could not read this page's version\n", state.refused);
    if (state.armed) {
        print_rules(page);
        print_redirects(page);
    }
    if (rule_count)
        counts_print(stdout, list, rule_count, state.armed_ns);
    print_sites(page);
    (*pages)++;
    return 0;
}

static int ps_main(int argc, char **argv)
{
    struct registry registry = { .fd = -1 };
    static struct errs errs;
    bool halted = false;
    size_t pages = 0, runs = 0;
    int result;

    (void)argv;
    if (argc > 1) {
        errs_add(&errs, ERR_USAGE, "ps", "takes no arguments");
        return command_fail(&errs);
    }
    if (pages_registry("ps", &registry, &errs) < 0)
        return command_fail(&errs);
    (void)page_sweep(&registry);
    result = list_runs(stdout, &runs);
    if (result < 0)
        errs_add(&errs, ERR_WORLD, "ps", "not every run could be read: %s", strerror(-result));
    pages_each("ps", &registry, print_page, &pages, &errs);
    if (!(pages + proxies_print(&registry, !pages)))
        printf("nothing runs under the shim and no proxy; `perturb exec -- CMD` starts a program with it\n");
    if (!lever_read(&registry, &halted) && halted)
        printf("halted: nothing may be armed until `perturb resume`\n");
    registry_close(&registry);
    return command_fail(&errs);
}

const struct command command_ps = {
    .name = "ps",
    .synopsis = "",
    .summary = "list programs under the shim and proxies, what is armed, what fired",
    .help = "Example: perturb ps\n",
    .run = ps_main,
};
