/* Finding control pages by what a person types: a process id or a page's name. */
#ifndef PERTURB_CMD_PAGES_H
#define PERTURB_CMD_PAGES_H

#include "scenarios/base/err.h"
#include "shims/host/page.h"

/* Opens the registry; 0 or -errno with an error under `command` added. */
int pages_registry(const char *command, struct registry *ret_registry, struct errs *errs);

/* The page named `target`, or the one that the process of that number uses (or owns). Returns new; a negative errno with an
 * error added that says why there is none. */
int pages_find(const struct registry *registry, const char *target, struct page **ret_page, struct errs *errs);

/* page_each for a command; pages that could not be looked at are an error under `command`. */
void pages_each(const char *command, const struct registry *registry, int (*each)(struct page *page, void *context), void *context,
                struct errs *errs);

#endif
