/* When to try again: exponential backoff with full jitter, a cap, and a budget shared by all requests.
 * The budget bounds amplification: each first attempt earns a tenth of a retry, and at most BUDGET_MAX retries are saved up. */
#ifndef PERTURB_PLAYBOOKS_SAMPLE_RETRY_H
#define PERTURB_PLAYBOOKS_SAMPLE_RETRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct retry_policy {
    int64_t retries_max;   /* per request; -1 = endless */
    uint64_t interval_ns;  /* first backoff, doubled each time; 0 = at once, and no budget: the naive form */
    uint64_t interval_max_ns;
    uint64_t seed;         /* of the jitter */
    atomic_int budget_tenths;
    atomic_uint_least64_t draws;
};

void retry_init(struct retry_policy *policy, int64_t retries_max, uint64_t interval_ns);

/* Notes a first attempt (earns budget). */
void retry_earn(struct retry_policy *policy);

/* After attempt number `attempt` (0 = the first) failed: true and the wait before the next one, or false to give up. */
bool retry_next(struct retry_policy *policy, int64_t attempt, uint64_t *ret_wait_ns);

#endif
