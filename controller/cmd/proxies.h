/* `perturb proxy` processes, as their notices in the registry tell of them. */
#ifndef PERTURB_CMD_PROXIES_H
#define PERTURB_CMD_PROXIES_H

#include "shims/host/registry.h"

#include <stddef.h>

/* Prints each; returns how many. `first`: no blank line before the first. */
size_t proxies_print(const struct registry *registry, bool first);

/* Waits until each has heard of the lever, which is set, and released its toxics. `ret_told` counts them, `ret_left` those that
 * have not. 0 or -errno. */
int proxies_wait_halted(const struct registry *registry, int timeout_ms, size_t *ret_told, size_t *ret_left);

#endif
