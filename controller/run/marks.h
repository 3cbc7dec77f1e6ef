/* Marks: instants that people set in a live run (detected, acknowledged, mitigated), their notes, and the `go` that a hold waits for.
 *
 * They cross from whoever presses to the runner by a file, DIRECTORY/marks.jsonl, and not by the guardian's socket: it is there while
 * the runner is stopped, it survives it, and a mark that was taken is on disk before the presser is told so.
 *
 * 1. The instant is the presser's own reading of CLOCK_MONOTONIC, taken first of all; runner and presser share a machine.
 * 2. A mark is one line, appended under flock(2) and synced; a torn line of a crash is left behind, never joined.
 * 3. The run takes the lock for its last look and keeps it until result.json is there: a mark is in the result or refused. */
#ifndef PERTURB_RUN_MARKS_H
#define PERTURB_RUN_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* In the order of mark_names. `checked` ticks an item of a game day's checklist: its text is the item's. */
enum mark_kind { MARK_DETECTED, MARK_ACKNOWLEDGED, MARK_MITIGATED, MARK_NOTE, MARK_GO, MARK_CHECKED, MARK_KINDS };

enum { MARK_TEXT_MAX = 400, MARK_BY_MAX = 64, MARKS_MAX = 10000 };

struct mark {
    uint64_t ns;
    enum mark_kind kind;
    char by[MARK_BY_MAX]; /* who pressed; UTF-8, hostile */
    char text[MARK_TEXT_MAX];
};

extern const char *const mark_names[MARK_KINDS];
int mark_find(const char *name); /* -1 for none */

/* Fills a mark; texts may be NULL, are cut at the last whole character, and lose what is no UTF-8. `by` NULL: the user's name. */
void mark_init(struct mark *mark, enum mark_kind kind, uint64_t ns, const char *by, const char *text);

/* Durable when it returns 0. -ESHUTDOWN: the run has ended; -EFBIG: it has too many; -errno. May wait for the run's last look. */
int mark_put(const char *directory, const struct mark *mark);

/* The marks from `*offset` on, which is moved past what was read. `each` returns false to stop. 0 (also without a file) or -errno. */
typedef bool mark_visit(void *context, const struct mark *mark);
int marks_read(const char *directory, off_t *offset, mark_visit *each, void *context);

/* No mark is taken from now on until the descriptor is closed. A descriptor, or -errno. */
int marks_close(const char *directory);

#endif
