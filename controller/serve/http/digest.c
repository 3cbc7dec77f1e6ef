/* See digest.h. */
#include "controller/serve/http/digest.h"

#include <openssl/evp.h>
#include <stdio.h>

char *digest_text(const void *bytes, size_t length, char *text, size_t size)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };

    text[0] = '\0';
    EVP_Digest(bytes, length, digest, NULL, EVP_sha256(), NULL);
    for (size_t i = 0; i < DIGEST_BYTES && 2 * i + 2 < size; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}
