/* A fuzz target: one entry, seeds, checks that hold in any build. Linked with libFuzzer by `make fuzz`, and with replay.c, which
 * plays seeds and a fixed sequence of mutations of them, in `make check`. */
#ifndef PERTURB_TESTS_FUZZ_H
#define PERTURB_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const char *const fuzz_seeds[]; /* ends with NULL */

#define fuzz_check(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

#endif
