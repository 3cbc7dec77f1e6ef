/* Outlets beside a run of the command line: a process that tells it (controller/outlet/teller.h). */
#ifndef PERTURB_CMD_OUTLETS_H
#define PERTURB_CMD_OUTLETS_H

#include "controller/outlet/config.h"
#include "scenarios/playbook/playbook.h"

#include <stdbool.h>

struct outlet_watch {
    const char *file; /* of the outlets */
    const struct outlet_config *config;
    int pidfd;        /* of the process that tells; -1: none */
    int pid;
    char root[4096], name[64];
};

/* For run_request.begun: starts the process that tells this run. That it cannot is told, and holds nothing up. */
void outlets_begin(void *watch, const char *id, const char *directory, const struct playbook *playbook);

/* After the run: waits for it as long as the configuration says, and tells a person what still waits. Without `waits` it is left to
 * itself: it ends as soon, and a service sends the rest. */
void outlets_end(struct outlet_watch *watch, bool waits);

#endif
