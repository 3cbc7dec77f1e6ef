/* perturb attach, perturb detach: the shim in a program that runs. */
#include "controller/cmd/cmd.h"
#include "controller/look/pages.h"

#include "scenarios/base/clock.h"
#include "shims/host/attach_page.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { DEADLINE_MS = 10000, TRIES_MAX = 3 };

static double milliseconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_MS;
}

static int parse_pid(int argc, char **argv, pid_t *ret_pid, struct errs *errs)
{
    char *end = NULL;
    long pid = argc == 2 ? strtol(argv[1], &end, 10) : 0;

    if (argc != 2 || *end || end == argv[1] || pid <= 0 || pid > INT_MAX)
        return errs_add(errs, ERR_USAGE, argv[0], "expected PID");
    *ret_pid = (pid_t)pid;
    return 0;
}

/* The page that a process uses, if any. */
struct search {
    pid_t pid;
    uint64_t way_out;
    char name[CONTROL_NAME_MAX];
};

static int find_process(struct page *page, void *context)
{
    struct page_process list[CONTROL_PROCESSES_MAX];
    size_t count = page_processes(page, list, CONTROL_PROCESSES_MAX);
    struct search *search = context;

    for (size_t i = 0; i < count; i++) {
        if (list[i].pid != search->pid)
            continue;
        search->way_out = list[i].way_out;
        memcpy(search->name, page_name(page), strlen(page_name(page)) + 1);
        return 1;
    }
    return 0;
}

/* ---- attach --------------------------------------------------------------------------------------------------------------- */

/* A thread that was not given the processor in time is asked again; nothing has changed meanwhile. */
static int attach(const struct registry *registry, pid_t pid, const char *where, struct errs *errs)
{
    char name[CONTROL_NAME_MAX], why[ATTACH_WHY_MAX];
    struct attach_outcome outcome;
    struct page *page = NULL;
    int result;

    snprintf(name, sizeof(name), "attach-%d", (int)pid);
    result = attach_page_make(registry, name, &page);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, name, "the control page: %s", strerror(-result));
    for (int attempt = 1; (result = attach_page_add(page, pid, DEADLINE_MS, &outcome, why)) == -ETIMEDOUT && attempt < TRIES_MAX; attempt++)
        ;
    if (result < 0) {
        errs_add(errs, ERR_WORLD, where, "%s", why);
        (void)page_remove(page);
    } else {
        printf("attached %d as %s: %lld call slots patched; thread %d was stopped %.2f ms and back at work after %.2f ms\n", (int)pid,
               page_name(page), (long long)outcome.value, (int)outcome.thread, milliseconds(outcome.stopped_ns),
               milliseconds(outcome.held_ns));
    }
    page_close(page);
    return result;
}

static int attach_main(int argc, char **argv)
{
    struct registry registry = { .fd = -1 };
    struct search search = { .way_out = 0 };
    static struct errs errs;

    if (!parse_pid(argc, argv, &search.pid, &errs) && !pages_registry("attach", &registry, &errs)) {
        if (page_each(&registry, find_process, &search) == 1)
            errs_add(&errs, ERR_WORLD, argv[1], "it has the shim already (page %s): `perturb arm` it", search.name);
        else
            (void)attach(&registry, search.pid, argv[1], &errs);
    }
    registry_close(&registry);
    return errs.count ? command_fail(&errs) : 0;
}

const struct command command_attach = {
    .name = "attach",
    .synopsis = "PID",
    .summary = "bring the shim into a program that runs, for `perturb arm`",
    .help = "Loads libperturb.so through the program's own loader and patches the slots through which it calls libc. One thread stands\n"
            "still meanwhile, for some milliseconds at the most; nothing is armed. Killing perturb at any instant leaves it running.\n"
            "Not reached: calls by function pointers taken before, and programs that it starts by exec.\n"
            "\n"
            "  perturb attach 4711 && perturb arm 4711 latency@fsync:200ms --for 30s\n",
    .run = attach_main,
};

/* ---- detach --------------------------------------------------------------------------------------------------------------- */

static void tell_detached(void *context, pid_t pid, int result, const struct attach_outcome *outcome, const char *why)
{
    char where[24];

    snprintf(where, sizeof(where), "%d", (int)pid);
    if (result < 0)
        errs_add(context, ERR_WORLD, where, "%s", why);
    else
        printf("detached %d: %lld call slots put back; thread %d was stopped %.2f ms and back at work after %.2f ms\n", (int)pid,
               (long long)outcome->value, (int)outcome->thread, milliseconds(outcome->stopped_ns), milliseconds(outcome->held_ns));
}

static int detach_main(int argc, char **argv)
{
    struct registry registry = { .fd = -1 };
    struct search search = { .way_out = 0 };
    struct page *page = NULL;
    static struct errs errs;

    if (!parse_pid(argc, argv, &search.pid, &errs) && !pages_registry("detach", &registry, &errs)) {
        if (page_each(&registry, find_process, &search) != 1)
            errs_add(&errs, ERR_WORLD, argv[1], "nothing is attached to it; `perturb ps` lists what is");
        else if (!search.way_out)
            errs_add(&errs, ERR_WORLD, argv[1], "it was started with the shim, which ends with it; `perturb disarm` ends faults");
        else if (page_open(&registry, search.name, &page) < 0)
            errs_add(&errs, ERR_WORLD, argv[1], "its control page has gone");
        else
            (void)attach_page_end(page, DEADLINE_MS, tell_detached, &errs);
    }
    page_close(page);
    registry_close(&registry);
    return errs.count ? command_fail(&errs) : 0;
}

const struct command command_detach = {
    .name = "detach",
    .synopsis = "PID",
    .summary = "put a program's call slots back as they were before `attach`",
    .help = "Also in children that it forked since. What was armed ends. The library stays mapped, and does nothing: threads may still\n"
            "return through it.\n"
            "\n"
            "  perturb detach 4711\n",
    .run = detach_main,
};
