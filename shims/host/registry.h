/* The one fixed directory through which every perturb process of a user finds the others, with no daemon and no network.
 *
 *     /run/perturb (root)   $XDG_RUNTIME_DIR/perturb   /tmp/perturb-UID      PERTURB_REGISTRY overrides
 *       pages/    control pages (page.h)     runs/    a folder a run     lever    there while runs are halted
 *       proxies/  notices (notice.h)
 *
 * 1. The directory is ours alone: owner's uid, mode 0700, no symbolic link; anything else is refused (-EPERM, -ELOOP).
 * 2. The lever is changed by rename and fsync, so it is never half set. */
#ifndef PERTURB_SHIMS_REGISTRY_H
#define PERTURB_SHIMS_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>

enum { REGISTRY_PATH_MAX = 200, REGISTRY_FILE_MAX = 320 };

struct registry {
    int fd; /* of the directory; -1 when closed */
    char path[REGISTRY_PATH_MAX];
};

/* Finds the directory, makes it and its folders if need be, and checks it. 0, -EPERM, -ELOOP, -ENAMETOOLONG, -errno. */
int registry_open(struct registry *ret_registry);
void registry_close(struct registry *registry); /* accepts NULL and a closed one */

/* Where the directory is or would be, and what an error of registry_open means, for people. Returns text. */
char *registry_explain(int error, char *text, size_t size);

/* "REGISTRY/part" into `path` (REGISTRY_FILE_MAX suffices for parts below 100 bytes). 0 or -ENAMETOOLONG. */
int registry_path(const struct registry *registry, const char *part, char *path, size_t size);

/* The lever: while it is set no run may arm. Setting is durable when the call returns. 0 or -errno. */
int lever_read(const struct registry *registry, bool *ret_halted);
int lever_set(const struct registry *registry, bool halted);

/* Sets the lever and makes every page inert (armed 0, lease 0, sleepers woken), asking nobody and waiting for no lock.
 * Goes on past a page that resists; returns the first error or 0. `ret_pages` counts the pages made inert. */
int registry_panic(const struct registry *registry, size_t *ret_pages);

#endif
