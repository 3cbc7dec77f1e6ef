/* The directory of stored playbooks: what is in it, and what each of them says, as JSON. Knows nothing of HTTP.
 *
 *  1. A playbook's name is its path below the directory, ending in .yaml, .yml or .json; hidden files and symbolic links that leave the
 *     directory are not seen. */
#ifndef PERTURB_SERVE_LIBRARY_H
#define PERTURB_SERVE_LIBRARY_H

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

/* {name, title, service, tags, level, rigour, valid, errors: [{where, message}], hash}; `fully` adds source, description, owner, seed,
 * vars, faults, targets, proxies, loads, guards, expect. A file that is no playbook has valid: false and its errors. Returns new. */
cJSON *library_describe(const char *directory, const char *name, bool fully);

#endif
