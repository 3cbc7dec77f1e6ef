/* SHA-256 and HMAC by OpenSSL (FIPS 180-4, RFC 2104), in hexadecimal. Where memory ends the program does, with a message and status 70. */
#ifndef PERTURB_DIGEST_H
#define PERTURB_DIGEST_H

#include <stddef.h>

enum { DIGEST_BYTES = 32, DIGEST_CHARS = 2 * DIGEST_BYTES + 1, SIGNATURE_SIZE = 72, TRACE_ID_SIZE = 33, SPAN_ID_SIZE = 17 };

/* As much as fits: all of it wants DIGEST_CHARS. Returns text. */
char *digest_text(const void *bytes, size_t length, char *text, size_t size);

/* "sha256=" and 64 digits: HMAC-SHA256 under `key` of "TIMESTAMP.BODY", which is what webhooks are signed with. Returns `text`
 * [SIGNATURE_SIZE]. */
char *signature_of(const char *key, const char *timestamp, const char *body, size_t length, char *text);

/* The first `digits` digits, 64 at most, of SHA-256 over "A/B": the id of a trace. Never all zeros, which OpenTelemetry forbids.
 * `text` holds digits + 1. */
void digest_id(const char *a, const char *b, size_t digits, char *text);

#endif
