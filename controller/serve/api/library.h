/* The directory of stored playbooks: what is in it, and what each of them says, as JSON. Knows nothing of HTTP.
 *
 *  1. A playbook's name is its path below the directory, ending in .yaml, .yml or .json; hidden files and symbolic links that leave the
 *     directory are not seen. */
#ifndef PERTURB_SERVE_LIBRARY_H
#define PERTURB_SERVE_LIBRARY_H

#include "scenarios/base/buf.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

enum { LIBRARY_NAMES_MAX = 5000, LIBRARY_DEPTH_MAX = 6 };

struct library_names {
    char **list; /* sorted by bytes; owned */
    size_t count;
};

int library_list(const char *directory, struct library_names *ret_names); /* 0 or -errno; a directory that is not there is empty */
void library_names_done(struct library_names *names);

/* {name, title, service, tier, tags, rigour, valid, errors: [{where, message}], hash}; `fully` adds source, description, owner, vars,
 * targets, proxies, loads, faults, guards, expect. A file that is no playbook has valid: false and its errors. Returns new. */
cJSON *library_describe(const char *directory, const char *name, bool fully);

/* The same of a text that is not stored; `vars_or_null` (an object of texts, numbers, booleans) overrides its variables. `warnings` are
 * told too. Returns new. */
cJSON *library_judge(const char *name, const char *source, size_t length, const cJSON *vars_or_null, bool fully);

/* Stores a playbook durably and as a whole, in folders that are made if need be. 0 or -errno: -EINVAL for a name that is none, -ELOOP
 * where the way to it leads through a link. */
int library_write(const char *directory, const char *name, const char *source, size_t length);
int library_remove(const char *directory, const char *name);

/* Its text; `source` is initialised by the caller. 0 or -errno, as above. */
int library_read(const char *directory, const char *name, struct buf *source);

bool library_is_name(const char *name); /* fit for a stored playbook */

#endif
