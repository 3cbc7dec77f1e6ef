/* perturb disarm: nothing acts any more; sleepers go on at once. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/counts.h"
#include "controller/cmd/pages.h"

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
    if (count)
        counts_print(stdout, list, count, state.armed_ns);
    return 0;
}

static int release_each(struct page *page, void *context)
{
    (void)release(page, context);
    return 0;
}

static int disarm_main(int argc, char **argv)
{
    struct registry registry = { .fd = -1 };
    struct page *page = NULL;
    static struct errs errs;

    if (argc != 2 || (argv[1][0] == '-' && strcmp(argv[1], "--all") != 0))
        errs_add(&errs, ERR_USAGE, "disarm", "expected TARGET or --all");
    else if (!pages_registry("disarm", &registry, &errs)) {
        if (!strcmp(argv[1], "--all"))
            pages_each("disarm", &registry, release_each, &errs, &errs);
        else if (!pages_find(&registry, argv[1], &page, &errs))
            (void)release(page, &errs);
    }
    page_close(page);
    registry_close(&registry);
    return errs.count ? command_fail(&errs) : 0;
}

const struct command command_disarm = {
    .name = "disarm",
    .synopsis = "TARGET|--all",
    .summary = "end call faults at once and tell what fired",
    .help = "TARGET is a process id or a page's name as `perturb ps` lists them.\n"
            "\n"
            "  perturb disarm --all\n",
    .run = disarm_main,
};
