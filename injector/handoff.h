/* Accepted connections on their way from the loop that accepts to the one that serves them: a bounded queue, written by any loop,
 * read by its own, without a lock. After D. Vyukov's bounded queue: a cell's turn says whose it is. */
#ifndef PERTURB_INJECTOR_HANDOFF_H
#define PERTURB_INJECTOR_HANDOFF_H

#include <stdbool.h>
#include <stdint.h>

enum { HANDOFF_CELLS = 1024 };

struct proxy;

struct handed {
    struct proxy *proxy; /* one reference */
    int fd;              /* owned */
    uint64_t sequence;
    uint64_t adoptions;  /* of the loop that accepted: how many plans it had taken up */
    uint64_t *ordinals;  /* owned: armed_count_in's, of that loop's plan; NULL when there was none */
};

struct handoff_cell {
    uint64_t turn; /* (atomic) its position: to be written; + 1: to be read */
    struct handed handed;
};

struct handoff {
    uint64_t written __attribute__((aligned(64))); /* (atomic) */
    uint64_t read __attribute__((aligned(64)));
    struct handoff_cell cells[HANDOFF_CELLS];
};

void handoff_init(struct handoff *handoff);
bool handoff_push(struct handoff *handoff, const struct handed *handed); /* false when it is full: nothing was taken */

/* The oldest, borrowed until handoff_drop; NULL when there is none. */
const struct handed *handoff_peek(const struct handoff *handoff);
void handoff_drop(struct handoff *handoff);

#endif
