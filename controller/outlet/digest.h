/* Digests: what webhooks are signed with, and what ids of traces are made of. SHA-256 and HMAC by OpenSSL (FIPS 180-4, RFC 2104). */
#ifndef PERTURB_OUTLET_DIGEST_H
#define PERTURB_OUTLET_DIGEST_H

#include <stddef.h>

enum { SIGNATURE_SIZE = 72, TRACE_ID_SIZE = 33, SPAN_ID_SIZE = 17 };

/* "sha256=" and 64 hex digits: HMAC-SHA256 under `key` of "TIMESTAMP.BODY". Returns `text` [SIGNATURE_SIZE]. */
char *signature_of(const char *key, const char *timestamp, const char *body, size_t length, char *text);

/* The first `digits` hex digits, 64 at most, of SHA-256 over "A/B". Never all zeros, which OpenTelemetry forbids. `text` holds digits + 1. */
void digest_id(const char *a, const char *b, size_t digits, char *text);

#endif
