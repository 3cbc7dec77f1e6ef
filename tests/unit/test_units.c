/* Units: printing is the inverse of parsing, and what is no value is refused. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/base/units.h"

#include <errno.h>

static const enum unit numeric[] = { UNIT_DURATION, UNIT_SIZE, UNIT_RATE, UNIT_FREQUENCY, UNIT_SHARE, UNIT_RATIO, UNIT_COUNT };

static void expect_round_trip(enum unit unit, int64_t value)
{
    char text[32];
    int64_t back = -1;

    unit_print(unit, value, text, sizeof(text));
    if (unit_parse(unit, text, &back) < 0 || back != value)
        fail_msg("unit %d: %" PRId64 " prints as '%s' and reads as %" PRId64, (int)unit, value, text, back);
}

static void printing_is_the_inverse_of_parsing(void **state)
{
    struct cases cases = cases_begin("units");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(numeric); i++)
        for (int n = 0; n < 20000; n++)
            expect_round_trip(numeric[i], cases_magnitude(&cases));
    for (int n = 0; n < 20000; n++)
        expect_round_trip(UNIT_COUNT, -cases_magnitude(&cases));
    for (int n = 0; n < 20000; n++)
        expect_round_trip(UNIT_SHIFT, n % 2 ? cases_magnitude(&cases) : -cases_magnitude(&cases));
    for (int n = 0; n < 20000; n++)
        expect_round_trip(UNIT_IPV4, cases_magnitude(&cases) & UINT32_MAX);
}

static void round_numbers_and_bounds_survive(void **state)
{
    static const int64_t bases[] = { 1, 8, 60, 1000, 1024, 3600, 60000, 86400, 1000000, 1048576, 1000000000, 1073741824 };

    (void)state;
    for (size_t u = 0; u < ARRAY_SIZE(numeric); u++) {
        for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
            for (int64_t factor = 0; factor <= 1001; factor++)
                expect_round_trip(numeric[u], bases[i] * factor);
        for (int64_t below = 0; below < 20; below++)
            expect_round_trip(numeric[u], INT64_MAX - below);
    }
    expect_round_trip(UNIT_BOOL, 0);
    expect_round_trip(UNIT_BOOL, 1);
}

static void prints_what_people_write(void **state)
{
    static const struct {
        enum unit unit;
        int64_t value;
        const char *text;
    } rows[] = {
        { UNIT_DURATION, 0, "0s" },           { UNIT_DURATION, 100000000, "100ms" },   { UNIT_DURATION, 1500000000, "1.5s" },
        { UNIT_DURATION, 90000000000, "90s" }, { UNIT_DURATION, 600000000000, "10m" }, { UNIT_DURATION, 1, "1ns" },
        { UNIT_SIZE, 1048576, "1MiB" },       { UNIT_SIZE, 64, "64B" },                { UNIT_SIZE, 1000000, "1MB" },
        { UNIT_RATE, 1000000, "1MB/s" },      { UNIT_FREQUENCY, 200000, "200/s" },     { UNIT_FREQUENCY, 500, "0.5/s" },
        { UNIT_SHARE, 1000, "0.1%" },         { UNIT_SHARE, 50000, "5%" },             { UNIT_RATIO, 1500, "1.5x" },
        { UNIT_COUNT, -3, "-3" },             { UNIT_BOOL, 1, "true" },
        { UNIT_SHIFT, -5400000000000, "-90m" }, { UNIT_SHIFT, 1000000, "1ms" },        { UNIT_IPV4, 0xc0000207, "192.0.2.7" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[32];

        assert_string_equal(unit_print(rows[i].unit, rows[i].value, text, sizeof(text)), rows[i].text);
    }
}

static void reads_what_people_write(void **state)
{
    static const struct {
        enum unit unit;
        const char *text;
        int64_t value;
    } rows[] = {
        { UNIT_DURATION, "0", 0 },
        { UNIT_SHIFT, "-1h30m", -5400000000000 },
        { UNIT_SHIFT, "0", 0 },
        { UNIT_SHIFT, "2d", 172800000000000 },
        { UNIT_IPV4, "255.255.255.255", 4294967295 },
        { UNIT_IPV4, "0.0.0.0", 0 },
        { UNIT_DURATION, "250ms", 250000000 },
        { UNIT_DURATION, "1.5s", 1500000000 },
        { UNIT_DURATION, "1m30s", 90000000000 },
        { UNIT_DURATION, "2d", 172800000000000 },
        { UNIT_DURATION, "0.5us", 500 },
        { UNIT_SIZE, "1.5MiB", 1572864 },
        { UNIT_SIZE, "64", 64 },
        { UNIT_SIZE, "2KB", 2000 },
        { UNIT_SIZE, "2kB", 2000 },
        { UNIT_RATE, "1MB/s", 1000000 },
        { UNIT_RATE, "8Mbit/s", 1000000 },
        { UNIT_RATE, "12bit/s", 2 },
        { UNIT_FREQUENCY, "200/s", 200000 },
        { UNIT_FREQUENCY, "30/m", 500 },
        { UNIT_FREQUENCY, "7", 7000 },
        { UNIT_SHARE, "0.1%", 1000 },
        { UNIT_SHARE, "0.05", 50000 },
        { UNIT_SHARE, "100%", 1000000 },
        { UNIT_RATIO, "1.5x", 1500 },
        { UNIT_RATIO, "2", 2000 },
        { UNIT_COUNT, "20k", 20000 },
        { UNIT_COUNT, "1.5k", 1500 },
        { UNIT_COUNT, "-3", -3 },
        { UNIT_BOOL, "on", 1 },
        { UNIT_BOOL, "no", 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t value = INT64_MIN;

        assert_int_equal(unit_parse(rows[i].unit, rows[i].text, &value), 0);
        if (value != rows[i].value)
            fail_msg("'%s' reads as %" PRId64 ", not %" PRId64, rows[i].text, value, rows[i].value);
    }
}

static void refuses_what_is_no_value(void **state)
{
    static const struct {
        enum unit unit;
        const char *text;
        int error;
    } rows[] = {
        { UNIT_DURATION, "", -EINVAL },
        { UNIT_DURATION, "5", -EINVAL },
        { UNIT_DURATION, "ms", -EINVAL },
        { UNIT_DURATION, "5 ms", -EINVAL },
        { UNIT_DURATION, " 5ms", -EINVAL },
        { UNIT_DURATION, "5ms ", -EINVAL },
        { UNIT_DURATION, "-5ms", -EINVAL },
        { UNIT_SHIFT, "--5ms", -EINVAL },
        { UNIT_SHIFT, "-", -EINVAL },
        { UNIT_SHIFT, "5", -EINVAL },
        { UNIT_IPV4, "1.2.3", -EINVAL },
        { UNIT_IPV4, "::1", -EINVAL },
        { UNIT_IPV4, "1.2.3.256", -EINVAL },
        { UNIT_DURATION, "+5ms", -EINVAL },
        { UNIT_DURATION, "5MS", -EINVAL },
        { UNIT_DURATION, "5..0ms", -EINVAL },
        { UNIT_DURATION, "1s5", -EINVAL },
        { UNIT_DURATION, "1e3s", -EINVAL },
        { UNIT_DURATION, "0x10ms", -EINVAL },
        { UNIT_DURATION, ".s", -EINVAL },
        { UNIT_DURATION, "0.0000000000000001s", -EINVAL },
        { UNIT_DURATION, "1000000000h", -ERANGE },
        { UNIT_DURATION, "9223372036854775808ns", -ERANGE },
        { UNIT_DURATION, "9223372036s9223372036s", -ERANGE },
        { UNIT_SIZE, "1kb", -EINVAL },
        { UNIT_SIZE, "1 MiB", -EINVAL },
        { UNIT_SIZE, "1MiB2", -EINVAL },
        { UNIT_SIZE, "99999999999GiB", -ERANGE },
        { UNIT_SIZE, "99999999999999999999", -ERANGE },
        { UNIT_RATE, "5", -EINVAL },
        { UNIT_RATE, "5MB", -EINVAL },
        { UNIT_RATE, "5MB/m", -EINVAL },
        { UNIT_FREQUENCY, "5/h", -EINVAL },
        { UNIT_SHARE, "5 %", -EINVAL },
        { UNIT_SHARE, "%", -EINVAL },
        { UNIT_SHARE, "nan", -EINVAL },
        { UNIT_RATIO, "x", -EINVAL },
        { UNIT_COUNT, "1.5", -EINVAL },
        { UNIT_COUNT, "--1", -EINVAL },
        { UNIT_COUNT, "ten", -EINVAL },
        { UNIT_COUNT, "9223372036854775808", -ERANGE },
        { UNIT_BOOL, "True", -EINVAL },
        { UNIT_BOOL, "1", -EINVAL },
        { UNIT_BOOL, "", -EINVAL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t value = 12345;
        int result = unit_parse(rows[i].unit, rows[i].text, &value);

        if (result != rows[i].error || value != 12345)
            fail_msg("'%s' as unit %d: %d, value %" PRId64, rows[i].text, (int)rows[i].unit, result, value);
    }
}

static void every_unit_has_an_example(void **state)
{
    (void)state;
    for (int unit = UNIT_DURATION; unit <= UNIT_TEXT; unit++)
        assert_true(strlen(unit_example((enum unit)unit)) > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printing_is_the_inverse_of_parsing),
        cmocka_unit_test(round_numbers_and_bounds_survive),
        cmocka_unit_test(prints_what_people_write),
        cmocka_unit_test(reads_what_people_write),
        cmocka_unit_test(refuses_what_is_no_value),
        cmocka_unit_test(every_unit_has_an_example),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
