/* stream.bandwidth: a token bucket a direction, of one connection or of all the proxy's.
 *
 * 1. The bucket is bucket.h's: one instant.
 * 2. Bytes go in pieces of about one millisecond, so that the rate is even and not in bursts of a read.
 * 3. A shared bucket is one queue: whoever's piece is ruled on first goes first. It is one atomic word, for loops run at once.
 * 4. A change of the rate takes the held bytes out of the bucket and lets them pay the new one; what has passed stays paid for. */
#include "injector/bucket.h"
#include "injector/stream.h"

#include <sys/param.h>

enum { PIECES_PER_S = 1000, FRACTIONS = 16 /* of a nanosecond, in a shared bucket */ };
enum scope { SCOPE_CONNECTION, SCOPE_PROXY };

struct shared_bucket {
    uint64_t paid;  /* in fractions of a nanosecond */
    uint64_t epoch; /* of the plan that last changed the rate */
};

static uint64_t pay_shared(uint64_t *paid, uint64_t came_ns, uint64_t bytes, uint64_t rate)
{
    uint64_t price = (uint64_t)(((uint128)bytes * NS_PER_S * FRACTIONS + rate / 2) / rate);
    uint64_t seen = __atomic_load_n(paid, __ATOMIC_RELAXED), next;

    do
        next = MAX(seen, came_ns * FRACTIONS) + price;
    while (!__atomic_compare_exchange_n(paid, &seen, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return next / FRACTIONS;
}

static uint64_t burst_ns_of(const struct params_STREAM_bandwidth *params)
{
    return bucket_burst_ns((uint64_t)params->burst, (uint64_t)params->rate);
}

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    const struct params_STREAM_bandwidth *params = &view->params->STREAM_bandwidth;
    uint64_t rate = (uint64_t)params->rate;
    uint64_t burst_ns = burst_ns_of(params);
    uint64_t piece = MAX(rate / PIECES_PER_S, (uint64_t)1);
    uint64_t left = range->size;

    while (left && !rulings_full(rulings)) {
        uint64_t size = MIN(left, piece), paid_ns, due_ns;

        if (params->scope == SCOPE_PROXY)
            paid_ns = pay_shared(&((struct shared_bucket *)view->shared)->paid, range->came_ns, size, rate);
        else
            paid_ns = bucket_pay(view->state, range->came_ns, size, rate);
        due_ns = paid_ns > burst_ns ? paid_ns - burst_ns : 0;
        if (due_ns > range->came_ns)
            rulings_add(rulings, RULING_HOLD, size, due_ns);
        else
            rulings_add(rulings, RULING_PASS, size, 0);
        left -= size;
    }
}

/* The first connection that hears of it does it for all of them. */
static void change_shared(struct shared_bucket *shared, uint64_t epoch, uint64_t most_ns)
{
    uint64_t seen = __atomic_load_n(&shared->epoch, __ATOMIC_RELAXED), paid;

    if (seen == epoch || !__atomic_compare_exchange_n(&shared->epoch, &seen, epoch, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return;
    paid = __atomic_load_n(&shared->paid, __ATOMIC_RELAXED);
    while (paid > most_ns * FRACTIONS &&
           !__atomic_compare_exchange_n(&shared->paid, &paid, most_ns * FRACTIONS, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

static void on_change(const struct stream_view *view, struct rulings *rulings)
{
    uint64_t most_ns = view->now_ns + burst_ns_of(&view->params->STREAM_bandwidth);
    struct bucket *bucket = view->state;

    (void)rulings;
    if (bucket->paid_ns > most_ns)
        *bucket = (struct bucket){ .paid_ns = most_ns };
    change_shared(view->shared, view->epoch, most_ns);
}

extern const struct stream_ops stream_bandwidth;
const struct stream_ops stream_bandwidth = {
    .state_size = sizeof(struct bucket),
    .shared_size = sizeof(struct shared_bucket),
    .on_bytes = on_bytes,
    .on_change = on_change,
    .rules_again = true,
};
