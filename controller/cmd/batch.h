/* The runs that one command made (`--repeat`), told together beside the report of one of them. */
#ifndef PERTURB_CMD_BATCH_H
#define PERTURB_CMD_BATCH_H

#include "scenarios/base/buf.h"
#include "scenarios/base/err.h"

#include <cjson/cJSON.h>

/* Appends how long the runs of this document's batch took to come back, those that never did included (Kaplan and Meier). Nothing
 * when the run is alone, or the history does not know it. 0, or an error added. */
int batch_tell(const cJSON *document, struct buf *out, struct errs *errs);

#endif
