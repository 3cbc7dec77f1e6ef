/* The options that commands on playbooks share: --var, --seed and the like, parsed once. */
#ifndef PERTURB_CMD_OPTIONS_H
#define PERTURB_CMD_OPTIONS_H

#include "controller/outlet/config.h"
#include "controller/run/run.h"
#include "injector/injector.h"
#include "scenarios/playbook/playbook.h"

enum { OPTION_VARS_MAX = 64, OPTION_REPORTS_MAX = 8 };

struct run_options {
    struct variable_override overrides[OPTION_VARS_MAX];
    size_t override_count;
    bool reveal;    /* of a game day */
    const char *by; /* of a game day */
    const char *seed_text, *out_directory;
    const char *id, *batch; /* of `perturb serve`: how the run is called, and the batch it belongs to */
    int64_t repeat;
    bool dry_run, json, delegate;
    const char *journal_path, *rollbacks, *load_url; /* experiments of the Chaos Toolkit */
    int64_t rate;                                    /* of load_url, millihertz */
    enum wire_backend backend;
    struct wanted_report reports[OPTION_REPORTS_MAX];
    size_t report_count;
    const char *outlets_file; /* --outlets */
    const struct outlet_config *outlets; /* of it; borrowed */
};

/* Parses the options out of argv; the rest (playbooks) is moved to the front, *ret_count of them from argv[1].
 * 0, or -EINVAL with errors of class usage. `allowed` is a getopt(3)-like string of long names, space-separated. */
int options_parse(int argc, char **argv, const char *allowed, struct run_options *ret_options, int *ret_count, struct errs *errs);

#endif
