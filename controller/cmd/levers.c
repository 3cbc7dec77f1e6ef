/* perturb halt, resume, panic, recover: what ends faults when nothing else does. */
#include "controller/cmd/cmd.h"
#include "controller/look/proxies.h"
#include "controller/run/recover.h"
#include "shims/host/registry.h"

#include <string.h>

enum { HALT_TIMEOUT_MS = 20000 };

static int set_lever(bool halted, struct errs *errs)
{
    struct registry registry;
    int result = registry_open(&registry);

    if (result == 0) {
        result = lever_set(&registry, halted);
        registry_close(&registry);
    }
    return result < 0 ? errs_add(errs, ERR_WORLD, "lever", "the safety lever cannot be set: %s", strerror(-result)) : 0;
}

/* The proxies that have not released their toxics. */
static size_t halt_proxies(struct errs *errs)
{
    size_t told = 0, left = 0;
    struct registry registry;
    int result = registry_open(&registry);

    if (result == 0) {
        result = proxies_wait_halted(&registry, HALT_TIMEOUT_MS, &told, &left);
        registry_close(&registry);
    }
    if (result < 0)
        errs_add(errs, ERR_WORLD, "halt", "the proxies cannot be listed: %s", strerror(-result));
    if (told)
        printf("halted: %zu prox%s released, %zu not yet; new toxics are refused until `perturb resume`\n", told - left,
               told - left == 1 ? "y" : "ies", left);
    return left;
}

static int halt_main(int argc, char **argv)
{
    static struct errs errs;
    size_t told = 0, left = 0;
    bool forces = argc == 2 && !strcmp(argv[1], "--force");

    if (argc > 1 && !forces) /* said, and halted all the same: it may be urgent */
        fprintf(stderr, "perturb: halt: '%s' is no argument of it; only --force is\n", argv[argc - 1]);
    if (set_lever(true, &errs) < 0 || halt_runs(forces, HALT_TIMEOUT_MS, &told, &left, &errs) < 0)
        return command_fail(&errs);
    printf("halted: %zu run%s told to release and end, %zu still ending; new runs are refused until `perturb resume`\n", told,
           told == 1 ? "" : "s", left);
    left += halt_proxies(&errs);
    return errs.count ? command_fail(&errs) : left ? 4 : 0;
}

static int resume_main(int argc, char **argv)
{
    static struct errs errs;

    (void)argc;
    (void)argv;
    if (set_lever(false, &errs) < 0)
        return command_fail(&errs);
    printf("resumed: runs may start again\n");
    return 0;
}

static int panic_main(int argc, char **argv)
{
    static struct errs errs;
    size_t pages = 0, runs = 0;
    int result = panic_all(&pages, &runs);

    (void)argc;
    (void)argv;
    if (result < 0)
        errs_add(&errs, ERR_WORLD, "panic", "not all could be reached: %s", strerror(-result));
    printf("panic: the lever is set, %zu control page%s made inert, %zu run%s released by force\n", pages, pages == 1 ? "" : "s", runs,
           runs == 1 ? "" : "s");
    return command_fail(&errs);
}

static int recover_main(int argc, char **argv)
{
    static struct errs errs;
    struct recovery recovery = { 0 };

    (void)argc;
    (void)argv;
    if (recover_all(stdout, &recovery, &errs) < 0)
        return command_fail(&errs);
    if (!recovery.runs)
        printf("nothing to recover: no run is registered\n");
    return recovery.resisted ? 4 : 0;
}

const struct command command_halt = {
    .name = "halt",
    .synopsis = "[--force]",
    .summary = "release every fault of every run, refuse new runs until resume",
    .help = "  --force   does not wait for a run's tidy end: it is undone and ended at once, and observes nothing\n\n"
            "Each run releases at once, undoes, observes briefly and reports as aborted. Each `perturb proxy` removes its toxics.\n"
            "Halting again while that goes on changes nothing.\n"
            "Exit status: 0 all ended, 4 a run is still ending or a proxy has not answered.\n",
    .run = halt_main,
};

const struct command command_resume = {
    .name = "resume",
    .synopsis = "",
    .summary = "allow runs again after halt or panic",
    .help = "Takes the safety lever back. Nothing is started.\n",
    .run = resume_main,
};

const struct command command_panic = {
    .name = "panic",
    .synopsis = "",
    .summary = "end every fault by force, with no daemon, network or store",
    .help = "Makes every control page inert, lets wire executors drain, continues what was stopped,\n"
            "and sets the lever. It waits for nobody. `perturb recover` then cleans up and proves it.\n",
    .run = panic_main,
};

const struct command command_recover = {
    .name = "recover",
    .synopsis = "",
    .summary = "undo what runs that ended badly left behind, and prove it",
    .help = "Replays the undo journal of every run whose guardian is gone; runs that live are left alone.\n"
            "Idempotent. Exit status: 0 nothing is left, 4 something is not proven undone.\n",
    .run = recover_main,
};
