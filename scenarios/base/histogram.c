/* Cells that are linear within an octave. */
#include "scenarios/base/histogram.h"

#include <sys/param.h>

static uint32_t cell_of(uint64_t value)
{
    uint32_t octave;

    if (value < UINT64_C(1) << HISTOGRAM_OCTAVE_FIRST)
        return 0;
    if (value >= UINT64_C(1) << HISTOGRAM_OCTAVE_END)
        return HISTOGRAM_CELLS - 1;
    octave = 63 - (uint32_t)__builtin_clzll(value);
    return 1 + (octave - HISTOGRAM_OCTAVE_FIRST) * HISTOGRAM_STEPS + (uint32_t)(value >> (octave - 3) & (HISTOGRAM_STEPS - 1));
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    uint64_t *cell = &histogram->cells[cell_of(value)];

    __atomic_store_n(cell, *cell + 1, __ATOMIC_RELAXED);
    if (value > histogram->most)
        __atomic_store_n(&histogram->most, value, __ATOMIC_RELAXED);
}

void histogram_merge(struct histogram *sum, const struct histogram *more)
{
    sum->most = MAX(sum->most, __atomic_load_n(&more->most, __ATOMIC_RELAXED));
    for (uint32_t cell = 0; cell < HISTOGRAM_CELLS; cell++)
        sum->cells[cell] += __atomic_load_n(&more->cells[cell], __ATOMIC_RELAXED);
}

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t count = 0;

    for (uint32_t cell = 0; cell < HISTOGRAM_CELLS; cell++)
        count += histogram->cells[cell];
    return count;
}

uint64_t histogram_floor(uint32_t cell)
{
    uint32_t octave = HISTOGRAM_OCTAVE_FIRST + (cell - 1) / HISTOGRAM_STEPS;

    if (!cell)
        return 0;
    return (uint64_t)(HISTOGRAM_STEPS + (cell - 1) % HISTOGRAM_STEPS) << (octave - 3);
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t count = histogram_count(histogram);
    double rank = share * (double)count, below = 0;

    for (uint32_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
        double here = (double)histogram->cells[cell];

        if (here > 0 && below + here >= rank) {
            uint64_t floor = histogram_floor(cell);
            double value = (double)floor + (rank - below) / here * (double)(histogram_floor(cell + 1) - floor);

            return MIN((uint64_t)value, histogram->most);
        }
        below += here;
    }
    return 0;
}
