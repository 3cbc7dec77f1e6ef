/* See digest.h. */
#include "controller/base/digest.h"

#include "scenarios/base/err.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A context of our own: where memory ends in the first use of the default one, OpenSSL 3 goes on with half of it and crashes. */
static OSSL_LIB_CTX *library;

static void open_library(void)
{
    library = OSSL_LIB_CTX_new();
}

static OSSL_LIB_CTX *library_of(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, open_library);
    return library;
}

/* SHA-256 over bytes that are there fails only where memory ends. A digest stands for a token, a line of the audit log, an answer:
 * there is nothing to go on with. */
static void need(bool done)
{
    if (done)
        return;
    (void)fputs("perturb: no memory is left to make a digest\n", stderr);
    exit(ERR_INTERNAL);
}

static void sha256(const void *bytes, size_t length, unsigned char digest[DIGEST_BYTES])
{
    size_t size = 0;

    need(library_of() && EVP_Q_digest(library_of(), "SHA256", NULL, bytes, length, digest, &size) == 1 && size == DIGEST_BYTES);
}

static void put_hex(const unsigned char *bytes, size_t digits, char *text)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < digits; i++)
        text[i] = hex[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
    text[digits] = '\0';
}

char *digest_text(const void *bytes, size_t length, char *text, size_t size)
{
    unsigned char digest[DIGEST_BYTES];
    size_t digits = size - 1 < 2 * DIGEST_BYTES ? size - 1 : 2 * DIGEST_BYTES;

    sha256(bytes, length, digest);
    put_hex(digest, digits, text);
    return text;
}

char *signature_of(const char *key, const char *timestamp, const char *body, size_t length, char *text)
{
    unsigned char digest[DIGEST_BYTES];
    size_t head = strlen(timestamp), size = 0;
    char *signed_text = malloc(head + 1 + length + 1);

    need(signed_text != NULL);
    memcpy(signed_text, timestamp, head);
    signed_text[head] = '.';
    memcpy(signed_text + head + 1, body, length);
    need(library_of() && EVP_Q_mac(library_of(), "HMAC", NULL, "SHA256", NULL, key, strlen(key), (unsigned char *)signed_text, head + 1 + length, digest,
                                   sizeof(digest), &size) != NULL && size == DIGEST_BYTES);
    free(signed_text);
    memcpy(text, "sha256=", 7);
    put_hex(digest, 2 * DIGEST_BYTES, text + 7);
    return text;
}

void digest_id(const char *a, const char *b, size_t digits, char *text)
{
    unsigned char digest[DIGEST_BYTES];
    char input[512];

    snprintf(input, sizeof(input), "%s/%s", a, b);
    sha256(input, strlen(input), digest);
    if (digest[0] == 0)
        digest[0] = 1;
    put_hex(digest, digits, text);
}
