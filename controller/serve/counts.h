/* What the API has answered, by class of status. Any thread. */
#ifndef PERTURB_SERVE_COUNTS_H
#define PERTURB_SERVE_COUNTS_H

#include <stdatomic.h>
#include <stdint.h>

enum { COUNTS_CLASSES = 5 }; /* 1xx to 5xx */

struct api_counts {
    _Atomic uint64_t requests[COUNTS_CLASSES], ns[COUNTS_CLASSES];
};

static inline void counts_note(struct api_counts *counts, int status, uint64_t ns)
{
    unsigned class = status >= 100 && status < 600 ? (unsigned)status / 100 - 1 : COUNTS_CLASSES - 1;

    atomic_fetch_add_explicit(&counts->requests[class], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts->ns[class], ns, memory_order_relaxed);
}

#endif
