/* One item from the store, with every protection the shop has: time limit, retries, breaker, pool, stale fallback.
 * This is the file to read to see what "resilient" means here; each protection can be taken away (the naive form). */
#ifndef PERTURB_PLAYBOOKS_SAMPLE_FETCH_H
#define PERTURB_PLAYBOOKS_SAMPLE_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "playbooks/sample/breaker.h"
#include "playbooks/sample/cache.h"
#include "playbooks/sample/pool.h"
#include "playbooks/sample/retry.h"

enum fetch_source { FETCH_STORE, FETCH_CACHE, FETCH_FAILED };

struct fetcher {
    uint64_t timeout_ns; /* of one attempt; 0 = none */
    uint64_t budget_ns;  /* of one request, retries included, from its arrival; 0 = none */
    bool use_breaker, use_fallback;
    struct retry_policy retry;
    struct breaker breaker;
    struct pool pool;
    struct cache cache;
    atomic_bool stopping;
    atomic_ullong attempts, failures, retries;
};

/* Fetches the value of "item:ID"; an item the store does not know is "0".
 *   received_ns  when the request arrived; its budget counts from there
 * FETCH_FAILED leaves ret_value empty. */
enum fetch_source fetch_item(struct fetcher *fetcher, const char *id, uint64_t received_ns, char ret_value[CACHE_VALUE_SIZE]);

/* The last known value without asking the store: for requests there is no time for. */
enum fetch_source fetch_stale(struct fetcher *fetcher, const char *id, char ret_value[CACHE_VALUE_SIZE]);

/* Ends all waiting, present and future. */
void fetch_stop(struct fetcher *fetcher);

#endif
