/* The history of runs as metrics: a group a playbook. */
#ifndef PERTURB_OUTLET_HISTORY_H
#define PERTURB_OUTLET_HISTORY_H

#include "controller/outlet/metrics.h"
#include "controller/store/store.h"

enum { HISTORY_PLAYBOOKS_MAX = 512, HISTORY_VERDICTS_MAX = 20 };

struct metrics_history {
    struct metrics_playbook *playbooks; /* owned, with their verdicts; texts are the runs' or the names' */
    size_t count, left_out; /* runs of playbooks past the maximum */
};

/* Groups `runs`, newest first, by `name_of`, whose texts live as long as the runs do. Runs that go on are left out. 0 or -ENOMEM. */
int metrics_history_take(const struct store_run *runs, size_t count, const char *(*name_of)(void *context, const struct store_run *run), void *context,
                         struct metrics_history *ret_history);
void metrics_history_done(struct metrics_history *history); /* accepts a zeroed one */

/* A live run as the last line of its live.jsonl tells it; NULL tells nothing. The loads, at most `max`, go to `loads`; their names and
 * the phase are the sample's. */
void metrics_take_sample(const cJSON *sample, struct metrics_run *run, struct metrics_load *loads, size_t max);

#endif
