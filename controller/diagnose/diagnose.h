/* What a dump says about tasks that do not go on: Go task dumps, and snapshots of locks (`kind` "perturb-locks"). A diagnosis is a JSON
 * document (docs/locks.md); its text is printed from that.
 *
 * 1. Of Go nothing is claimed that the dump does not show. Which channel a task waits on stands in it only as an argument of a frame:
 *    `known_by` is "frame" when the runtime's own frame names it, "argument" when it is a pointer that the task's innermost frame was
 *    given. A task is stuck when no task that may still run mentions its channel in any frame; a reference held in a closure, a
 *    field or a global is not seen, so this is strong evidence and no proof. A nil channel and a select without cases are proof.
 *    Tasks that all receive, with nobody seen who sends, are "idle_or_leaked": a pool of idle workers looks the same.
 * 2. Of native threads a named deadlock is a fact: the cycle was there in two looks. An order cycle is a possibility. */
#ifndef PERTURB_DIAGNOSE_H
#define PERTURB_DIAGNOSE_H

#include "controller/diagnose/go_dump.h"

#include <stdio.h>

struct cJSON;

/* Of one dump; with `before`, an earlier one of the same process, also what grew and what never ended. Returns new; NULL: no memory. */
struct cJSON *go_diagnose(const struct go_dump *dump, const struct go_dump *before);
void go_show(const struct cJSON *diagnosis, FILE *out);

/* Checks that a parsed document is a snapshot of locks. 0 or -EINVAL with a located error. */
int locks_check(const struct cJSON *snapshot, const char *name, struct errs *errs);
struct cJSON *locks_diagnose(const struct cJSON *snapshot); /* returns new */
void locks_show(const struct cJSON *diagnosis, FILE *out);

#endif
