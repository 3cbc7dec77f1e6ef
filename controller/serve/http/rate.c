/* See rate.h. */
#include "controller/serve/http/rate.h"

#include "scenarios/base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void rate_init(struct rate_limit *limit, double per_s, double burst)
{
    memset(limit, 0, sizeof(*limit));
    limit->per_s = per_s;
    limit->burst = burst;
    pthread_mutex_init(&limit->mutex, NULL);
}

void rate_done(struct rate_limit *limit)
{
    pthread_mutex_destroy(&limit->mutex);
}

/* The key's bucket, filled up to now. */
static struct rate_bucket *find(struct rate_limit *limit, const char *key, uint64_t now_ns)
{
    struct rate_bucket *oldest = &limit->bucket[0];

    for (size_t i = 0; i < RATE_KEYS; i++) {
        struct rate_bucket *bucket = &limit->bucket[i];

        if (!strncmp(bucket->key, key, RATE_KEY_MAX - 1)) {
            bucket->level = fmin(limit->burst, bucket->level + (double)(now_ns - bucket->at_ns) / (double)NS_PER_S * limit->per_s);
            bucket->at_ns = now_ns;
            return bucket;
        }
        if (bucket->at_ns < oldest->at_ns)
            oldest = bucket;
    }
    snprintf(oldest->key, sizeof(oldest->key), "%s", key);
    oldest->level = limit->burst;
    oldest->at_ns = now_ns;
    return oldest;
}

unsigned rate_take(struct rate_limit *limit, const char *key, uint64_t now_ns)
{
    struct rate_bucket *bucket;
    unsigned wait_s = 0;

    pthread_mutex_lock(&limit->mutex);
    bucket = find(limit, key, now_ns);
    if (bucket->level >= 1)
        bucket->level -= 1;
    else
        wait_s = (unsigned)ceil((1 - bucket->level) / limit->per_s);
    pthread_mutex_unlock(&limit->mutex);
    return wait_s;
}
