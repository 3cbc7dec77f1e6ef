/* The undo journal: what does not expire by itself is written here, durably, before it is applied (DESIGN section 5.2).
 *
 * A line is "CHECK SEQ STATE VERB ARGUMENT\n", CHECK being the FNV-1a hash of what follows it. A torn last line (power cut,
 * SIGKILL in the middle of a write) fails its check and is cut off on opening: its effect was never applied. An entry's state is
 * that of its last line. Undo is data, never code: verbs are looked up in undo.c. */
#ifndef PERTURB_RUN_JOURNAL_H
#define PERTURB_RUN_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

enum { JOURNAL_ENTRIES_MAX = 1024, JOURNAL_VERB_MAX = 16, JOURNAL_ARGUMENT_MAX = 480, JOURNAL_PATH_MAX = 512 };

enum journal_state { JOURNAL_PLANNED, JOURNAL_APPLIED, JOURNAL_UNDONE, JOURNAL_MOOT, JOURNAL_FAILED, JOURNAL_STATES };

extern const char *const journal_state_names[JOURNAL_STATES];

struct journal_entry {
    uint64_t seq; /* from 1 */
    enum journal_state state;
    char verb[JOURNAL_VERB_MAX];
    char argument[JOURNAL_ARGUMENT_MAX];
};

struct journal {
    int fd;
    size_t count;
    struct journal_entry *entries; /* owned; JOURNAL_ENTRIES_MAX of them */
};

/* Creates (it must not exist) or opens one; 0 or -errno. journal_close accepts a zeroed or closed one. */
int journal_create(struct journal *journal, const char *path);
int journal_open(struct journal *journal, const char *path);

/* Only reads, so that it may be used beside the journal's writer: nothing is cut off, marks are -EROFS. */
int journal_load(struct journal *journal, const char *path);
void journal_close(struct journal *journal);

/* Durable when they return. 0; -ENOSPC (full), -EINVAL (a newline in the argument, too long), -errno of write or fsync. */
int journal_plan(struct journal *journal, const char *verb, const char *argument, uint64_t *ret_seq);
int journal_mark(struct journal *journal, uint64_t seq, enum journal_state state);

#endif
