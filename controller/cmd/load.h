/* What `perturb load` prints. */
#ifndef PERTURB_CMD_LOAD_H
#define PERTURB_CMD_LOAD_H

#include <stdbool.h>

#include "controller/load/load.h"

/* A load that has ended, to stdout. The exit status: 0 all went well, 1 some failed, 2 the generator was late itself, or nothing was
 * planned, or another generator failed. Quantiles are exact: of the latencies of answered requests, by the nearest rank; of a generator that tells totals, its own. */
int load_show(const struct load *load, const struct load_spec *spec, bool json);

#endif
