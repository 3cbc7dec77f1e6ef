/* Which run a command on runs means: one that goes on, by its registration, or one that ended, by the history. */
#ifndef PERTURB_CMD_LIVE_RUN_H
#define PERTURB_CMD_LIVE_RUN_H

#include "controller/run/recover.h"

#include <stdbool.h>

struct chosen_run {
    char id[LIVE_RUN_ID_MAX];
    char directory[LIVE_RUN_PATH_MAX];
    struct process_id guardian; /* of one that lives */
    bool lives;
};

/* `key`: an id, the beginning of one, "last", or a run's directory; NULL is the one live run, the newest where several are allowed.
 * 0; negative with an error added: none, or (needs_live) it has ended, or several fit. */
int choose_run(const char *key, bool needs_live, struct chosen_run *ret_run, struct errs *errs);

#endif
