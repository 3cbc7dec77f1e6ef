/* For the tests of scenarios/: cmocka, random cases with a printed seed (PERTURB_TEST_SEED repeats one), findings. */
#ifndef PERTURB_TESTS_SCENARIO_CASES_H
#define PERTURB_TESTS_SCENARIO_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/err.h"
#include "scenarios/base/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cases {
    uint64_t seed, drawn;
};

/* A fresh sequence; its seed is printed, so that a failure can be repeated. */
static inline struct cases cases_begin(const char *what)
{
    const char *given = getenv("PERTURB_TEST_SEED");
    struct cases cases = { .seed = given ? strtoull(given, NULL, 10) : clock_wall_ns() };

    printf("# %s: PERTURB_TEST_SEED=%" PRIu64 "\n", what, cases.seed);
    return cases;
}

static inline uint64_t cases_draw(struct cases *cases)
{
    return rng_draw(cases->seed, 0, 0, cases->drawn++);
}

static inline uint64_t cases_below(struct cases *cases, uint64_t bound)
{
    return rng_below(cases_draw(cases), bound);
}

/* An integer of any magnitude: the number of bits is uniform. */
static inline int64_t cases_magnitude(struct cases *cases)
{
    uint64_t bits = cases_draw(cases);

    return (int64_t)(bits >> (1 + cases_below(cases, 63)));
}

/* One of the findings, at `where` (NULL: anywhere), holds `fragment`. */
static inline void expect_finding(const struct errs *errs, const char *where, const char *fragment, const char *input)
{
    for (size_t i = 0; i < errs->count; i++)
        if ((!where || !strcmp(errs->list[i].where, where)) && strstr(errs->list[i].text, fragment))
            return;
    errs_print(errs, stderr);
    fail_msg("'%s': no finding at %s that says '%s'", input, where ? where : "any place", fragment);
}

#endif
