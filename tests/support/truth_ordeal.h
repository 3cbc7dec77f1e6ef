/* Runs whose convergence instant is known from physics, held against what the run reports. */
#ifndef PERTURB_TESTS_TRUTH_ORDEAL_H
#define PERTURB_TESTS_TRUTH_ORDEAL_H

#include <stdint.h>

/* A whole TAP test of `count` runs, `parallel` at a time, of which at least `needed` must lie within two base bins of the truth;
 * the length of the hole is drawn from `seed`. Prints each error and the median. Returns the exit status of main(). */
int truth_ordeals(unsigned count, unsigned needed, unsigned parallel, uint64_t seed);

#endif
