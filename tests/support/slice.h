/* A test that is played hundreds of times, each time with another call failing (tests/support/torture.py), plays a slice of what it
 * otherwise repeats: each kind of case stays, fewer of each. Where PERTURB_TEST_SLICE is not set, and in every other run, all. */
#ifndef PERTURB_TESTS_SLICE_H
#define PERTURB_TESTS_SLICE_H

#include <stddef.h>
#include <stdlib.h>

/* One in PERTURB_TEST_SLICE of `whole`, at least 1. */
static inline size_t slice_of(size_t whole)
{
    const char *text = getenv("PERTURB_TEST_SLICE");
    size_t part = text ? (size_t)strtoul(text, NULL, 10) : 1;

    return part < 2 ? whole : whole > part ? whole / part : 1;
}

#endif
