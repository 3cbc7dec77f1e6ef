/* perturb disarm: nothing acts any more; sleepers go on at once. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/counts.h"
#include "controller/look/pages.h"

#include <string.h>

static int release(struct page *page, struct errs *errs)
{
    static struct rule_status list[PLAN_RULES_MAX];
    size_t count = page_status(page, list, PLAN_RULES_MAX);
    struct page_state state;
    int result;

    page_state(page, &state);
    result = page_release(page);
    if (!result)
        result = page_verify(page);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, page_name(page), "%s", strerror(-result));
    printf("disarmed %s%s\n", page_name(page), state.armed ? "" : " (nothing was armed)");
    if (count) {
        counts_print(stdout, list, count, state.armed_ns);
        counts_print_shares(stdout, page, list, count);
    }
    return 0;
}

/* One that resists does not keep the others from being disarmed. */
static int disarm_main(int argc, char **argv)
{
    struct registry registry = { .fd = -1 };
    static struct pages pages;
    static struct errs errs;
    bool all = argc == 2 && !strcmp(argv[1], "--all");

    if (argc != 2 || (argv[1][0] == '-' && !all))
        errs_add(&errs, ERR_USAGE, "disarm", "expected TARGET or --all");
    else if (!pages_registry("disarm", &registry, &errs) && !pages_select(&registry, all ? NULL : argv[1], &pages, &errs)) {
        for (size_t i = 0; i < pages.count; i++)
            (void)release(pages.list[i], &errs);
        if (!pages.count)
            printf("nothing runs under the shim\n");
    }
    pages_close(&pages);
    registry_close(&registry);
    return errs.count ? command_fail(&errs) : 0;
}

const struct command command_disarm = {
    .name = "disarm",
    .synopsis = "TARGET|--all",
    .summary = "end call faults at once and tell what fired",
    .help = "TARGET is a process id, or the name of a page or a process as `perturb ps` lists them, or a pattern ('nginx*') of several.\n"
            "\n"
            "  perturb disarm --all\n",
    .run = disarm_main,
};
