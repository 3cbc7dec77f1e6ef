/* Does this rule act on this occasion? Pure: no I/O, no allocation, no clock read, no state. Shim-safe.
 *
 * The caller asks in three steps, because counting lies between them:
 *   1. decide_matches()  the predicates: point, direction, size, path, fd, addresses, thread, caller
 *   2. the caller counts the match in its stream; the count, from 1, is the ordinal
 *   3. decide_fires()    window, first..last, nth, then the draw
 * and, if that says yes, takes one of the rule's global budget (decide_take), which is the one shared atomic. */
#ifndef PERTURB_VOCAB_DECIDE_H
#define PERTURB_VOCAB_DECIDE_H

#include "scenarios/vocab/plan.h"

#include <sys/socket.h>

/* One occasion, told alike by every backend. Pointers are borrowed; NULL or -1 where the backend does not know, which makes a
 * selector that asks for it not match (also when negated: the unknown is never hit). */
struct decide_event {
    uint64_t points;          /* call layer: BIT(point) of all it is (a read on a socket is read and recv) */
    uint32_t direction;       /* wire: enum direction; else 0 */
    int32_t fd;               /* -1 unknown */
    uint64_t size;            /* bytes asked for, or of the datagram */
    const char *path;         /* of the file */
    const char *thread;       /* name of the thread */
    const char *caller;       /* file name of the calling module; "symbol:NAME" for a rule that asks so */
    const char *host;         /* name being looked up, in lower case */
    const char *label;        /* of a point in the code */
    const struct sockaddr *peer, *client;
    uint64_t stream;   /* stream id: thread, connection, or session and direction */
    uint64_t position; /* of the draw: call ordinal, connection cell, datagram */
    uint64_t since_arm_ns;
};

enum decision {
    DECIDE_NOT_ELIGIBLE, /* outside window or ordinals */
    DECIDE_NOT_DRAWN,
    DECIDE_FIRE,
};

bool decide_matches(const struct plan_rule *rule, const struct decide_event *event);
enum decision decide_fires(const struct plan_rule *rule, uint64_t seed, const struct decide_event *event, uint64_t ordinal);

/* Takes one of the budget; `fired` is the rule's shared counter of firings. False when the budget is spent. */
bool decide_take(const struct plan_rule *rule, uint64_t *fired);

/* '*' any run, '?' any byte, "\x" the byte x; '*' crosses '/'. Linear in practice, bounded backtracking. */
bool glob_match(const char *pattern, const char *text);
bool text_matches(const char *pattern, uint32_t negate, const char *text); /* "" matches all; NULL is unknown, which nothing hits */
bool address_matches(const struct address_match *match, const struct sockaddr *address);

/* Parses "10.0.0.0/8", "[::1]:6379", "127.0.0.1:80-90", ":6379". 0 or -EINVAL. Not for shims. */
int address_match_parse(const char *text, struct address_match *ret_match);

/* The inverse, without the negation; 96 bytes always suffice. 0 or -E2BIG. Not for shims. */
int address_match_print(const struct address_match *match, char *text, size_t size);

#endif
