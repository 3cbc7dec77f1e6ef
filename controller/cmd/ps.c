/* perturb ps: runs, control pages, the processes under them, what is armed, what fired. */
#include "controller/cmd/ps.h"

#include "controller/cmd/cmd.h"
#include "controller/base/json.h"
#include "controller/look/pages.h"
#include "controller/cmd/proxies.h"
#include "controller/run/locks.h"
#include "controller/run/recover.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <string.h>

static bool wants_json(int argc, char **argv, struct errs *errs)
{
    const char *format = NULL;

    if (argc == 3 && !strcmp(argv[1], "--format"))
        format = argv[2];
    else if (argc == 2 && !strncmp(argv[1], "--format=", 9))
        format = argv[1] + 9;
    else if (argc > 1)
        errs_add(errs, ERR_USAGE, "ps", "takes no arguments but --format text|json or --locks");
    if (format && strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
        errs_add(errs, ERR_USAGE, "--format", "'%s' is none of: text json", format);
    return format && !strcmp(format, "json");
}

static void print_locks(const struct pages *pages)
{
    for (size_t i = 0; i < pages->count; i++) {
        printf("%s\n", page_name(pages->list[i]));
        locks_print(pages->list[i], stdout, SIZE_MAX);
    }
}

static void print_pages(const struct pages *pages, bool json, struct errs *errs)
{
    static struct ps_page ps;

    for (size_t i = 0; i < pages->count; i++) {
        ps_look(pages->list[i], &ps);
        if (json && json_print(ps_json(&ps)) < 0)
            errs_add(errs, ERR_INTERNAL, page_name(pages->list[i]), "no memory for its JSON");
        if (json)
            continue;
        if (i)
            putchar('\n');
        ps_print_text(&ps);
    }
}

/* Said, not listed: what a page of another version holds is not known. */
static void print_strangers(const struct registry *registry)
{
    struct page_strange list[16];
    size_t count = page_strangers(registry, list, ARRAY_SIZE(list));

    for (size_t i = 0; i < count; i++)
        if (list[i].version && list[i].version != CONTROL_VERSION)
            fprintf(stderr, "perturb: ps: %s: a page of version %u; this perturb reads %u: the one that started it lists it\n", list[i].name,
                    list[i].version, (unsigned)CONTROL_VERSION);
        else
            fprintf(stderr, "perturb: ps: %s: no whole control page (cut short, or not one); its program passes through\n", list[i].name);
}

static int ps_main(int argc, char **argv)
{
    struct registry registry = { .fd = -1 };
    static struct pages pages;
    static struct errs errs;
    bool halted = false, locks = argc == 2 && !strcmp(argv[1], "--locks"), json = !locks && wants_json(argc, argv, &errs);
    size_t runs = 0;
    int result;

    if (errs.count || pages_registry("ps", &registry, &errs) < 0)
        return command_fail(&errs);
    (void)page_sweep(&registry);
    if (locks) {
        if (!pages_select(&registry, NULL, &pages, &errs))
            print_locks(&pages);
        pages_close(&pages);
        registry_close(&registry);
        return errs.count ? command_fail(&errs) : 0;
    }
    if (!json) {
        result = list_runs(stdout, &runs);
        if (result < 0)
            errs_add(&errs, ERR_WORLD, "ps", "not every run could be read: %s", strerror(-result));
    }
    if (!pages_select(&registry, NULL, &pages, &errs))
        print_pages(&pages, json, &errs);
    print_strangers(&registry);
    if (!json && !(pages.count + proxies_print(&registry, !pages.count)))
        printf("nothing runs under the shim and no proxy; `perturb exec -- CMD` starts a program with it\n");
    if (!json && !lever_read(&registry, &halted) && halted)
        printf("halted: nothing may be armed until `perturb resume`\n");
    pages_close(&pages);
    registry_close(&registry);
    return errs.count ? command_fail(&errs) : 0;
}

const struct command command_ps = {
    .name = "ps",
    .synopsis = "[--format text|json | --locks]",
    .summary = "list programs under the shim and proxies, what is armed, what fired",
    .help = "Each page with its processes as a tree: what each has matched, fired and holds asleep now, by rule; those that have ended;\n"
            "and those that started without the shim and why. JSON is one page a line (pages only).\n"
            "\n"
            "  --locks   what lock contention cost so far by call site, and orders that could deadlock, of each page\n"
            "\n"
            "Example: perturb ps\n",
    .run = ps_main,
};
