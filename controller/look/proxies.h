/* `perturb proxy` processes, as their notices in the registry tell of them. Prints nothing. */
#ifndef PERTURB_LOOK_PROXIES_H
#define PERTURB_LOOK_PROXIES_H

#include "shims/host/registry.h"

#include <cjson/cJSON.h>
#include <stddef.h>

/* Waits until each has heard of the lever, which is set, and released its toxics. `ret_told` counts them, `ret_left` those that
 * have not. 0 or -errno. */
int proxies_wait_halted(const struct registry *registry, int timeout_ms, size_t *ret_told, size_t *ret_left);

/* A list of {pid, state: idle|armed|halted, text}, the text as written for people. Returns new. */
cJSON *proxies_json(const struct registry *registry);

#endif
