/* How values are spread: a histogram of 64 steps an octave (1.6 % wide at most), and the quantiles of it. */
#ifndef PERTURB_TESTS_BENCH_SPREAD_H
#define PERTURB_TESTS_BENCH_SPREAD_H

#include <stdint.h>

enum { SPREAD_STEPS = 64, SPREAD_OCTAVES = 36 };

struct spread {
    uint64_t count;
    uint32_t cells[SPREAD_STEPS * SPREAD_OCTAVES];
};

void spread_add(struct spread *spread, uint64_t value);
void spread_add_many(struct spread *spread, uint64_t value, int64_t times); /* below 0: takes off what was added */
double spread_quantile(const struct spread *spread, double share); /* the middle of its cell; 0 when empty */

#endif
