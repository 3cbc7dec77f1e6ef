/* Less load than planned, from an instant on: which of the planned requests are left is a pure function of their index. */
#include "controller/load/load_priv.h"

#include "scenarios/base/clock.h"

#include <errno.h>

#define ALL_PPM UINT64_C(1000000)

bool load_is_shed(const struct load *load, uint64_t index, uint64_t planned_ns)
{
    const struct load_shedding *shedding = &load->shedding;
    size_t i = atomic_load_explicit(&shedding->count, memory_order_acquire);

    while (i > 0 && shedding->entry[i - 1].from_ns > planned_ns)
        i--;
    if (!i)
        return false;
    /* Kept where the running total of the share steps up: as even as the plan itself. */
    uint64_t keep = shedding->entry[i - 1].keep_ppm;
    return index % ALL_PPM * keep / ALL_PPM == (index % ALL_PPM + 1) * keep / ALL_PPM;
}

int load_shed(struct load *load, uint64_t from_ns, uint32_t keep_ppm)
{
    struct load_shedding *shedding = &load->shedding;
    size_t count = atomic_load_explicit(&shedding->count, memory_order_relaxed);

    if (load->backend->loop)
        return -EOPNOTSUPP;
    if (count == LOAD_SHEDS_MAX)
        return -ENOSPC;
    if (keep_ppm > ALL_PPM || from_ns <= clock_now_ns() || (count && from_ns < shedding->entry[count - 1].from_ns))
        return -EINVAL;
    shedding->entry[count].from_ns = from_ns;
    shedding->entry[count].keep_ppm = keep_ppm;
    atomic_store_explicit(&shedding->count, count + 1, memory_order_release);
    return 0;
}
