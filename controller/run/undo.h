/* What each verb of the journal means backwards. One table; used by the guardian at the end of a run, by the runner when the
 * guardian died, and by `perturb recover`. Undo is idempotent and runs newest first. */
#ifndef PERTURB_RUN_UNDO_H
#define PERTURB_RUN_UNDO_H

#include "controller/run/journal.h"

#include <stdbool.h>

/* Verbs, and what their argument is. */
#define UNDO_GROUP "group"     /* a control group's path: all of it is killed, then it is removed */
#define UNDO_PROCESS "process" /* an identity: it and its descendants are killed */
#define UNDO_MARKED "marked"   /* a run id: whoever carries its mark is killed */
#define UNDO_FREEZE "freeze"   /* a control group's path: it goes on */
#define UNDO_STOP "stop"       /* an identity: it goes on (SIGCONT) */
#define UNDO_PAGE "page"       /* a control page's name: made inert and removed */
#define UNDO_ATTACH "attach" /* "PAGE IDENTITY": processes under a control page of ours that ran before: detached, and it is removed */
#define UNDO_RELEASE "release" /* name of a control page that is not ours: nothing acts through it any more, it stays */
#define UNDO_WIRE "wire"       /* identity of a wire executor: told to release and drain (SIGTERM); connections live on */
#define UNDO_CAPTURE "capture" /* a record of shims/host/capture.h: its table goes; what was captured lives on */
#define UNDO_MEMORY "memory"   /* a record of shims/host/memory.h: a limit is put back */
#define UNDO_MEMORY_GROUP "memgroup" /* "PATH BACK": a memory control group of the run goes, what is in it goes to BACK */
#define UNDO_MOVE "move"       /* "IDENTITY GROUP": a process that is not ours goes back to its group */
#define UNDO_HELPER "helper"   /* identity of a helper of the run: killed */
#define UNDO_FILE "file"       /* a path ".perturb-...": removed */
#define UNDO_CUT "cut"         /* a record of shims/host/cut.h: its table goes */
#define UNDO_KILLED "killed"   /* a target that a fault ended; its end belongs to the run, nothing is left to undo */

/* Told of each entry: its verb and argument, and "undone", "moot" or what went wrong. */
typedef void undo_report(void *context, const struct journal_entry *entry, const char *outcome);

/* Undoes every entry that is planned, applied or failed, newest first, and marks it. Returns 0 when all of them are undone,
 * else the number that resisted. `report` may be NULL. */
int undo_all(struct journal *journal, undo_report *report, void *context);

/* Does undoing an entry of this verb end a fault and nothing else? (`perturb panic` does these.) */
bool undo_ends_fault(const char *verb);

/* Undoes one entry now (a fault's release). 0 or -errno. */
int undo_one(struct journal *journal, uint64_t seq);

#endif
