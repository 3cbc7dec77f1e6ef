/* The back-end behind every contender: one process, one epoll loop. The first byte a client sends says what the connection is for:
 *   'Z' a stream by sendfile(2) (costs the sender little)   'W' a stream by send(2) (copied)   else: every byte comes back.
 * A stream is the pattern over and over; it ends, with a FIN, when the client sends another byte. */
#ifndef PERTURB_TESTS_BENCH_BACKEND_H
#define PERTURB_TESTS_BENCH_BACKEND_H

#include <stdint.h>
#include <sys/types.h>

enum { PATTERN_BYTES = 4 << 20, BACKEND_PORT = 7000 };

/* Shared with the client. */
struct backend_counts {
    uint64_t sent_bytes; /* (atomic) of streams, as taken by the kernel */
};

extern const unsigned char *pattern; /* PATTERN_BYTES, no part of it like another */

struct backend_counts *backend_start(pid_t *ret_pid); /* listens on 127.0.0.1:BACKEND_PORT when this returns */

#endif
