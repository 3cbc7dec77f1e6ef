/* What a playbook may not be aimed at, and what has to have agreed to it. Judged on a checked playbook before anything starts.
 *
 * 1. The controller itself, its store and the metrics path are protected always; serve.yaml adds to them.
 * 2. With `require_opt_in`, what exists without the run has to agree on its own side, where whoever starts runs cannot reach: a process by
 *    PERTURB_OPT_IN=1 in its environment (set where it is deployed), anything else by a line of the opt-in file, which belongs to root
 *    (or to us) and which nobody else may write:
 *        unit NAME   cgroup PATH   address HOST:PORT   port N   host
 *    What the run itself spawns needs none. */
#ifndef PERTURB_SERVE_PROTECT_H
#define PERTURB_SERVE_PROTECT_H

#include "controller/serve/core/settings.h"
#include "scenarios/playbook/playbook.h"

struct protect {
    const struct settings *settings;
    const char *listen;   /* "ADDRESS:PORT" of the service; "" for none */
    const char *data;     /* its store */
    const char *registry; /* the registry directory */
};

/* 0; -EPERM with an error for each thing that stands against it. */
int protect_judge(const struct protect *protect, const char *name, const struct playbook *playbook, struct errs *errs);

#endif
