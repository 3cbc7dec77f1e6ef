/* Fault points in programs' own code (shims/include/perturb.h), as `perturb ps` and `perturb doctor` tell them. */
#ifndef PERTURB_CMD_CODE_POINTS_H
#define PERTURB_CMD_CODE_POINTS_H

#include "shims/host/inspect.h"
#include "shims/host/page.h"

/* The points of all programs under a page, by name, with their hits; nothing when there are none. */
void code_points_of_page(const struct page *page);

/* The points in a program's files, and whether they can act. */
void code_points_of_program(struct inspection *inspection);

#endif
