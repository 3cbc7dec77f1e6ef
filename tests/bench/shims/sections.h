/* The sections of `make bench-shims`, each a file. */
#ifndef PERTURB_BENCH_SHIMS_SECTIONS_H
#define PERTURB_BENCH_SHIMS_SECTIONS_H

#include "tests/component/shim.h"

struct setting {
    unsigned rounds;
    uint64_t seed; /* of the order within each round */
    const char *words; /* of the rows that are wanted; NULL for all */
};

bool is_wanted(const struct setting *setting, const char *group);

void measure_instructions(struct bench *bench);
void measure_loops(struct bench *bench, const struct setting *setting);
void measure_instants(struct bench *bench, const struct setting *setting);
void measure_starts(struct bench *bench, const struct setting *setting);
void measure_programs(struct bench *bench, const struct setting *setting);

#endif
