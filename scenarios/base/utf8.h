/* UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing beyond U+10FFFF. Pure. */
#ifndef PERTURB_BASE_UTF8_H
#define PERTURB_BASE_UTF8_H

#include <stddef.h>

/* Bytes of the character that `text` begins with, 1..4; 0 when it is malformed or cut off at `length` bytes (or length is 0). */
size_t utf8_character(const char *text, size_t length);

/* Bytes of `text` before the first malformed one; `length` when all of it is well-formed. */
size_t utf8_valid_length(const char *text, size_t length);

/* The same, and 0 as well for what must not reach a terminal: controls (C0, DEL, C1, so that neither ESC nor the one-character CSI
 * gets through) and the characters that turn the order of reading (Unicode Standard Annex 9; CVE-2021-42574). */
size_t utf8_showable(const char *text, size_t length);

/* Puts '?' for each character of a text that must not be shown, and for each byte that is part of none. */
void utf8_make_showable(char *text);

/* A copy of `text` made so, cut off where `room` ends. Returns room. NULL reads as "". */
char *utf8_shown(const char *text, char *room, size_t size);

#endif
