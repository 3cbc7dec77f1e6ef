/* SHA-256 and random bytes, from OpenSSL and the kernel. */
#ifndef PERTURB_SERVE_DIGEST_H
#define PERTURB_SERVE_DIGEST_H

#include <stddef.h>

enum { DIGEST_BYTES = 32, DIGEST_CHARS = 2 * DIGEST_BYTES + 1 };

/* In hexadecimal, as much as fits: 64 digits want DIGEST_CHARS. Returns text. */
char *digest_text(const void *bytes, size_t length, char *text, size_t size);

#endif
