/* How values are spread, in little room: 8 cells an octave from 256 to 2^36 (in ns: 69 s), so that a quantile read from them is right
 * within 6 %. Plain numbers, of one writer; a reader in another thread copies it cell by cell with relaxed loads.
 * 1. What is below the range counts in the first cell, what is above in the last; `most` is exact. */
#ifndef PERTURB_BASE_HISTOGRAM_H
#define PERTURB_BASE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_STEPS = 8, HISTOGRAM_OCTAVE_FIRST = 8, HISTOGRAM_OCTAVE_END = 36 };
enum { HISTOGRAM_CELLS = 1 + HISTOGRAM_STEPS * (HISTOGRAM_OCTAVE_END - HISTOGRAM_OCTAVE_FIRST) };

struct histogram {
    uint64_t most;
    uint64_t cells[HISTOGRAM_CELLS];
};

void histogram_add(struct histogram *histogram, uint64_t value); /* the only writer */
void histogram_merge(struct histogram *sum, const struct histogram *more); /* `more` may be another thread's */

uint64_t histogram_count(const struct histogram *histogram);
uint64_t histogram_floor(uint32_t cell); /* the least value of a cell; of HISTOGRAM_CELLS: the end of the last */

/* The value below which `share` (0..1) of them lie, along a straight line within its cell; 0 when there is none. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
