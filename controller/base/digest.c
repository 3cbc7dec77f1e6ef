/* See digest.h. */
#include "controller/base/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    size_t digits = size - 1 < 2 * DIGEST_BYTES ? size - 1 : 2 * DIGEST_BYTES, made = DIGEST_BYTES;
    bool done = EVP_Q_digest(NULL, "SHA256", NULL, bytes, length, digest, &made) == 1;

    assert(done && made == DIGEST_BYTES);
    put_hex(digest, digits, text);
    return text;
}

char *signature_of(const char *key, const char *timestamp, const char *body, size_t length, char *text)
{
    unsigned char digest[DIGEST_BYTES];
    size_t head = strlen(timestamp), size = DIGEST_BYTES;
    char *signed_text = malloc(head + 1 + length + 1);
    bool done;

    assert(signed_text);
    memcpy(signed_text, timestamp, head);
    signed_text[head] = '.';
    memcpy(signed_text + head + 1, body, length);
    done = EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, strlen(key), (unsigned char *)signed_text, head + 1 + length, digest, sizeof(digest), &size) != NULL;
    assert(done && size == DIGEST_BYTES);
    free(signed_text);
    memcpy(text, "sha256=", 7);
    put_hex(digest, 2 * DIGEST_BYTES, text + 7);
    return text;
}

void digest_id(const char *a, const char *b, size_t digits, char *text)
{
    unsigned char digest[DIGEST_BYTES];
    char input[512];
    size_t size = DIGEST_BYTES;
    bool done;

    snprintf(input, sizeof(input), "%s/%s", a, b);
    done = EVP_Q_digest(NULL, "SHA256", NULL, input, strlen(input), digest, &size) == 1;
    assert(done && size == DIGEST_BYTES);
    if (digest[0] == 0)
        digest[0] = 1;
    put_hex(digest, digits, text);
}
