/* One item from the store, with every protection the shop has. */
#include "playbooks/sample/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "playbooks/sample/store_client.h"
#include "scenarios/base/clock.h"

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
    if (a_ns == 0 || b_ns == 0)
        return a_ns + b_ns;
    return a_ns < b_ns ? a_ns : b_ns;
}

static int attempt(struct fetcher *fetcher, const char *key, uint64_t request_deadline_ns, char *value)
{
    uint64_t deadline_ns = earlier(fetcher->timeout_ns ? clock_now_ns() + fetcher->timeout_ns : 0, request_deadline_ns);
    unsigned slot;
    int rc = pool_borrow(&fetcher->pool, deadline_ns, &slot);

    atomic_fetch_add(&fetcher->attempts, 1);
    if (rc == 0) {
        rc = store_get(pool_fd(&fetcher->pool, slot), key, deadline_ns, value, CACHE_VALUE_SIZE);
        pool_return(&fetcher->pool, slot, rc < 0);
    }
    if (rc < 0)
        atomic_fetch_add(&fetcher->failures, 1);
    return rc;
}

static bool allowed(struct fetcher *fetcher)
{
    return !atomic_load(&fetcher->stopping) && (!fetcher->use_breaker || breaker_allows(&fetcher->breaker, clock_now_ns()));
}

/* Waits before the next attempt; false when the request's budget does not reach that far. */
static bool pause_before_retry(uint64_t wait_ns, uint64_t request_deadline_ns)
{
    const struct timespec wait = ns_timespec(wait_ns);

    if (request_deadline_ns != 0 && clock_now_ns() + wait_ns >= request_deadline_ns)
        return false;
    return wait_ns == 0 || nanosleep(&wait, NULL) == 0;
}

enum fetch_source fetch_stale(struct fetcher *fetcher, const char *id, char ret_value[CACHE_VALUE_SIZE])
{
    char key[CACHE_KEY_SIZE];

    snprintf(key, sizeof(key), "item:%s", id);
    return fetcher->use_fallback && cache_get(&fetcher->cache, key, ret_value) ? FETCH_CACHE : FETCH_FAILED;
}

enum fetch_source fetch_item(struct fetcher *fetcher, const char *id, uint64_t received_ns, char ret_value[CACHE_VALUE_SIZE])
{
    const uint64_t deadline_ns = fetcher->budget_ns ? received_ns + fetcher->budget_ns : 0;
    char key[CACHE_KEY_SIZE];
    uint64_t wait_ns;

    snprintf(key, sizeof(key), "item:%s", id);
    retry_earn(&fetcher->retry);
    for (int64_t number = 0; allowed(fetcher); number++) {
        int rc = attempt(fetcher, key, deadline_ns, ret_value);
        if (fetcher->use_breaker)
            breaker_report(&fetcher->breaker, rc == 0, clock_now_ns());
        if (rc == 0) {
            if (ret_value[0] == '\0')
                snprintf(ret_value, CACHE_VALUE_SIZE, "0");
            cache_put(&fetcher->cache, key, ret_value);
            return FETCH_STORE;
        }
        if (!retry_next(&fetcher->retry, number, &wait_ns) || !pause_before_retry(wait_ns, deadline_ns))
            break;
        atomic_fetch_add(&fetcher->retries, 1);
    }
    return fetch_stale(fetcher, id, ret_value);
}

void fetch_stop(struct fetcher *fetcher)
{
    atomic_store(&fetcher->stopping, true);
    pool_close(&fetcher->pool);
}
