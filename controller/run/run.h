/* A run: a function of (playbook, seed, overrides) to a result document and an exit status, with no globals.
 *
 * Order (DESIGN section 5.4): check -> lever -> prepare -> capture -> baseline -> steady state -> inject -> release -> verify undo
 * -> observe -> rollback -> verify -> judge -> report. An abort from any state goes on at release. */
#ifndef PERTURB_RUN_RUN_H
#define PERTURB_RUN_RUN_H

#include "injector/injector.h"
#include "scenarios/base/egress.h"
#include "scenarios/playbook/playbook.h"

#include <stdbool.h>

/* A test of one guard: from the start of the method its signal reads as breached; faults count and do nothing. */
struct guard_test {
    size_t index; /* in the playbook's guards */
};

enum { RUN_ID_MAX = 40 };

/* A report that is written beside those of the run's directory. */
struct wanted_report {
    int format; /* of report_format_find() */
    const char *path;
};

struct run_request {
    const char *file;
    const struct playbook_options *options;
    const char *seed_text;      /* --seed; NULL takes the playbook's, else one is chosen */
    const char *out_directory;  /* NULL: in the state directory */
    const char *id;             /* how the run is called; NULL: named here. A service knows the name before the run starts */
    enum wire_backend backend;  /* of the proxies */
    const struct guard_test *guard_test; /* NULL: an ordinary run */
    char *batch;                /* [RUN_ID_MAX], or NULL: runs that belong together; "" is set to the id of this run, their first */
    bool quiet;                 /* nothing on standard output */
    const struct wanted_report *reports;
    size_t report_count;
    bool json;                  /* events as JSON lines on standard output instead of the view for people */
    /* Called once the run has its id and its directory, before anything of it is started; NULL: nobody asks. */
    void (*begun)(void *context, const char *id, const char *directory, const struct playbook *playbook);
    void *begun_context;
    const struct egress *egress; /* where its probes and captures may go; NULL: anywhere */
};

/* Runs it; returns the exit status of DESIGN section 7. Errors are added to `errs` (not printed). */
int run_execute(const struct run_request *request, struct errs *errs);

/* Ports that no other run of this network namespace takes until run_ports_done or the end of the process. */
enum { RUN_PORTS_MAX = 64 };
struct run_ports {
    int claims[RUN_PORTS_MAX];
    size_t count;
};
void run_ports_done(struct run_ports *ports);

/* A free port of the loopback, outside the range that outgoing connections use; 0 when none was found. For playbook_options.free_port, with
 * a struct run_ports as its context, or NULL where nothing is run. */
uint16_t run_free_port(void *context, const char *name);

/* Prints exact targets, the timeline and the undo plan; starts nothing. Returns 0 or the status of the errors. */
int run_preview(const struct run_request *request, struct errs *errs);

/* What reading a playbook cannot know of its probes: patterns, and what this build can read. 0, or -EINVAL with located errors added. */
int run_check_probes(const struct playbook *playbook, struct errs *errs);

#endif
