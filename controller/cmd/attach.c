/* perturb attach, perturb detach: the shim in a program that runs. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/pages.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/attach.h"
#include "shims/host/preload.h"
#include "shims/host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

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

static int refuse(pid_t pid, const char *where, struct errs *errs)
{
    struct inspection *inspection = NULL;
    struct process_facts facts;
    char why[ATTACH_WHY_MAX];
    const char *text;

    if (process_facts_read(pid, &facts) < 0)
        return errs_add(errs, ERR_WORLD, where, "there is no such process");
    (void)inspect_process(pid, &inspection);
    text = attach_refusal(pid, &facts, inspection, why);
    inspection_free(inspection);
    return text ? errs_add(errs, ERR_WORLD, where, "%s", text) : 0;
}

/* A thread that was not given the processor in time is asked again; nothing has changed meanwhile. */
static int run_order(const struct attach_order *order, struct attach_outcome *ret_outcome, const char *where, struct errs *errs)
{
    char why[ATTACH_WHY_MAX];
    int result;

    for (int attempt = 1; (result = attach_run(order, ret_outcome, why)) == -ETIMEDOUT && attempt < TRIES_MAX; attempt++)
        ;
    return result < 0 ? errs_add(errs, ERR_WORLD, where, "%s", why) : 0;
}

/* ---- attach --------------------------------------------------------------------------------------------------------------- */

static int open_library(const char *where, struct errs *errs)
{
    char path[PATH_MAX];
    int result = preload_find(path, sizeof(path)), fd;

    if (result < 0)
        return errs_add(errs, ERR_WORLD, where, "libperturb.so: %s", strerror(-result));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? errs_add(errs, ERR_WORLD, path, "%s", strerror(errno)) : fd;
}

static int make_page(const struct registry *registry, pid_t pid, struct page **ret_page, struct errs *errs)
{
    char name[CONTROL_NAME_MAX];
    int result;

    snprintf(name, sizeof(name), "attach-%d", (int)pid);
    result = page_create(registry, name, ret_page);
    if (result == -EEXIST) { /* of a process that had this number, or of an attach that was killed: nobody uses it */
        result = page_open(registry, name, ret_page);
        if (!result) {
            result = page_remove(*ret_page);
            *ret_page = page_close(*ret_page);
        }
        if (!result)
            result = page_create(registry, name, ret_page);
    }
    return result < 0 ? errs_add(errs, ERR_WORLD, name, "the control page: %s", strerror(-result)) : 0;
}

static int attach(const struct registry *registry, pid_t pid, const char *where, struct errs *errs)
{
    AUTO_CLOSE int library_fd = open_library(where, errs), page_fd = -1;
    struct attach_order order = { .pid = pid, .deadline_ms = DEADLINE_MS };
    struct attach_outcome outcome;
    struct page *page = NULL;

    if (library_fd < 0 || make_page(registry, pid, &page, errs) < 0)
        return -EINVAL;
    page_fd = open(page_path(page), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    order.library_fd = library_fd;
    order.page_fd = page_fd;
    if (page_fd < 0)
        errs_add(errs, ERR_WORLD, page_path(page), "%s", strerror(errno));
    else
        (void)run_order(&order, &outcome, where, errs);
    if (errs->count)
        (void)page_remove(page);
    else
        printf("attached %d as %s: %lld call slots patched; thread %d was stopped %.2f ms and back at work after %.2f ms\n", (int)pid,
               page_name(page), (long long)outcome.value, (int)outcome.thread, milliseconds(outcome.stopped_ns),
               milliseconds(outcome.held_ns));
    page_close(page);
    return 0;
}

static int attach_main(int argc, char **argv)
{
    struct registry registry = { .fd = -1 };
    struct search search = { .way_out = 0 };
    static struct errs errs;

    if (!parse_pid(argc, argv, &search.pid, &errs) && !refuse(search.pid, argv[1], &errs) && !pages_registry("attach", &registry, &errs)) {
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

/* Every process of the page: the one that was attached, and children that it forked since. */
static int detach_all(struct page *page, struct errs *errs)
{
    static struct page_process list[CONTROL_PROCESSES_MAX];
    size_t count = page_processes(page, list, CONTROL_PROCESSES_MAX), left = 0;

    (void)page_release(page);
    for (size_t i = 0; i < count; i++) {
        struct attach_order order = { list[i].pid, -1, -1, list[i].way_out, DEADLINE_MS };
        struct attach_outcome outcome;
        char where[24];

        snprintf(where, sizeof(where), "%d", (int)list[i].pid);
        if (refuse(list[i].pid, where, errs) < 0 || run_order(&order, &outcome, where, errs) < 0) {
            left++;
            continue;
        }
        printf("detached %d: %lld call slots put back; thread %d was stopped %.2f ms and back at work after %.2f ms\n", (int)list[i].pid,
               (long long)outcome.value, (int)outcome.thread, milliseconds(outcome.stopped_ns), milliseconds(outcome.held_ns));
    }
    return left ? -EBUSY : page_remove(page);
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
            (void)detach_all(page, &errs);
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
