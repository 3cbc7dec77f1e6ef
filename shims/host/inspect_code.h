/* The fault points that an object's code has, read from its file. For inspect.c. */
#ifndef PERTURB_SHIMS_INSPECT_CODE_H
#define PERTURB_SHIMS_INSPECT_CODE_H

#include "shims/host/elf.h"
#include "shims/host/inspect.h"

/* Adds them, and the point `code`; -ENOMEM goes to `shortage`. A section that is no list of points ends the reading. */
void inspect_codes(struct inspection *inspection, const struct elf_file *elf);
void inspect_codes_free(struct inspection *inspection);

#endif
