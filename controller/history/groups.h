/* Groups of runs out of the history: what compare and trend judge. */
#ifndef PERTURB_HISTORY_GROUPS_H
#define PERTURB_HISTORY_GROUPS_H

#include "controller/estimate/survival.h"
#include "controller/store/store.h"

#include <stdbool.h>

/* Runs that gave a number, oldest first. A run that had not come back says "longer than it was watched"; one that was aborted, not
 * injected or could not be judged says nothing and is only counted. */
struct run_group {
    struct store_run *runs; /* owned */
    size_t count;
    struct survival_run *outcome; /* [count], owned */
    size_t censored;  /* of `count`: never came back */
    size_t unjudged;  /* left out: no number */
};

/* Takes `runs` (newest first, as the store lists them). 0 or -ENOMEM with an error added; run_group_done after either. */
int run_group_take(struct store_run *runs, size_t count, struct errs *errs, struct run_group *ret_group);
void run_group_done(struct run_group *group);

/* The word is a run (id, start of one, "last"), which stands for all runs that were made by the same command, or several runs with
 * commas between, which stand for themselves. */
int run_group_find(struct store_history *history, const char *word, struct errs *errs, struct run_group *ret_group);

/* Do all share their pins (DESIGN section 8)? If not, *ret_other is one that differs from the first. */
bool run_group_is_pinned(const struct run_group *group, const struct run_group *other_or_null, const struct store_run **ret_other);

/* Their losses, those that are known: new array. 0 or -ENOMEM. */
int run_group_losses(const struct run_group *group, double **ret_losses, size_t *ret_count);

#endif
