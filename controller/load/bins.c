/* Requests counted by the tenth of a second they were planned in, for whoever watches: a cell holds which bin it is of and its count,
 * so that one store is all a request costs, and a reader never takes an old bin for a new one. */
#include "controller/load/load_priv.h"

void load_bins_add(struct load_bins *bins, uint64_t offset_ns)
{
    uint64_t bin = offset_ns / LOAD_BIN_NS;
    atomic_uint_least64_t *cell = &bins->cells[bin % LOAD_BINS_KEPT];
    uint64_t value = atomic_load_explicit(cell, memory_order_relaxed);

    value = value >> 32 == (bin & UINT32_MAX) ? value + 1 : bin << 32 | 1;
    atomic_store_explicit(cell, value, memory_order_relaxed);
}

uint32_t load_planned_in(const struct load *load, uint64_t bin)
{
    uint64_t value = atomic_load_explicit(&load->bins.cells[bin % LOAD_BINS_KEPT], memory_order_relaxed);

    return value >> 32 == (bin & UINT32_MAX) ? (uint32_t)value : 0;
}
