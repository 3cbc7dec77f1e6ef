/* Finding control pages by what a person types: a process id, a page's name, a pattern, or all of them. */
#ifndef PERTURB_LOOK_PAGES_H
#define PERTURB_LOOK_PAGES_H

#include "scenarios/base/err.h"
#include "shims/host/page.h"

enum { PAGES_MAX = 256 };

struct pages {
    size_t count;
    struct page *list[PAGES_MAX];
};

/* Opens the registry; 0 or -errno with an error under `command` added. */
int pages_registry(const char *command, struct registry *ret_registry, struct errs *errs);

/* The page named `target`; or that of the process of that number (it uses or owns it); or every page of which the name, or the name of
 * a living process, is `target` or matches it as a pattern (glob(7)). NULL: every page. None is an error, which says why, except where
 * all were asked for. 0 or a negative errno; pages_close after either. */
int pages_select(const struct registry *registry, const char *target, struct pages *ret_pages, struct errs *errs);
void pages_close(struct pages *pages);

#endif
