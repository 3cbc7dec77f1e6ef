/* What each datagram fault rules, without a socket or a clock. Loss models are held against an oracle of their own: the stationary
 * share and its variance of the Markov chain that tc-netem(8) describes, from its matrix. A tolerance is five standard deviations
 * of what so many datagrams can show. */
#include "injector/datagram/datagram.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/vocab/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include <cmocka.h>

enum { DATAGRAMS = 300000, STATES_MAX = 4, LAGS = 20000 };
#define MS ((int64_t)NS_PER_MS)
#define DEVIATIONS 5.0

/* One fault on one link's direction. */
struct link {
    const struct datagram_ops *ops;
    struct plan_rule rule;
    void *state;
    uint64_t ordinal;
};

static struct link link_of(enum fault_id fault)
{
    struct link link = { .ops = datagram_registry[fault] };

    plan_rule_init(&link.rule, &fault_descs[fault], NULL);
    link.state = calloc(1, link.ops->state_size + 1);
    assert_non_null(link.state);
    return link;
}

static struct datagram_ruling ask(struct link *link, uint64_t came_ns, uint32_t size)
{
    struct datagram_view view = {
        .params = &link->rule.params,
        .state = link->state,
        .draw = rng_draw(7, link->rule.name_hash, 3, ++link->ordinal),
        .came_ns = came_ns,
        .size = size,
    };
    struct datagram_ruling ruling = { .acts = false };

    link->ops->rule(&view, &ruling);
    assert_true(ruling.acts || (!ruling.drops && !ruling.doubles && !ruling.flips));
    return ruling;
}

static void leave(struct link *link, uint32_t size)
{
    const struct datagram_view view = { .params = &link->rule.params, .state = link->state, .size = size };

    link->ops->left(&view);
}

/* ---- the oracle of chains --------------------------------------------------------------------------------------------- */

struct chain {
    int states;
    double next[STATES_MAX][STATES_MAX];
    double lost[STATES_MAX]; /* chance that a datagram that finds it so, or comes to it, is lost */
};

static void step(const struct chain *chain, const double from[STATES_MAX], double to[STATES_MAX])
{
    double sum[STATES_MAX] = { 0 };

    for (int i = 0; i < chain->states; i++)
        for (int j = 0; j < chain->states; j++)
            sum[j] += from[i] * chain->next[i][j];
    memcpy(to, sum, sizeof(sum));
}

/* The share lost in the long run, and the variance of the share among `count` datagrams in a row. */
static double stationary(const struct chain *chain, double count, double *ret_variance)
{
    double at[STATES_MAX] = { 1 }, lost[STATES_MAX] = { 0 }, share = 0, covariance = 0;

    for (int i = 0; i < LAGS; i++)
        step(chain, at, at);
    for (int i = 0; i < chain->states; i++) {
        lost[i] = at[i] * chain->lost[i];
        share += lost[i];
    }
    for (int lag = 1; lag < LAGS; lag++) {
        double both = 0;

        step(chain, lost, lost);
        for (int i = 0; i < chain->states; i++)
            both += lost[i] * chain->lost[i];
        covariance += both - share * share;
    }
    *ret_variance = (share * (1 - share) + 2 * covariance) / count;
    return share;
}

/* Share lost, and the mean length of runs of losses (0 without any). */
static double lose(struct link *link, uint64_t *ret_runs, double *ret_run_length)
{
    uint64_t lost = 0, runs = 0;
    bool before = false;

    for (int i = 0; i < DATAGRAMS; i++) {
        bool drops = ask(link, 0, 100).drops;

        lost += drops;
        runs += drops && !before;
        before = drops;
    }
    *ret_runs = runs;
    *ret_run_length = runs ? (double)lost / (double)runs : 0;
    return (double)lost / DATAGRAMS;
}

static void assert_near(double value, double wanted, double deviation)
{
    if (fabs(value - wanted) > DEVIATIONS * deviation)
        fail_msg("%.6f is not within %.1f deviations of %.6f (deviation %.6f)", value, DEVIATIONS, wanted, deviation);
}

static double share_of(int64_t ppm)
{
    return (double)ppm / PPM;
}

/* ---- loss ------------------------------------------------------------------------------------------------------------- */

/* Runs of losses are geometric: the mean of `runs` of them deviates by that. */
static double deviation_of_runs(double mean, uint64_t runs)
{
    return sqrt(mean * (mean - 1) / (double)runs) + 1e-9;
}

static void test_random_loss(void **state)
{
    static const struct {
        int64_t p, correlation;
    } cases[] = { { 0, 0 }, { 1000, 0 }, { 50000, 0 }, { 300000, 0 }, { PPM, 0 }, { 50000, 250000 }, { 200000, 900000 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct link link = link_of(FAULT_DATAGRAM_loss);
        double p = share_of(cases[i].p), c = share_of(cases[i].correlation), length, share;
        /* A repeat keeps the fate: the chain of fates turns with (1 - c) times what it does without. */
        const struct chain chain = { 2, { { 1 - (1 - c) * p, (1 - c) * p }, { (1 - c) * (1 - p), 1 - (1 - c) * (1 - p) } }, { 0, 1 } };
        uint64_t runs;
        double variance;

        link.rule.params.DATAGRAM_loss.p = cases[i].p;
        link.rule.params.DATAGRAM_loss.correlation = cases[i].correlation;
        share = lose(&link, &runs, &length);
        if (cases[i].p % PPM == 0) {
            assert_true(share == p);
        } else {
            assert_near(stationary(&chain, DATAGRAMS, &variance), p, 1e-9);
            assert_near(share, p, sqrt(variance));
            assert_near(length, 1 / ((1 - c) * (1 - p)), deviation_of_runs(1 / ((1 - c) * (1 - p)), runs));
        }
        free(link.state);
    }
}

static void test_gilbert_elliott(void **state)
{
    /* p, r, 1-h, 1-k */
    static const int64_t cases[][4] = { { 10000, 100000, PPM, 0 }, { 10000, 990000, PPM, 0 }, { 20000, 50000, 700000, 1000 },
                                        { 300000, 300000, 500000, 500000 }, { 1000, 1000, PPM, 0 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct link link = link_of(FAULT_DATAGRAM_loss);
        struct params_DATAGRAM_loss *params = &link.rule.params.DATAGRAM_loss;
        double p = share_of(cases[i][0]), r = share_of(cases[i][1]), h1 = share_of(cases[i][2]), k1 = share_of(cases[i][3]);
        const struct chain chain = { 2, { { 1 - p, p }, { r, 1 - r } }, { k1, h1 } };
        double length, variance, share, wanted;
        uint64_t runs;

        params->model = 1;
        params->p = cases[i][0];
        params->r = cases[i][1];
        params->h1 = cases[i][2];
        params->k1 = cases[i][3];
        share = lose(&link, &runs, &length);
        wanted = (k1 * r + h1 * p) / (p + r);
        assert_near(stationary(&chain, DATAGRAMS, &variance), wanted, 1e-9);
        assert_near(share, wanted, sqrt(variance));
        if (h1 == 1 && k1 == 0)
            assert_near(length, 1 / r, deviation_of_runs(1 / r, runs));
        free(link.state);
    }
}

static void test_four_states(void **state)
{
    /* p13, p31, p32, p23, p14 */
    static const int64_t cases[][5] = { { 10000, 300000, 0, PPM, 0 },
                                        { 10000, 300000, 200000, 400000, 5000 },
                                        { 100000, 500000, 500000, 100000, 100000 },
                                        { 2000, 50000, 10000, 200000, 1000 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct link link = link_of(FAULT_DATAGRAM_loss);
        double p13 = share_of(cases[i][0]), p31 = share_of(cases[i][1]), p32 = share_of(cases[i][2]), p23 = share_of(cases[i][3]), p14 = share_of(cases[i][4]);
        const struct chain chain = {
            4,
            { { 1 - p13 - p14, 0, p13, p14 }, { 0, 1 - p23, p23, 0 }, { p31, p32, 1 - p31 - p32, 0 }, { 1, 0, 0, 0 } },
            { 0, 0, 1, 1 },
        };
        double d = p13 * p23 + p13 * p32 + p23 * p31 + p14 * p23 * p31, wanted = (p13 * p23 + p14 * p23 * p31) / d;
        double variance, length;
        uint64_t runs;

        link.rule.params.DATAGRAM_loss.model = 2;
        link.rule.params.DATAGRAM_loss.p13 = cases[i][0];
        link.rule.params.DATAGRAM_loss.p31 = cases[i][1];
        link.rule.params.DATAGRAM_loss.p32 = cases[i][2];
        link.rule.params.DATAGRAM_loss.p23 = cases[i][3];
        link.rule.params.DATAGRAM_loss.p14 = cases[i][4];
        assert_near(stationary(&chain, DATAGRAMS, &variance), wanted, 1e-9);
        assert_near(lose(&link, &runs, &length), wanted, sqrt(variance));
        free(link.state);
    }
}

/* netem's defaults: r is what p leaves, and with it the chain forgets: a loss of chance p. */
static void test_defaults_are_netems(void **state)
{
    struct link link = link_of(FAULT_DATAGRAM_loss);
    const struct params_DATAGRAM_loss *params = &link.rule.params.DATAGRAM_loss;

    (void)state;
    assert_int_equal(params->r, PPM - params->p);
    assert_int_equal(params->h1, PPM);
    assert_int_equal(params->k1, 0);
    assert_int_equal(params->p31, PPM - params->p13);
    assert_int_equal(params->p32, 0);
    assert_int_equal(params->p23, PPM);
    assert_int_equal(params->p14, 0);
    assert_non_null(fault_param(&fault_descs[FAULT_DATAGRAM_loss], "1-h"));
    assert_non_null(fault_param(&fault_descs[FAULT_DATAGRAM_loss], "1-k"));
    free(link.state);
}

/* ---- the others ------------------------------------------------------------------------------------------------------- */

static void test_reorder_by_gap_is_exact(void **state)
{
    static const int64_t gaps[] = { 1, 2, 5, 7 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(gaps); i++) {
        struct link link = link_of(FAULT_DATAGRAM_reorder);

        link.rule.params.DATAGRAM_reorder.p = PPM;
        link.rule.params.DATAGRAM_reorder.gap = gaps[i];
        link.rule.params.DATAGRAM_reorder.delay = 10 * MS;
        for (int64_t n = 1; n <= 1000; n++) {
            struct datagram_ruling ruling = ask(&link, (uint64_t)n, 10);

            assert_int_equal(ruling.acts, n % gaps[i] != 0);
            assert_int_equal(ruling.at_ns, n % gaps[i] ? (uint64_t)n + 10 * NS_PER_MS : 0);
        }
        free(link.state);
    }
}

/* With p below 100 % those that overtake lie at least `gap` apart, and the mean distance is gap - 1 + 1 / p. */
static void test_reorder_by_chance(void **state)
{
    struct link link = link_of(FAULT_DATAGRAM_reorder);
    int64_t last = 0, count = 0;

    (void)state;
    link.rule.params.DATAGRAM_reorder.p = 250000;
    link.rule.params.DATAGRAM_reorder.gap = 5;
    for (int64_t n = 1; n <= DATAGRAMS; n++) {
        if (ask(&link, 0, 10).acts)
            continue;
        assert_true(n - last >= 5);
        last = n;
        count++;
    }
    assert_near((double)last / (double)count, 4 + 4, sqrt(0.75 * 16 / (double)count));
    free(link.state);
}

static void test_duplicate(void **state)
{
    struct link link = link_of(FAULT_DATAGRAM_duplicate);
    uint64_t doubled = 0;

    (void)state;
    link.rule.params.DATAGRAM_duplicate.p = 100000;
    for (int i = 0; i < DATAGRAMS; i++)
        doubled += ask(&link, 0, 10).doubles;
    assert_near((double)doubled / DATAGRAMS, 0.1, sqrt(0.1 * 0.9 / DATAGRAMS));
    free(link.state);
}

static void test_corrupt_flips_one_bit_anywhere(void **state)
{
    struct link link = link_of(FAULT_DATAGRAM_corrupt);
    uint64_t hit = 0, counts[80] = { 0 };

    (void)state;
    link.rule.params.DATAGRAM_corrupt.p = 500000;
    for (int i = 0; i < DATAGRAMS; i++) {
        struct datagram_ruling ruling = ask(&link, 0, 10);

        if (!ruling.flips)
            continue;
        hit++;
        assert_in_range(ruling.bit, 0, 79);
        counts[ruling.bit]++;
    }
    assert_near((double)hit / DATAGRAMS, 0.5, sqrt(0.25 / DATAGRAMS));
    for (int bit = 0; bit < 80; bit++)
        assert_near((double)counts[bit] / (double)hit, 1.0 / 80, sqrt(1.0 / 80 / (double)hit));
    link.rule.params.DATAGRAM_corrupt.p = PPM;
    assert_false(ask(&link, 0, 0).acts); /* an empty one has no bit */
    free(link.state);
}

static void test_latency(void **state)
{
    struct link link = link_of(FAULT_DATAGRAM_latency);
    struct params_DATAGRAM_latency *params = &link.rule.params.DATAGRAM_latency;
    double sum = 0, square = 0;
    uint64_t last_ns = 0;
    int overtaken = 0;

    (void)state;
    assert_int_equal(ask(&link, 5, 10).at_ns, 5 + 100 * NS_PER_MS);
    params->latency = 50 * MS;
    params->jitter = 10 * MS;
    params->distribution = 1;
    for (int i = 0; i < DATAGRAMS; i++) {
        uint64_t at_ns = ask(&link, 0, 10).at_ns;

        sum += (double)at_ns;
        square += (double)at_ns * (double)at_ns;
        overtaken += at_ns < last_ns;
        last_ns = at_ns;
    }
    assert_near(sum / DATAGRAMS, 50e6, 10e6 / sqrt(DATAGRAMS));
    assert_near(sqrt(square / DATAGRAMS - sum / DATAGRAMS * sum / DATAGRAMS), 10e6, 10e6 / sqrt(2.0 * DATAGRAMS));
    assert_true(overtaken > DATAGRAMS / 3);
    params->order = 1;
    last_ns = 0;
    for (int i = 0; i < 1000; i++) {
        struct datagram_ruling ruling = ask(&link, (uint64_t)i, 10);

        assert_true(ruling.at_ns >= last_ns);
        last_ns = ruling.at_ns;
    }
    params->latency = params->jitter = 0;
    params->order = 0;
    assert_false(ask(&link, 5, 10).acts);
    free(link.state);
}

/* Neighbours repeat with the correlation's chance, and the share of them does not bend the distribution. */
static void test_correlated_latency(void **state)
{
    struct link link = link_of(FAULT_DATAGRAM_latency);
    struct params_DATAGRAM_latency *params = &link.rule.params.DATAGRAM_latency;
    uint64_t last_ns = 0;
    int repeats = 0;

    (void)state;
    params->latency = 50 * MS;
    params->jitter = 10 * MS;
    params->correlation = 250000;
    for (int i = 0; i < DATAGRAMS; i++) {
        uint64_t at_ns = ask(&link, 0, 10).at_ns;

        repeats += at_ns == last_ns;
        last_ns = at_ns;
    }
    assert_near((double)repeats / DATAGRAMS, 0.25, sqrt(0.25 * 0.75 / DATAGRAMS));
    free(link.state);
}

/* 1 MB/s is 1000 ns a byte. */
static void test_bandwidth_queues_and_drops_its_tail(void **state)
{
    struct link link = link_of(FAULT_DATAGRAM_bandwidth);
    struct params_DATAGRAM_bandwidth *params = &link.rule.params.DATAGRAM_bandwidth;

    (void)state;
    params->rate = 1000000;
    params->burst = 1000;
    params->limit = 2;
    assert_false(ask(&link, 0, 1000).acts); /* the burst */
    assert_int_equal(ask(&link, 0, 500).at_ns, 500000);
    assert_int_equal(ask(&link, 0, 500).at_ns, 1000000);
    assert_true(ask(&link, 0, 1).drops); /* two wait */
    assert_true(ask(&link, 0, 1000).drops);
    leave(&link, 500);
    assert_int_equal(ask(&link, 600000, 100).at_ns, 1100000); /* what was dropped has cost nothing */
    leave(&link, 500);
    leave(&link, 100);
    params->limit = 1000;
    params->limit_bytes = 1000;
    assert_false(ask(&link, 10000000, 1000).acts);
    assert_false(ask(&link, 10000000, 1000).drops);
    assert_true(ask(&link, 10000000, 1).drops);
    assert_false(ask(&link, 10000000, 0).drops);
    free(link.state);
}

static void test_blackhole(void **state)
{
    struct link link = link_of(FAULT_DATAGRAM_blackhole);

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_true(ask(&link, 0, (uint32_t)i).drops);
    free(link.state);
}

static void test_every_row_has_its_functions(void **state)
{
    (void)state;
    for (size_t id = 0; id < FAULT_COUNT; id++) {
        const struct datagram_ops *ops = datagram_registry[id];
        const struct param_desc *scope = fault_param(&fault_descs[id], "scope");

        assert_true((fault_descs[id].layer == LAYER_DATAGRAM) == (ops != NULL));
        if (!ops)
            continue;
        assert_non_null(ops->rule);
        assert_int_equal(ops->scope_slot, scope ? scope->slot : 0);
        assert_true(!ops->state_size == !scope);
        assert_true(!scope || words_index(scope->words, "session") == DATAGRAM_SCOPE_SESSION);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_loss),
        cmocka_unit_test(test_gilbert_elliott),
        cmocka_unit_test(test_four_states),
        cmocka_unit_test(test_defaults_are_netems),
        cmocka_unit_test(test_reorder_by_gap_is_exact),
        cmocka_unit_test(test_reorder_by_chance),
        cmocka_unit_test(test_duplicate),
        cmocka_unit_test(test_corrupt_flips_one_bit_anywhere),
        cmocka_unit_test(test_latency),
        cmocka_unit_test(test_correlated_latency),
        cmocka_unit_test(test_bandwidth_queues_and_drops_its_tail),
        cmocka_unit_test(test_blackhole),
        cmocka_unit_test(test_every_row_has_its_functions),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
