/* When to try again. */
#include "playbooks/sample/retry.h"

#include "scenarios/base/rng.h"

enum { TENTHS = 10, BUDGET_MAX = 10, INTERVAL_FACTOR_MAX = 8 };

void retry_init(struct retry_policy *policy, int64_t retries_max, uint64_t interval_ns)
{
    policy->retries_max = retries_max;
    policy->interval_ns = interval_ns;
    policy->interval_max_ns = interval_ns * INTERVAL_FACTOR_MAX;
    policy->seed = 0;
    atomic_init(&policy->budget_tenths, BUDGET_MAX * TENTHS);
    atomic_init(&policy->draws, 0);
}

void retry_earn(struct retry_policy *policy)
{
    int tenths = atomic_load(&policy->budget_tenths);

    while (tenths < BUDGET_MAX * TENTHS && !atomic_compare_exchange_weak(&policy->budget_tenths, &tenths, tenths + 1))
        ;
}

static bool spend(struct retry_policy *policy)
{
    int tenths = atomic_load(&policy->budget_tenths);

    while (tenths >= TENTHS)
        if (atomic_compare_exchange_weak(&policy->budget_tenths, &tenths, tenths - TENTHS))
            return true;
    return false;
}

bool retry_next(struct retry_policy *policy, int64_t attempt, uint64_t *ret_wait_ns)
{
    if (policy->retries_max >= 0 && attempt >= policy->retries_max)
        return false;
    if (policy->interval_ns == 0) {
        *ret_wait_ns = 0;
        return true;
    }
    if (!spend(policy))
        return false;
    uint64_t ceiling_ns = policy->interval_ns;
    for (int64_t i = 0; i < attempt && ceiling_ns < policy->interval_max_ns; i++)
        ceiling_ns *= 2;
    if (ceiling_ns > policy->interval_max_ns)
        ceiling_ns = policy->interval_max_ns;
    uint64_t draw = rng_draw(policy->seed, rng_hash("retry"), 0, atomic_fetch_add(&policy->draws, 1));
    *ret_wait_ns = 1 + rng_below(draw, ceiling_ns);
    return true;
}
