/* A token bucket as one instant: when all bytes let through so far are paid for at the rate. A byte may go a burst ahead of that.
 * Lateness of whoever asks is made good, so the mean is exact. */
#ifndef PERTURB_INJECTOR_BUCKET_H
#define PERTURB_INJECTOR_BUCKET_H

#include "scenarios/base/bits.h"
#include "scenarios/base/clock.h"

#include <stdint.h>

enum { BUCKET_BURSTS_PER_S = 100 }; /* a burst that is not given is so much of a second's bytes */

struct bucket {
    uint64_t paid_ns;
    uint64_t remainder; /* of the division by the rate: no byte's time is lost to rounding */
};

/* The instant at which `bytes` that came at came_ns are paid for. */
static inline uint64_t bucket_pay(struct bucket *bucket, uint64_t came_ns, uint64_t bytes, uint64_t rate)
{
    uint128 ns_times_rate;

    if (bucket->paid_ns < came_ns)
        *bucket = (struct bucket){ .paid_ns = came_ns };
    ns_times_rate = (uint128)bytes * NS_PER_S + bucket->remainder;
    bucket->paid_ns += (uint64_t)(ns_times_rate / rate);
    bucket->remainder = (uint64_t)(ns_times_rate % rate);
    return bucket->paid_ns;
}

/* How long before it is paid for a byte may go. `burst` in bytes, 0 for the one that is not given. */
static inline uint64_t bucket_burst_ns(uint64_t burst, uint64_t rate)
{
    return (uint64_t)((uint128)(burst ? burst : rate / BUCKET_BURSTS_PER_S) * NS_PER_S / rate);
}

#endif
