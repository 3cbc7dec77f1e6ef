/* The history of runs (controller/store) as handlers use it: one open handle behind a mutex of its own, so that a page of the history
 * never waits for the service. */
#ifndef PERTURB_SERVE_ARCHIVE_H
#define PERTURB_SERVE_ARCHIVE_H

#include "controller/history/trend.h"
#include "controller/serve/http/api.h"
#include "controller/store/store.h"

struct archive;

int archive_open(struct archive **ret_archive, struct errs *errs); /* 0, or negative with an error added */
void archive_close(struct archive *archive);                      /* accepts NULL */

/* Has this run ended, or lost its processes? Also when the history does not know it or cannot be read. */
bool archive_is_over(struct archive *archive, const char *run);

/* The history, this caller's alone until api_history_unlock(). */
struct store_history *api_history_lock(struct api_call *call);
void api_history_unlock(struct api_call *call);

/* A run by its exact id. 0 and *ret_run is to be ended by store_run_done(); -ENOENT without an error added; negative with one. */
int api_look_up(struct api_call *call, const char *id, struct store_run *ret_run);

/* The run of the path's {id}: exact, or "last". 0 and *ret_run is to be ended by store_run_done(); negative: the call is answered. */
int api_find_run(struct api_call *call, struct store_run *ret_run);

/* The API's name of a playbook: its path below the playbooks' directory; the path as given where it lies elsewhere. Borrowed. */
const char *api_playbook_name(struct api_call *call, const struct store_run *run);

/* The trend of the newest ARCHIVE_TREND_RUNS runs of a playbook by its path, kept as long as no run of it is added or ends. 0 and
 * *ret_trend is this caller's alone until api_trend_unlock(); negative with errors added: nothing is to be unlocked. */
enum { ARCHIVE_TREND_RUNS = 300, ARCHIVE_TRENDS_MAX = 256 };
int api_trend_lock(struct api_call *call, const char *path, struct trend **ret_trend);
void api_trend_unlock(struct api_call *call);

#endif
