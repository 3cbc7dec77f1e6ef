/* UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing beyond U+10FFFF. Pure. */
#ifndef PERTURB_BASE_UTF8_H
#define PERTURB_BASE_UTF8_H

#include <stddef.h>

/* Bytes of the character that `text` begins with, 1..4; 0 when it is malformed or cut off at `length` bytes (or length is 0). */
size_t utf8_character(const char *text, size_t length);

/* Bytes of `text` before the first malformed one; `length` when all of it is well-formed. */
size_t utf8_valid_length(const char *text, size_t length);

#endif
