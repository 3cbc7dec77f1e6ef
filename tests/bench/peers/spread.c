/* Histogram: linear within an octave, as fine at the top as at the bottom. */
#include "tests/bench/peers/spread.h"

#include <sys/param.h>

static unsigned cell_of(uint64_t value)
{
    unsigned octave = value < SPREAD_STEPS ? 0 : (unsigned)(63 - __builtin_clzll(value)) - 5;
    unsigned cell = octave ? octave * SPREAD_STEPS + (unsigned)((value >> (octave - 1)) - SPREAD_STEPS) : (unsigned)value;

    return MIN(cell, (unsigned)(SPREAD_STEPS * SPREAD_OCTAVES - 1));
}

static double middle_of(unsigned cell)
{
    unsigned octave = cell / SPREAD_STEPS;

    if (!octave)
        return cell;
    return ((double)(cell % SPREAD_STEPS + SPREAD_STEPS) + 0.5) * (double)(UINT64_C(1) << (octave - 1));
}

void spread_add(struct spread *spread, uint64_t value)
{
    spread_add_many(spread, value, 1);
}

void spread_add_many(struct spread *spread, uint64_t value, int64_t times)
{
    spread->cells[cell_of(value)] += (uint32_t)times;
    spread->count += (uint64_t)times;
}

double spread_quantile(const struct spread *spread, double share)
{
    uint64_t rank = (uint64_t)(share * (double)(spread->count - (spread->count > 0))), seen = 0;

    for (unsigned cell = 0; spread->count && cell < SPREAD_STEPS * SPREAD_OCTAVES; cell++) {
        seen += spread->cells[cell];
        if (seen > rank)
            return middle_of(cell);
    }
    return 0;
}
