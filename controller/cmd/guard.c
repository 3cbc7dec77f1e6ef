/* perturb guard test: does each guard of a playbook act, and how soon? The playbook runs with its targets and its load, its faults
 * only count, and the guard's signal is made to read as breached from the start of the method. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/options.h"
#include "controller/run/run.h"
#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What a guard may need beyond its own window: a tick, and a release that every loop acknowledges. */
#define GRACE_S 1.0

struct guard_outcome {
    bool acted;
    double took_s; /* from the start of the method, the first synthetic breach */
};

/* Its guard's entry of the run's document. */
static int read_outcome(const char *directory, size_t index, struct guard_outcome *ret_outcome, struct errs *errs)
{
    cJSON *document = NULL;
    const cJSON *guard, *acted, *latency;
    int result = store_read_result(directory, &document, errs);

    if (result < 0)
        return result;
    guard = cJSON_GetArrayItem(cJSON_GetObjectItem(document, "guards"), (int)index);
    acted = cJSON_GetObjectItem(guard, "acted_s");
    latency = cJSON_GetObjectItem(guard, "latency_s");
    *ret_outcome = (struct guard_outcome){ cJSON_IsNumber(acted), cJSON_IsNumber(latency) ? latency->valuedouble : 0 };
    cJSON_Delete(document);
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static int test_one(const char *file, const struct playbook_options *playbook_options, const struct guard *guard, size_t index,
                    const struct run_options *options, struct errs *errs)
{
    const struct guard_test test = { .index = index };
    double limit_s = (double)(guard->breaches - 1) * (double)guard->every / 1e9 + GRACE_S;
    struct guard_outcome outcome = { 0 };
    char directory[64];
    struct run_request request = { .file = file, .options = playbook_options, .seed_text = options->seed_text, .backend = options->backend,
                                   .guard_test = &test, .quiet = true, .out_directory = directory };
    int status;

    snprintf(directory, sizeof(directory), "/tmp/perturb-guard-XXXXXX");
    if (!mkdtemp(directory))
        return errs_add(errs, ERR_WORLD, directory, "cannot be made: %s", strerror(errno));
    status = run_execute(&request, errs);
    if (errs->count || (status != 3 && status != 2 && status != 0 && status != 1) || read_outcome(directory, index, &outcome, errs) < 0)
        return errs_add(errs, ERR_WORLD, file, "the guard on %s could not be tested: the run ended with status %d; its directory is %s",
                        guard->signal.name, status, directory);
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    if (!outcome.acted)
        printf("FAILED  %-24s did not act\n", guard->signal.name);
    else
        printf("%s  %-24s acted after %.3f s, %.3f s allowed\n", outcome.took_s <= limit_s ? "ok    " : "FAILED", guard->signal.name,
               outcome.took_s, limit_s);
    fflush(stdout);
    return outcome.acted && outcome.took_s <= limit_s ? 0 : 1;
}

static int test_all(const char *file, const struct run_options *options, struct errs *errs)
{
    struct run_ports ports = { .count = 0 };
    const struct playbook_options playbook_options = { options->overrides, options->override_count, run_free_port, &ports };
    struct playbook playbook = { 0 };
    const struct guard *guards;
    int status = 0, result = playbook_read(&playbook, file, &playbook_options, errs);

    guards = playbook.guards.items;
    if (!result && !playbook.guards.count)
        result = errs_add(errs, ERR_INPUT, file, "the playbook has no guards to test");
    for (size_t i = 0; !result && i < playbook.guards.count; i++) {
        int one;

        run_ports_done(&ports);
        one = test_one(file, &playbook_options, &guards[i], i, options, errs);
        if (one < 0)
            result = one;
        status = one > status ? one : status;
    }
    run_ports_done(&ports);
    playbook_done(&playbook);
    return result < 0 ? result : status;
}

static int guard_main(int argc, char **argv)
{
    static struct errs errs;
    struct run_options options;
    int count, status;

    if (argc < 2 || strcmp(argv[1], "test") != 0) {
        errs_add(&errs, ERR_USAGE, "guard", "expected: perturb guard test PLAYBOOK");
        return command_fail(&errs);
    }
    if (options_parse(argc - 1, argv + 1, "var seed backend", &options, &count, &errs) < 0)
        return command_fail(&errs);
    if (count != 1)
        errs_add(&errs, ERR_USAGE, "guard test", "name one playbook");
    status = errs.count ? -EINVAL : test_all(argv[2], &options, &errs);
    return status < 0 ? command_fail(&errs) : status;
}

const struct command command_guard = {
    .name = "guard",
    .synopsis = "test PLAYBOOK [--var NAME=VALUE]... [--seed N] [--backend B]",
    .summary = "prove that each guard of a playbook acts in time",
    .help = "The playbook runs once for each of its guards: its targets and its load are real, its faults only count, and\n"
            "the guard's signal is made to read as breached from the start of the method. The guard must act within its\n"
            "breaches in a row and one second.\n\n"
            "Exit status: 0 every guard acted in time, 1 one did not, 65 bad playbook, 69 it could not be tested.\n"
            "Example: perturb guard test playbooks/quickstart.yaml\n",
    .run = guard_main,
};
