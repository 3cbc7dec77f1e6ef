/* DATA/serve.yaml: what a service may do at all, set by whoever administers the machine. Read at start (and at SIGHUP); absent is empty.
 *
 *     max_runs: 4                     # live at a time
 *     max_faults: 8                   # at a time, over all runs
 *     allow: {playbooks: ["shop-*"], tags: [weekly]}    # absent: all
 *     protected: {ports: [9090], units: [ssh.service], paths: [/srv/backup], pids: [1]}
 *     metrics: ["http://127.0.0.1:9090"]      # what measures: never disturbed
 *     require_opt_in: true
 *     opt_in_file: /etc/perturb/opt-in
 *     schedules: {NAME: {...}}   windows: {NAME: {...}}   suites: {NAME: {...}}     # as bodies of the API, synced at start */
#ifndef PERTURB_SERVE_SETTINGS_H
#define PERTURB_SERVE_SETTINGS_H

#include "scenarios/playbook/lists.h"
#include "scenarios/playbook/node.h"

#include <cjson/cJSON.h>
#include <stdint.h>

struct settings_allow {
    struct text_list playbooks; /* fnmatch(3) patterns of names */
    struct text_list tags;      /* one of them has to be there */
};

struct settings_protected {
    struct text_list ports, units, paths, pids; /* ports: "9090" or "HOST:PORT" */
};

struct settings {
    struct document document; /* owns the texts */
    int64_t max_runs, max_faults;
    struct settings_allow allow;
    struct settings_protected protected;
    struct text_list metrics; /* URLs or addresses */
    int64_t require_opt_in;
    const char *opt_in_file; /* NULL: SETTINGS_OPT_IN_FILE */
};

#define SETTINGS_OPT_IN_FILE "/etc/perturb/opt-in"

/* Reads the file. 0; -EINVAL with every error of the file added, located; settings_done after either. */
int settings_read(struct settings *settings, const char *path, struct errs *errs);
void settings_done(struct settings *settings);

#endif
