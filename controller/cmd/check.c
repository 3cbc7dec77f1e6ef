/* perturb check: read playbooks, tell every error of each, change nothing. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/experiment.h"
#include "controller/cmd/options.h"
#include "controller/run/run.h"

static int check_file(const char *file, const struct run_options *options, struct errs *errs)
{
    const struct playbook_options playbook_options = { options->overrides, options->override_count, run_free_port, NULL };
    struct playbook playbook;
    struct document document;
    int result;

    if (experiment_read(file, &document)) {
        result = ctk_check(&document, errs, NULL);
        if (result == 0)
            printf("%s: sound: an experiment of the Chaos Toolkit\n", file);
        document_done(&document);
        return result;
    }
    result = playbook_read(&playbook, file, &playbook_options, errs);
    if (result == 0)
        result = run_check_probes(&playbook, errs);
    if (result == 0)
        printf("%s: sound: %zu target%s, %zu prox%s, %zu load%s, %zu fault%s\n", file, playbook.targets.count,
               playbook.targets.count == 1 ? "" : "s", playbook.proxies.count, playbook.proxies.count == 1 ? "y" : "ies",
               playbook.loads.count, playbook.loads.count == 1 ? "" : "s", playbook.method.count, playbook.method.count == 1 ? "" : "s");
    errs_print_warnings(errs, stderr);
    playbook_done(&playbook);
    return result;
}

static int check_main(int argc, char **argv)
{
    static struct errs errs;
    struct run_options options;
    int count;

    if (options_parse(argc, argv, "var", &options, &count, &errs) < 0)
        return command_fail(&errs);
    if (!count)
        errs_add(&errs, ERR_USAGE, "check", "name at least one playbook");
    for (int i = 1; i <= count; i++)
        check_file(argv[i], &options, &errs);
    return command_fail(&errs);
}

const struct command command_check = {
    .name = "check",
    .synopsis = "PLAYBOOK... [--var NAME=VALUE]...",
    .summary = "read playbooks and tell every error, with its place",
    .help = "  --var NAME=VALUE   override a variable of the playbook\n\n"
            "Exit status: 0 sound, 65 not. Nothing is started.\n"
            "Example: perturb check playbooks/*.yaml\n",
    .run = check_main,
};
