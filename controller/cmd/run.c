/* perturb run: playbooks, one after the other; the worst status of all in the documented order. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/experiment.h"
#include "controller/cmd/options.h"
#include "controller/cmd/outlets.h"
#include "controller/run/run.h"

#include "scenarios/base/cleanup.h"

#include <string.h>

/* DESIGN section 7: 4, 3, 70, 69, 65, 2, 1, 0. */
static int worse(int a, int b)
{
    static const int order[] = { 4, 3, 70, 69, 65, 64, 2, 1, 0 };

    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return a ? a : b;
}

static int run_one(const char *file, char batch[RUN_ID_MAX], const struct run_options *options)
{
    struct outlet_watch watch = { .file = options->outlets_file, .config = options->outlets, .pidfd = -1 };
    struct run_ports ports = { .count = 0 };
    const struct playbook_options playbook_options = { options->overrides, options->override_count, run_free_port, &ports };
    const struct run_request request = { .file = file, .options = &playbook_options, .seed_text = options->seed_text,
                                         .out_directory = options->out_directory, .id = options->id, .backend = options->backend,
                                         .batch = batch, .reports = options->reports, .report_count = options->report_count, .json = options->json,
                                         .begun = options->outlets ? outlets_begin : NULL, .begun_context = &watch,
                                         .egress = options->outlets ? &options->outlets->captures_egress : NULL };
    struct errs errs = { .count = 0 };
    struct document document;
    int status;

    if (experiment_read(file, &document)) {
        status = experiment_run(&document, options);
        document_done(&document);
        return status;
    }
    status = options->dry_run ? run_preview(&request, &errs) : run_execute(&request, &errs);
    run_ports_done(&ports);
    if (options->outlets)
        outlets_end(&watch, !options->id); /* a run that has its name from outside is the service's */

    errs_print_warnings(&errs, stderr);
    errs_print(&errs, stderr);
    return status;
}

/* It becomes the name of files. */
static bool id_is_plain(const char *id)
{
    return id[0] && !id[strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")];
}

static int run_main(int argc, char **argv)
{
    static struct errs errs;
    struct run_options options;
    AUTO_FREE char (*batches)[RUN_ID_MAX] = NULL; /* of each playbook, so that its runs can be compared as a group */
    struct outlet_config *outlets = NULL;
    int count, status = 0;

    if (options_parse(argc, argv, "var seed out repeat dry-run format backend journal rollbacks delegate load rate report id batch outlets", &options, &count, &errs) < 0)
        return command_fail(&errs);
    if (!count)
        errs_add(&errs, ERR_USAGE, "run", "name a playbook; playbooks/quickstart.yaml is a good first one");
    if (options.out_directory && count * options.repeat > 1)
        errs_add(&errs, ERR_USAGE, "--out", "names one directory, but there is more than one run");
    if (options.id && (count * options.repeat > 1 || strlen(options.id) >= RUN_ID_MAX || !id_is_plain(options.id)))
        errs_add(&errs, ERR_USAGE, "--id", "expected a name of letters, digits, '-' and '_' of one run");
    if (options.batch && (strlen(options.batch) >= RUN_ID_MAX || !id_is_plain(options.batch)))
        errs_add(&errs, ERR_USAGE, "--batch", "expected the name of a run");
    if (options.report_count && count * options.repeat > 1)
        errs_add(&errs, ERR_USAGE, "--report", "names one file, but there is more than one run");
    if (options.outlets_file && !errs.count && !strcmp(options.outlets_file, "-"))
        outlet_config_parse("-", "egress: {}", strlen("egress: {}"), &errs, &outlets);
    else if (options.outlets_file && !errs.count)
        outlet_config_read(options.outlets_file, &errs, &outlets);
    options.outlets = outlets;
    if (errs.count)
        return command_fail(&errs);
    batches = calloc((size_t)count, sizeof(*batches));
    if (!batches) {
        errs_add(&errs, ERR_INTERNAL, "run", "out of memory");
        return command_fail(&errs);
    }
    for (int i = 0; options.batch && i < count; i++)
        snprintf(batches[i], sizeof(batches[i]), "%s", options.batch);
    for (int64_t repeat = 0; repeat < options.repeat; repeat++)
        for (int i = 1; i <= count; i++)
            status = worse(status, run_one(argv[i], batches[i - 1], &options));
    outlet_config_free(outlets);
    return status;
}

const struct command command_run = {
    .name = "run",
    .synopsis = "PLAYBOOK... [--seed N] [--var NAME=VALUE]... [--out DIR] [--repeat N] [--dry-run] [--backend B] [--report FORMAT=FILE]... [--outlets FILE] [--format text|json]",
    .summary = "disturb, measure when it came back, undo, report",
    .help = "  --seed N             draws of the run; printed and stored, so that a run can be replayed\n"
            "  --var NAME=VALUE     override a variable of the playbook\n"
            "  --out DIR            the run's directory; default in the state directory\n"
            "  --repeat N           run each playbook N times\n"
            "  --dry-run            print exact targets and the undo plan; start nothing\n"
            "  --backend B          what moves the proxies' bytes: io_uring, or epoll where that is refused; B forces one\n"
            "  --outlets FILE       tell the outlets of FILE: webhooks, Grafana, Alertmanager, OpenTelemetry (docs/ecosystem.md)\n"
            "  --format text|json   text for people; json is one event a line\n"
            "  --report FORMAT=FILE  write a report there too: text, json, html, markdown, junit, github, journal; may be given again\n\n"
            "An experiment of the Chaos Toolkit runs too (docs/chaostoolkit.md), with these:\n"
            "  --load URL, --rate R  request this beside it and measure its convergence (default 50/s)\n"
            "  --journal FILE       default journal.json\n"
            "  --rollbacks WHEN     default, always, never or deviated; else the file's word, else always\n"
            "  --delegate           hand the file to the installed `chaos` command\n\n"
            "Exit status: 0 passed, 1 failed, 2 not decided, 3 aborted, 4 undo not proven,\n"
            "64 usage, 65 bad playbook, 69 port, program or permission, 70 internal.\n"
            "Ctrl-C releases every fault, undoes everything and reports; twice does not wait.\n"
            "Example: perturb run playbooks/quickstart.yaml --var rate=100/s\n"
            "         perturb run playbooks/quickstart.yaml --report junit=perturb.xml --report markdown=summary.md\n",
    .run = run_main,
};
