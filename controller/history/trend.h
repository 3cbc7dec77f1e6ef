/* One playbook over the weeks: levels, the run at which they changed, and a score whose parts are shown. Prints nothing. */
#ifndef PERTURB_HISTORY_TREND_H
#define PERTURB_HISTORY_TREND_H

#include "controller/estimate/change.h"
#include "controller/history/groups.h"

#include <cjson/cJSON.h>

#define TREND_HALF_LIFE_DAYS 30.0

struct trend {
    struct run_group group; /* full rigour, one set of pins; oldest first */
    size_t quick, other_pins; /* left out */
    struct changes changes;   /* `first` counts in `group` */
    struct survival survival; /* of the runs since the last change */
    bool known; /* there is a survival */
    double median_s, p95_s, mean_s, horizon_s, age_days;
    struct est_interval median, mean;
};

/* Judges the runs of the playbook at that path, the newest `runs_max` of them (0: all). 0, also when there is none; negative with errors added. trend_done after either. */
int trend_collect(struct store_history *history, const char *playbook, size_t runs_max, struct errs *errs, struct trend *ret_trend);
void trend_done(struct trend *trend);

/* Recovery: 1 for at once, 0 for never within the observation; NaN when nothing is known. *ret_fresh is what it is worth: half as much
 * every TREND_HALF_LIFE_DAYS without a run. Only where `known`. */
double trend_score(const struct trend *trend, double *ret_fresh);

/* Days since its last run, now: what age_days is when it is judged. NaN without a run. */
double trend_age_days(const struct trend *trend);

/* The last change of level was for the worse. */
bool trend_has_regressed(const struct trend *trend);

/* As `perturb trend --format json` has it. Returns new. */
cJSON *trend_json(const char *playbook, const struct trend *trend);

#endif
