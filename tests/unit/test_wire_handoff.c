/* Connections on their way between loops: the queue's bound and order, with several writers; and that each is counted into a rule
 * once, whichever plan the loop at the other end has. */
#include "injector/chain.h"
#include "injector/handoff.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WRITERS = 4, EACH = 20000 };

static void test_bound_and_order(void **state)
{
    struct handoff *handoff = aligned_alloc(64, sizeof(*handoff));
    struct handed handed = { .fd = -1 };

    (void)state;
    assert_non_null(handoff);
    handoff_init(handoff);
    for (int round = 0; round < 3; round++) {
        assert_null(handoff_peek(handoff));
        for (uint64_t i = 0; i < HANDOFF_CELLS; i++) {
            handed.sequence = i;
            assert_true(handoff_push(handoff, &handed));
        }
        assert_false(handoff_push(handoff, &handed));
        for (uint64_t i = 0; i < HANDOFF_CELLS; i++) {
            assert_int_equal(handoff_peek(handoff)->sequence, i);
            handoff_drop(handoff);
        }
    }
    free(handoff);
}

struct writer {
    struct handoff *handoff;
    int number;
};

static void *write_many(void *context)
{
    const struct writer *writer = context;

    for (uint64_t i = 1; i <= EACH; i++) {
        struct handed handed = { .fd = writer->number, .sequence = i };

        while (!handoff_push(writer->handoff, &handed))
            sched_yield();
    }
    return NULL;
}

static void test_several_writers(void **state)
{
    struct handoff *handoff = aligned_alloc(64, sizeof(*handoff));
    static struct writer writers[WRITERS]; /* they outlive a failed assertion */
    pthread_t threads[WRITERS];
    uint64_t last[WRITERS] = { 0 };

    (void)state;
    assert_non_null(handoff);
    handoff_init(handoff);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ handoff, i };
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (uint64_t left = (uint64_t)WRITERS * EACH; left;) {
        const struct handed *handed = handoff_peek(handoff);

        if (!handed) {
            sched_yield();
            continue;
        }
        assert_int_equal(handed->sequence, last[handed->fd] + 1); /* none lost, none twice, each writer's in order */
        last[handed->fd]++;
        handoff_drop(handoff);
        left--;
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_null(handoff_peek(handoff));
    free(handoff);
}

/* ---- counting --------------------------------------------------------------------------------------------------------- */

static struct armed *arm(const struct armed *before, uint64_t epoch, const char *const *names, uint32_t count)
{
    struct plan *plan = calloc(1, PLAN_SIZE(count));
    struct armed *armed = NULL;

    assert_non_null(plan);
    *plan = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(struct plan_rule), .rule_count = count,
                           .epoch = epoch, .seed = 42 };
    for (uint32_t i = 0; i < count; i++)
        plan_rule_init(&plan->rules[i], fault_find("latency", BIT(LAYER_STREAM), NULL), names[i]);
    assert_int_equal(armed_new(plan, before, stream_registry, 0, 3600 * NS_PER_S, -1, &armed), 0);
    free(plan);
    return armed;
}

static uint64_t matched(const struct armed *armed, uint32_t rule)
{
    return armed->rules[rule].live->counts.matched;
}

static void serve(struct armed *armed, uint64_t sequence, const uint64_t *ordinals, bool older, uint64_t wanted_ordinal)
{
    struct chain chain;
    struct pool *pool;

    assert_int_equal(pool_new(0, &pool), 0);
    chain_init(&chain, pool, 99, sequence);
    chain_counted(&chain, ordinals, older);
    assert_int_equal(chain_adopt(&chain, armed, 0, true), 0);
    assert_int_equal(chain.grips[armed->count - 1].ordinal, wanted_ordinal);
    chain_done(&chain);
    pool_free(pool);
}

static void test_each_is_counted_once(void **state)
{
    struct armed *first = arm(NULL, 1, (const char *const[]){ "goes", "stays" }, 2);
    struct armed *second = arm(first, 2, (const char *const[]){ "comes", "stays" }, 2);
    struct chain accepted[2];
    uint64_t *ordinals[2];

    (void)state;
    for (uint64_t i = 0; i < 2; i++) {
        chain_init(&accepted[i], NULL, 99, i + 1);
        ordinals[i] = chain_count_in(&accepted[i], first, 0);
        assert_non_null(ordinals[i]);
        assert_int_equal(ordinals[i][1], i + 1);
    }
    serve(first, 2, ordinals[1], false, 2); /* out of order: each keeps its own */
    serve(first, 1, ordinals[0], false, 1);
    assert_int_equal(matched(first, 0), 2);
    assert_int_equal(matched(first, 1), 2);
    serve(second, 1, ordinals[0], true, 1); /* the plan changed on the way: "stays" knows it, "comes" has not seen it */
    assert_int_equal(matched(second, 0), 1);
    assert_int_equal(matched(second, 1), 2);
    serve(second, 3, NULL, false, 3);
    assert_int_equal(matched(second, 0), 2);
    for (uint64_t i = 0; i < 2; i++)
        free(ordinals[i]);
    armed_free(first);
    armed_free(second);
}

/* ---- memory of several pools ------------------------------------------------------------------------------------------ */

/* What one gives back another may take, and never more than the budget in all. */
static void test_pools_share_a_budget(void **state)
{
    enum { POOLS = 4, CHUNKS = 512 };
    static struct chunk *taken[CHUNKS + 1];
    struct pool_budget budget;
    struct pool *pools[POOLS];

    (void)state;
    pool_budget_init(&budget, (uint64_t)CHUNKS * CHUNK_BYTES, POOLS);
    for (int i = 0; i < POOLS; i++)
        assert_int_equal(pool_new_shared(&budget, &pools[i]), 0);
    for (int round = 0; round < 3 * POOLS; round++) {
        struct pool *pool = pools[round % POOLS];
        uint32_t count = 0;

        while (count <= CHUNKS && (taken[count] = pool_chunk(pool)))
            memset(taken[count++]->bytes, round, CHUNK_BYTES);
        assert_in_range(count, CHUNKS - (POOLS - 1) * (CHUNKS / 4 / POOLS + 32), CHUNKS); /* the others' keep, and two grants */
        assert_true(pool_is_low(pool));
        assert_int_equal(pool_chunks_used(pool), count);
        assert_int_equal(pool_bytes_free(pool), 0);
        while (count)
            pool_unref(pool, taken[--count]);
        assert_int_equal(pool_chunks_used(pool), 0);
        assert_true(budget.large >= CHUNKS - POOLS * (CHUNKS / 4 / POOLS + 32));
    }
    for (int i = 0; i < POOLS; i++)
        pool_free(pools[i]);
    assert_int_equal(budget.large, CHUNKS);
    assert_int_equal(budget.small, budget.small_max);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound_and_order),
        cmocka_unit_test(test_several_writers),
        cmocka_unit_test(test_each_is_counted_once),
        cmocka_unit_test(test_pools_share_a_budget),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
