/* How often one may ask: a bucket of tokens for each of the keys seen last. */
#ifndef PERTURB_SERVE_RATE_H
#define PERTURB_SERVE_RATE_H

#include <pthread.h>
#include <stdint.h>

enum { RATE_KEYS = 256, RATE_KEY_MAX = 160 };

struct rate_bucket {
    char key[RATE_KEY_MAX];
    double level; /* of requests left */
    uint64_t at_ns;
};

struct rate_limit {
    double per_s, burst;
    pthread_mutex_t mutex;
    struct rate_bucket bucket[RATE_KEYS]; /* of more keys than this, the one unused for longest gives way */
};

void rate_init(struct rate_limit *limit, double per_s, double burst);
void rate_done(struct rate_limit *limit);

/* Takes one. 0, or in how many whole seconds there will be one again. */
unsigned rate_take(struct rate_limit *limit, const char *key, uint64_t now_ns);

#endif
