/* What symbols.c and stacks.c share. */
#ifndef PERTURB_SHIMS_SYMBOLS_PRIV_H
#define PERTURB_SHIMS_SYMBOLS_PRIV_H

#include "shims/host/symbols.h"

#include <elfutils/libdwfl.h>

/* What lies at `address`, or `path` and `shown` when that has no name. Either pointer may be NULL. Returns `text`. */
const char *symbols_describe(Dwfl_Module *module, const char *path, uint64_t address, uint64_t shown, char *text, size_t size);

#endif
