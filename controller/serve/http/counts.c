/* Counters of the process: they begin at 0 with it, as Prometheus expects of a counter. */
#include "controller/serve/http/counts.h"

#include <stdatomic.h>

static _Atomic uint64_t requests[COUNTS_CLASSES], spent_ns[COUNTS_CLASSES];

void counts_note(int status, uint64_t ns)
{
    unsigned class = status >= 100 && status < 600 ? (unsigned)status / 100 - 1 : COUNTS_CLASSES - 1;

    atomic_fetch_add_explicit(&requests[class], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&spent_ns[class], ns, memory_order_relaxed);
}

void counts_read(size_t class, uint64_t *ret_requests, uint64_t *ret_ns)
{
    *ret_requests = atomic_load_explicit(&requests[class], memory_order_relaxed);
    *ret_ns = atomic_load_explicit(&spent_ns[class], memory_order_relaxed);
}
