/* Schedules, their occurrences, windows and suites, as the API and serve.yaml give them and take them: JSON of the contract's shapes.
 *
 *   schedule  {id, name, playbook|suite, cron, zone, jitter, deadline, catch_up: "skip"|"one"|{"all":n}, overlap: "forbid"|"queue"|"replace",
 *              enabled, vars, windows:[name], source: "api"|"file", next:{due,start}|null, skip, note}
 *   window    {name, kind: "allow"|"freeze", cron+duration or from+until, zone, source, open}
 *   suite     {name, steps:[{playbook, vars, repeat, spacing}], stop_on_failure, source}
 *   occurrence {schedule, name, due, state: "due"|"started"|"skipped", reason, run}
 *
 * Lengths are texts ("10m") or numbers of seconds. All functions lock by themselves. Those that return JSON return new; NULL with errors
 * added, or with none where there is no such thing. */
#ifndef PERTURB_SERVE_TIMETABLE_H
#define PERTURB_SERVE_TIMETABLE_H

#include "controller/serve/core/service.h"

/* Adds one (`id` 0) or changes the members that `body` has. `where` heads the errors. 0; -EINVAL, -ENOENT, -EEXIST (the name is taken),
 * -EACCES (it comes from serve.yaml: change it there; enabling and skipping are free). */
int timetable_put_schedule(struct service *service, int64_t id, const cJSON *body, cJSON **ret_schedule, struct errs *errs);
cJSON *timetable_schedule(struct service *service, int64_t id, struct errs *errs);
cJSON *timetable_schedules(struct service *service, struct errs *errs); /* an array, by name */
int timetable_delete_schedule(struct service *service, int64_t id, struct errs *errs);
int timetable_enable_schedule(struct service *service, int64_t id, bool enabled, struct errs *errs);
int timetable_skip_next(struct service *service, int64_t id, const char *by, cJSON **ret_schedule, struct errs *errs);

/* Newest first; of one schedule, or all (0); those behind the one of this `due` and `id`, as it was shown (NULL: from the newest), at most
 * `limit`. */
cJSON *timetable_occurrences(struct service *service, int64_t schedule, const char *due, const char *id, size_t limit, struct errs *errs);

int timetable_add_window(struct service *service, const cJSON *body, cJSON **ret_window, struct errs *errs);
cJSON *timetable_windows(struct service *service, struct errs *errs);
int timetable_delete_window(struct service *service, const char *name, struct errs *errs);

int timetable_put_suite(struct service *service, const cJSON *body, cJSON **ret_suite, struct errs *errs); /* new, or changed, by its name */
cJSON *timetable_suites(struct service *service, struct errs *errs);
int timetable_delete_suite(struct service *service, const char *name, struct errs *errs);

/* Starts one now. `ret_id` (RUN_ID_MAX) names this run of the suite. 0, -ENOENT, -EPERM (lever). */
int timetable_start_suite(struct service *service, const char *name, const char *by_kind, const char *by_name, char *ret_id, struct errs *errs);
cJSON *timetable_suite_runs(struct service *service, size_t limit, struct errs *errs); /* {id, suite, state, step, steps, run, outcome, started, ended} */
int timetable_abort_suite(struct service *service, const char *id, const char *by, struct errs *errs);

/* Pauses or resumes the whole scheduler: occurrences are skipped with that reason. */
int timetable_pause(struct service *service, bool paused, struct errs *errs);

#endif
