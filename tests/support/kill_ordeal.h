/* Killing parts of a run in the middle of it, and judging from outside what is left (DESIGN section 12). */
#ifndef PERTURB_TESTS_KILL_ORDEAL_H
#define PERTURB_TESTS_KILL_ORDEAL_H

#include <stdint.h>

/* A whole TAP test of `count` ordeals, `parallel` at a time; each draws whom it kills and when from `seed` and its number, and
 * prints both. Returns the exit status of main(). */
int kill_ordeals(unsigned count, unsigned parallel, uint64_t seed);

/* The seed: of PERTURB_TEST_SEED, else drawn. */
uint64_t ordeal_seed(void);

#endif
