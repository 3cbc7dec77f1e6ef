/* Starting a target under the shim: where libperturb.so is, and what its environment needs. */
#ifndef PERTURB_SHIMS_PRELOAD_H
#define PERTURB_SHIMS_PRELOAD_H

#include <stddef.h>

/* The library: $PERTURB_LIB, else beside the running binary (build tree), else ../lib/perturb/ (installed).
 * 0; -ENOENT; -EINVAL when its path holds a blank or ':', which LD_PRELOAD cannot carry; -ENAMETOOLONG. */
int preload_find(char *path, size_t size);

/* Turns that path into the one of libperturb-watch.so, which also wraps releases, tries and conditions: what watching waits and the
 * points `unlock` and `cond_wait` need. 0 or -ENOENT, -ENAMETOOLONG. */
int preload_watching(char *path, size_t size);
#define PRELOAD_WATCHING (POINT_BIT(unlock) | POINT_BIT(cond_wait))

/* `environment` with LD_PRELOAD (ours first, the old value after it) and PERTURB_PAGE. Returns new: one block, freed by one
 * free(); the unchanged strings are borrowed from `environment`. NULL when there is no memory. */
char **preload_environment(char *const *environment, const char *library, const char *page_path);

#endif
