/* A game day: a run with people. Its state is one document, STATE/gamedays/ID/gameday.json, that the command and the service share.
 *
 *     checklist --(every item is ticked)--> ready --(gameday_begin)--> running --(gameday_finish)--> ended
 *
 * 1. Each change is on disk, whole, before it is told.
 * 2. Nothing starts before every item of the checklist is ticked, by somebody and at an instant.
 * 3. What people do in the run are marks of the run (controller/run/marks.h); the ticks become marks too, so the run's events have all.
 * 4. A goal that was missed opens a finding of its own series, and the next game day that meets it closes it. Who owns what was opened
 *    and when it is to be tested again is the playbook's word; what somebody has already set is left alone.
 *
 * The document: id, playbook, title, scenario, roles, checklist [{item, by, at, ns}], goals_s, findings {owner, due_s}, state, by,
 * opened, run, directory, and at the end scorecard (docs/gamedays.md). */
#ifndef PERTURB_GAMEDAY_GAMEDAY_H
#define PERTURB_GAMEDAY_GAMEDAY_H

#include "scenarios/base/err.h"
#include "scenarios/playbook/playbook.h"

#include <cjson/cJSON.h>

enum { GAMEDAY_ID_MAX = 40 };

struct gameday {
    char id[GAMEDAY_ID_MAX];
    char directory[512];
    cJSON *document; /* owned */
};

/* A new one of a playbook, written. `by` NULL: the user's name. 0; negative with an error added. gameday_done() in the end. */
int gameday_open(struct gameday *gameday, const struct playbook *playbook, const char *by, struct errs *errs);
int gameday_read(struct gameday *gameday, const char *id, struct errs *errs); /* -ENOENT when there is none */
void gameday_done(struct gameday *gameday);                                   /* accepts one that was never opened */

/* The newest first, each as its document: a new list. 0; negative with an error added. */
int gameday_list(cJSON **ret_list, struct errs *errs);

/* Sets a text of the document; for what belongs to whoever holds the day. 0; the store's with an error added. */
int gameday_note(struct gameday *gameday, const char *key, const char *text, struct errs *errs);

/* Ticks item 0, 1, ...; one that is ticked stays as it was. 0; -ERANGE, -EBUSY (it has begun) or the store's, with an error added. */
int gameday_tick(struct gameday *gameday, size_t item, const char *by, struct errs *errs);
bool gameday_is_ready(const struct gameday *gameday);

/* Its run is called so and lies there. -EBUSY with an error added when it is not ready. */
int gameday_begin(struct gameday *gameday, const char *run, const char *directory, struct errs *errs);

/* Hands the ticks to the run, which has its directory. 0 or -errno. */
int gameday_tell_run(const struct gameday *gameday);

/* The run has ended with `status`: scorecard and findings. 0; negative with errors added. */
int gameday_finish(struct gameday *gameday, int status, struct errs *errs);

/* The exit status: the run's, and 1 where that is 0 and a goal was missed. */
int gameday_status(const struct gameday *gameday);

/* scorecard.c: from a result document: verdict, why, status, convergence_s, timers, plan [{what, done, of}], met, of. New. */
cJSON *gameday_scorecard(const cJSON *gameday, const cJSON *result);
void gameday_print_scorecard(const cJSON *gameday, FILE *out);

#endif
