/* `perturb run --dry-run` as a child, so that what looks at targets for people also answers the API. */
#ifndef PERTURB_SERVE_DRY_RUN_H
#define PERTURB_SERVE_DRY_RUN_H

#include "scenarios/base/buf.h"

#include <cjson/cJSON.h>

/* Runs it on the file with these variables (an object of texts, numbers, booleans; may be NULL), at most 10 s long. 0 with what it wrote
 * in *ret_text (buf_done) and its exit status; -errno, -ETIMEDOUT, -E2BIG for too many variables. */
int dry_run(const char *file, const cJSON *vars, struct buf *ret_text, int *ret_status);

#endif
