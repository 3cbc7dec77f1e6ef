/* Looks for one text in a stream of bytes, however it is cut, without keeping the bytes (Knuth, Morris, Pratt 1977). */
#ifndef PERTURB_CONTROLLER_LOAD_MATCH_H
#define PERTURB_CONTROLLER_LOAD_MATCH_H

#include <stddef.h>

enum { MATCH_TEXT_MAX = 1024 };

struct match {
    size_t length; /* 0: nothing to look for, always found */
    char text[MATCH_TEXT_MAX];
    size_t fallback[MATCH_TEXT_MAX]; /* longest proper border of text[0..i] */
};

/* 0, -E2BIG. `text` may be NULL (nothing to look for). */
int match_init(struct match *match, const char *text);

/* Continues from `state` (0 at the start of a stream) and returns the new state; match->length means found, for good. */
size_t match_feed(const struct match *match, size_t state, const char *bytes, size_t length);

#endif
