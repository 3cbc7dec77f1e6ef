/* The overview of a history: its document, which controller/report/overview.h renders. */
#ifndef PERTURB_CMD_OVERVIEW_H
#define PERTURB_CMD_OVERVIEW_H

#include "controller/store/store.h"

#include <cjson/cJSON.h>
#include <stdint.h>
#include <time.h>

/* Reads the history and the results of its newest OVERVIEW_RUNS_MAX runs, one at a time. What is older than `length_ns` before `now` counts
 * only in what was tested at all. 0 with a new document (cJSON_Delete); negative with an error added. A result that is gone or
 * unreadable is counted in counts.unread. */
enum { OVERVIEW_RUNS_MAX = 5000 };
int overview_build(struct store_history *history, int64_t length_ns, time_t now, cJSON **ret_overview, struct errs *errs);

#endif
