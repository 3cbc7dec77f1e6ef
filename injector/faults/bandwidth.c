/* stream.bandwidth: a token bucket for each connection and direction.
 *
 * 1. The bucket is kept as one instant, `paid_ns`: when all bytes let through so far are paid for at the rate. A byte may go
 *    `burst` ahead of that. Lateness of the loop is made good, so the mean is exact.
 * 2. Bytes go in pieces of about one millisecond, so that the rate is even and not in bursts of a read. */
#include "injector/stream.h"

#include "scenarios/base/clock.h"

#include <sys/param.h>

enum { PIECES_PER_S = 1000, BURSTS_PER_S = 100 };

struct bucket {
    uint64_t paid_ns;
    uint64_t remainder; /* of the division by the rate: no byte's time is lost to rounding */
};

/* Time of `bytes` at `rate`, and the bucket moved on by it. */
static void pay(struct bucket *bucket, uint64_t bytes, uint64_t rate)
{
    uint128 ns_times_rate = (uint128)bytes * NS_PER_S + bucket->remainder;

    bucket->paid_ns += (uint64_t)(ns_times_rate / rate);
    bucket->remainder = (uint64_t)(ns_times_rate % rate);
}

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    const struct params_STREAM_bandwidth *params = &view->params->STREAM_bandwidth;
    uint64_t rate = (uint64_t)params->rate;
    uint64_t burst = params->burst ? (uint64_t)params->burst : rate / BURSTS_PER_S;
    uint64_t burst_ns = (uint64_t)((uint128)burst * NS_PER_S / rate);
    uint64_t piece = MAX(rate / PIECES_PER_S, (uint64_t)1);
    struct bucket *bucket = view->state;
    uint64_t left = range->size;

    while (left && !rulings_full(rulings)) {
        uint64_t size = MIN(left, piece), due_ns;

        if (bucket->paid_ns < range->came_ns) {
            bucket->paid_ns = range->came_ns;
            bucket->remainder = 0;
        }
        pay(bucket, size, rate);
        due_ns = bucket->paid_ns > burst_ns ? bucket->paid_ns - burst_ns : 0;
        if (due_ns > range->came_ns)
            rulings_add(rulings, RULING_HOLD, size, due_ns);
        else
            rulings_add(rulings, RULING_PASS, size, 0);
        left -= size;
    }
}

extern const struct stream_ops stream_bandwidth;
const struct stream_ops stream_bandwidth = { .state_size = sizeof(struct bucket), .on_bytes = on_bytes };
