/* Counter-based draws: the published answers of Philox4x32-10, and the statistics of what is derived from it. */
#include "tests/unit/scenario_cases.h"

#include <math.h>

/* Known-answer vectors of Random123 (kat_vectors, philox4x32 with 10 rounds). */
static void philox_gives_the_published_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], words[4];
    } rows[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint32_t words[4];

        rng_philox(rows[i].counter, rows[i].key, words);
        assert_memory_equal(words, rows[i].words, sizeof(words));
    }
}

/* A draw is fixed for ever: replays of stored seeds depend on it. */
static void draws_stay_what_they_were(void **state)
{
    (void)state;
    assert_true(rng_draw(0, 0, 0, 0) == UINT64_C(0xe169c58d6627e8d5));
    assert_true(rng_hash("") == UINT64_C(0xcbf29ce484222325));
    assert_true(rng_hash("a") == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(rng_hash("foobar") == UINT64_C(0x85944171f73967e8));
    assert_true(rng_mix(1, 2) == rng_draw(1, 2, 0, 0));
}

static void each_coordinate_changes_the_draw(void **state)
{
    struct cases cases = cases_begin("coordinates");

    (void)state;
    for (int n = 0; n < 1000; n++) {
        uint64_t seed = cases_draw(&cases), name = cases_draw(&cases), stream = cases_draw(&cases), position = cases_draw(&cases);
        uint64_t draw = rng_draw(seed, name, stream, position);

        assert_true(draw == rng_draw(seed, name, stream, position));
        for (int bit = 0; bit < 64; bit++) {
            uint64_t flip = UINT64_C(1) << bit;

            assert_true(draw != rng_draw(seed ^ flip, name, stream, position));
            assert_true(draw != rng_draw(seed, name ^ flip, stream, position));
            assert_true(draw != rng_draw(seed, name, stream ^ flip, position));
            assert_true(draw != rng_draw(seed, name, stream, position ^ flip));
        }
    }
}

/* Within five standard deviations of a binomial count. */
static void chances_come_as_often_as_asked(void **state)
{
    static const uint32_t shares[] = { 1, 100, 1000, 10000, 250000, 500000, 750000, 990000, 999999 };
    struct cases cases = cases_begin("chance");
    enum { DRAWS = 400000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
        double share = shares[i] / 1e6, expected = DRAWS * share, spread = sqrt(DRAWS * share * (1 - share));
        int fired = 0;

        for (int n = 0; n < DRAWS; n++)
            fired += rng_chance(cases_draw(&cases), shares[i]);
        if (fabs(fired - expected) > 5 * spread + 4)
            fail_msg("%u ppm fired %d times of %d, expected %.0f", shares[i], fired, DRAWS, expected);
    }
}

static void never_and_always_are_exact(void **state)
{
    static const uint64_t edges[] = { 0, 1, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX };
    struct cases cases = cases_begin("edges");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
        assert_false(rng_chance(edges[i], 0));
        assert_true(rng_chance(edges[i], PPM));
        assert_true(rng_below(edges[i], 1) == 0);
        assert_true(rng_below(edges[i], 10) < 10);
        assert_true(rng_unit(edges[i]) >= 0 && rng_unit(edges[i]) < 1);
    }
    for (int n = 0; n < 100000; n++) {
        uint64_t draw = cases_draw(&cases);

        assert_false(rng_chance(draw, 0));
        assert_true(rng_chance(draw, PPM));
    }
}

/* Chi-squared of 64 cells with 63 degrees of freedom: mean 63, standard deviation 11.2. */
static void below_is_even(void **state)
{
    enum { CELLS = 64, EACH = 4000 };
    struct cases cases = cases_begin("below");
    uint64_t counts[CELLS] = { 0 };
    double chi = 0;

    (void)state;
    for (int n = 0; n < CELLS * EACH; n++)
        counts[cases_below(&cases, CELLS)]++;
    for (int i = 0; i < CELLS; i++)
        chi += ((double)counts[i] - EACH) * ((double)counts[i] - EACH) / EACH;
    if (chi < 63 - 4.5 * 11.2 || chi > 63 + 7 * 11.2)
        fail_msg("chi-squared is %.1f", chi);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(draws_stay_what_they_were),
        cmocka_unit_test(each_coordinate_changes_the_draw),
        cmocka_unit_test(chances_come_as_often_as_asked),
        cmocka_unit_test(never_and_always_are_exact),
        cmocka_unit_test(below_is_even),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
