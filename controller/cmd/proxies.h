/* `perturb proxy` processes, as their notices in the registry tell of them. */
#ifndef PERTURB_CMD_PROXIES_H
#define PERTURB_CMD_PROXIES_H

#include "shims/host/registry.h"

#include <stddef.h>

/* Prints each; returns how many. `first`: no blank line before the first. */
size_t proxies_print(const struct registry *registry, bool first);

#endif
