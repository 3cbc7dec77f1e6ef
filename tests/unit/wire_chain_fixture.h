/* A chain on virtual time, for the unit tests of injector/chain.h. */
#ifndef PERTURB_TESTS_WIRE_CHAIN_FIXTURE_H
#define PERTURB_TESTS_WIRE_CHAIN_FIXTURE_H

#include "injector/chain.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/vocab/decide.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include <cmocka.h>

#define MS NS_PER_MS

static struct pool *pool;

static inline int make_pool(void **state)
{
    (void)state;
    return pool_new(64 << 20, &pool);
}

static inline int drop_pool(void **state)
{
    (void)state;
    pool_free(pool);
    return 0;
}

static inline struct plan_rule rule_of(const char *fault, const char *name)
{
    struct plan_rule rule;

    plan_rule_init(&rule, fault_find(fault, BIT(LAYER_STREAM), NULL), name);
    return rule;
}

static inline struct armed *arm_with(const struct stream_ops *const *registry, const struct armed *before, uint64_t epoch, uint64_t now_ns,
                              const struct plan_rule *rules, uint32_t count)
{
    struct plan *plan = calloc(1, PLAN_SIZE(count));
    struct armed *armed = NULL;

    assert_non_null(plan);
    *plan = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(*rules), .rule_count = count,
                           .epoch = epoch, .seed = 42 };
    memcpy(plan->rules, rules, count * sizeof(*rules));
    assert_int_equal(plan_check(plan, PLAN_SIZE(count)), 0);
    assert_int_equal(armed_new(plan, before, registry, now_ns, 3600 * NS_PER_S, -1, &armed), 0);
    free(plan);
    return armed;
}

static inline struct armed *arm(const struct armed *before, uint64_t epoch, uint64_t now_ns, const struct plan_rule *rules, uint32_t count)
{
    return arm_with(stream_registry, before, epoch, now_ns, rules, count);
}

static inline void push(struct chain *chain, int direction, uint64_t now_ns, const void *bytes, uint32_t size)
{
    struct chunk *chunk = pool_chunk(pool);
    struct segment *segment = pool_segment(pool, chunk, 0, size);

    assert_true(size && size <= CHUNK_BYTES && chunk && segment);
    memcpy(chunk->bytes, bytes, size);
    pool_unref(pool, chunk);
    segment->came_ns = now_ns;
    chain_push(chain, direction, segment);
}

static inline void push_end(struct chain *chain, int direction, uint64_t now_ns, uint32_t flags)
{
    struct segment *segment = pool_segment(pool, NULL, 0, 0);

    segment->flags = flags;
    segment->came_ns = now_ns;
    chain_push(chain, direction, segment);
}

/* Takes what came out: bytes appended to `bytes`, lines to `log`. Either may be NULL. */
static inline void take(struct chain *chain, int direction, uint64_t now_ns, struct buf *bytes, struct buf *log)
{
    struct segment *segment;

    while ((segment = queue_pop(&chain->out[direction]))) {
        if (bytes && segment->size)
            buf_append(bytes, segment_bytes(segment), segment->size);
        if (log)
            buf_printf(log, "%" PRIu64 " dir=%d offset=%" PRIu64 " size=%" PRIu32 " flags=%" PRIu32 "\n", now_ns, direction,
                       segment->offset, segment->size, segment->flags);
        pool_segment_free(pool, segment);
    }
}

/* Pumps at each due instant until `until_ns`; returns that. */
static inline uint64_t run(struct chain *chain, uint64_t now_ns, uint64_t until_ns, struct buf *bytes, struct buf *log)
{
    for (;;) {
        for (int direction = 0; direction < DIRECTIONS; direction++) {
            chain_pump(chain, direction, now_ns);
            take(chain, direction, now_ns, direction == TO_CLIENT ? bytes : NULL, log);
        }
        if (chain_next_ns(chain) > until_ns)
            return until_ns;
        assert_true(chain_next_ns(chain) >= now_ns);
        now_ns = MAX(chain_next_ns(chain), now_ns + 1);
    }
}

#endif
