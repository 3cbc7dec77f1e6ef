/* Bulk mode: a direction whose bytes nobody looks at moves through a pipe, spliced, never copied into our memory.
 *
 *   receive --RECEIVES_FULL full chunks in a row, no rule watches--> wait for what is queued --> splice
 *      ^--- a rule watches, an end, or small moves again: the pipe runs empty first ---------------'
 *
 * 1. Bytes keep their order across both changes: splicing begins when nothing received waits or is being sent, and what is received
 *    or ended later goes when the pipe is empty.
 * 2. splice(2) is told not to wait by O_NONBLOCK on both sockets, set for the length of the call only: requests of the ring on a
 *    non-blocking socket end with -EAGAIN instead of waiting, and the other direction may be in receive mode.
 * 3. A pipe is given back empty, or closed.
 * Ground: splice(2), pipe(7) (F_SETPIPE_SZ, /proc/sys/fs/pipe-user-pages-soft). On the loop's thread, which blocks SIGPIPE. */
#ifndef PERTURB_INJECTOR_BULK_H
#define PERTURB_INJECTOR_BULK_H

#include <stdbool.h>
#include <stdint.h>

struct conn;

enum { BULK_PIPES_MAX = 32 }; /* of a loop */

struct bulk_pipe {
    int fds[2]; /* to read, to write */
    uint32_t capacity;
};

/* A loop's pipes: those at rest, and how many there are in all. Zeroed to begin with. */
struct bulk_pool {
    struct bulk_pipe idle[BULK_PIPES_MAX];
    uint32_t idle_count, count;
    uint64_t retry_ns; /* none could be made: not before */
};

/* One direction's part. */
struct bulk {
    struct bulk_pipe pipe;
    uint32_t piped;      /* bytes in the pipe */
    uint8_t full_run;    /* full chunks received in a row */
    uint8_t small_run;   /* small moves in a row */
    bool on;
    bool waits[2];       /* a poll is in flight: for the source to be readable, the destination to be writable */
};

/* Should the direction stop receiving, to splice? It looks again at what rules watch. */
bool bulk_wanted(struct conn *conn, int direction);

/* A receive brought so many bytes. */
void bulk_note_receive(struct bulk *bulk, uint32_t size);

/* Nothing received is left: begins. False without a pipe, and then the direction goes on receiving. */
bool bulk_begin(struct conn *conn, int direction);

/* Moves what can be moved, and ends the mode when it is to end and the pipe is empty. */
void bulk_advance(struct conn *conn, int direction);

/* A poll ended: `side` 0 of the source, 1 of the destination. */
void bulk_ready(struct conn *conn, int direction, int side);

void bulk_cancel(struct conn *conn, int direction); /* the polls in flight end soon */
void bulk_drop(struct conn *conn, int direction);   /* forgets the pipe and what is in it */
void bulk_pool_done(struct bulk_pool *pool);

#endif
