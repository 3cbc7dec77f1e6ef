/* Cron lines: what is read, what is refused, and, over ten years and twenty zones, when they are due. The oracle walks minute by minute
 * with the C library's localtime_r and knows nothing of transitions. */
#include "controller/serve/timetable/cron.h"
#include "scenarios/base/bits.h"
#include "scenarios/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define START INT64_C(1767225600) /* 2026-01-01T00:00:00Z */
#define DAY_S INT64_C(86400)

static const char *const zones[] = {
    "UTC",                 "Europe/Berlin",     "Europe/London",     "Europe/Dublin",   "America/New_York",   "America/Sao_Paulo", "America/Santiago",
    "America/Los_Angeles", "America/St_Johns",  "Asia/Kolkata",      "Asia/Kathmandu",  "Asia/Tehran",        "Asia/Tokyo",        "Asia/Jerusalem",
    "Australia/Lord_Howe", "Australia/Sydney",  "Africa/Casablanca", "Africa/Cairo",    "Pacific/Chatham",    "Pacific/Apia",
};

enum { ZONES = sizeof(zones) / sizeof(zones[0]), YEARS = 10 };

static struct cron parse(const char *line)
{
    struct errs errs = { 0 };
    struct cron cron;

    if (cron_parse(line, "test", &errs, &cron) < 0)
        fail_msg("%s: %s", line, errs.list[0].text);
    return cron;
}

static void lines_are_refused(void **state)
{
    static const struct {
        const char *line, *said;
    } cases[] = {
        { "", "found 0 fields" },          { "* * * *", "found 4 fields" },       { "* * * * * *", "after the fifth field" },
        { "60 * * * *", "minute" },        { "* 24 * * *", "hour" },              { "* * 0 * *", "day of month" },
        { "* * * 13 *", "month" },         { "* * * * 8", "day of week" },        { "*/0 * * * *", "minute" },
        { "5-1 * * * *", "minute" },       { "1,,2 * * * *", "minute" },          { "x * * * *", "minute" },
        { "* * * foo *", "month" },        { "0 0 30 2 *", "never be due" },      { "0 0 31 4,6 *", "never be due" },
        { "@fortnightly", "@hourly" },     { "@every 5", "@every" },              { "@every 1500ms", "@every" },
        { "@every", "@hourly" },           { "1- * * * *", "minute" },            { "99999999999999999999 * * * *", "minute" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct errs errs = { 0 };
        struct cron cron;

        if (cron_parse(cases[i].line, "suite.yaml:3:5", &errs, &cron) == 0)
            fail_msg("'%s' was taken", cases[i].line);
        assert_int_equal(errs.count, 1);
        if (!strstr(errs.list[0].text, cases[i].said))
            fail_msg("'%s': %s", cases[i].line, errs.list[0].text);
    }
}

static void lines_are_read(void **state)
{
    struct cron cron = parse("*/15 8-18/2 1,15 jan-MAR,12 mon-5,7");

    (void)state;
    assert_int_equal(cron.minutes, BIT(0) | BIT(15) | BIT(30) | BIT(45));
    assert_int_equal(cron.hours, BIT(8) | BIT(10) | BIT(12) | BIT(14) | BIT(16) | BIT(18));
    assert_int_equal(cron.days, BIT(1) | BIT(15));
    assert_int_equal(cron.months, BIT(1) | BIT(2) | BIT(3) | BIT(12));
    assert_int_equal(cron.weekdays & 0x7f, 0x3f);
    assert_true(cron_is_either(&cron));
    cron = parse("5/20 * * * *");
    assert_int_equal(cron.minutes, BIT(5) | BIT(25) | BIT(45));
    cron = parse("@Weekly");
    assert_int_equal(cron.weekdays, BIT(0));
    assert_false(cron_is_either(&cron));
    cron = parse("0 0 29 2 *");
    assert_false(cron.any_day);
}

static void dates_are_those_of_the_calendar(void **state)
{
    (void)state;
    for (int64_t days = -200000; days < 200000; days += 37) {
        struct civil civil;
        time_t at = (time_t)(days * DAY_S);
        struct tm broken_down;

        civil_of_days(days, &civil);
        gmtime_r(&at, &broken_down);
        assert_int_equal(civil.year, broken_down.tm_year + 1900);
        assert_int_equal(civil.month, broken_down.tm_mon + 1);
        assert_int_equal(civil.day, broken_down.tm_mday);
        assert_int_equal(civil_weekday(days), broken_down.tm_wday);
        assert_int_equal(civil_days(civil.year, civil.month, civil.day), days);
    }
    assert_int_equal(civil_month_days(2028, 2), 29);
    assert_int_equal(civil_month_days(2100, 2), 28);
}

static struct zone load(const char *name)
{
    struct zone zone;

    assert_int_equal(zone_load(name, START, YEARS + 1, &zone), 0);
    return zone;
}

static void unknown_zones_are_refused(void **state)
{
    struct zone zone;

    (void)state;
    assert_true(zone_load("Europe/Atlantis", START, 2, &zone) < 0);
    assert_true(zone_load("../../etc/passwd", START, 2, &zone) < 0);
    assert_true(zone_load("", START, 2, &zone) < 0);
    assert_null(getenv("TZ"));
}

/* ---- the oracle ------------------------------------------------------------------------------------------------------------------ */

static bool oracle_matches(const struct cron *cron, const struct tm *local)
{
    bool day = (cron->days & BIT(local->tm_mday)) != 0, weekday = (cron->weekdays & BIT(local->tm_wday)) != 0;

    return (cron->minutes & BIT(local->tm_min)) && (cron->hours & BIT(local->tm_hour)) && (cron->months & BIT(local->tm_mon + 1)) &&
           (!cron->any_day && !cron->any_weekday ? day || weekday : day && weekday);
}

/* Seconds since the epoch as if the clock's face were UTC: grows with the face, jumps where it jumps. */
static int64_t face(const struct tm *local)
{
    struct tm copy = *local;

    return (int64_t)timegm(&copy);
}

/* Every instant of [from_s, until_s) at which the line is due, by walking. The process's TZ is the zone. */
static int oracle_list(const struct cron *cron, int64_t from_s, int64_t until_s, int64_t *ret_s, int most)
{
    int count = 0;
    int64_t seen = 0; /* the furthest face that was shown */
    bool started = false;

    for (int64_t at_s = from_s - 2 * DAY_S; at_s < until_s && count < most; at_s += 60) {
        time_t at = (time_t)at_s;
        struct tm local;
        int64_t now;
        bool due;

        localtime_r(&at, &local);
        now = face(&local);
        due = oracle_matches(cron, &local) && (cron->any_hour || !started || now > seen); /* shown before: came twice */
        for (int64_t skipped = seen + 60; !cron->any_hour && started && skipped < now && !due; skipped += 60) {
            time_t then = (time_t)skipped;
            struct tm gone;

            gmtime_r(&then, &gone);
            due = oracle_matches(cron, &gone);
        }
        seen = !started || now > seen ? now : seen;
        started = true;
        if (due && at_s >= from_s)
            ret_s[count++] = at_s;
    }
    return count;
}

static void random_line(uint64_t seed, uint64_t index, char *line, size_t size)
{
    static const char *const minutes[] = { "0", "30", "*/20", "5,35", "59", "*" }, *const hours[] = { "*", "*/6", "0", "1", "2", "2,3", "0-4", "23" };
    static const char *const days[] = { "*", "1", "*/2", "28-31", "15" }, *const months[] = { "*", "3,10", "1-6", "9", "2" };
    static const char *const weekdays[] = { "*", "0", "sun", "1-5", "7,3" };
    uint64_t draw = rng_draw(seed, 7, index, 0);

    snprintf(line, size, "%s %s %s %s %s", minutes[draw % 6], hours[draw / 8 % 8], days[draw / 64 % 5], months[draw / 512 % 5], weekdays[draw / 4096 % 5]);
}

/* Twelve days around each transition of ten years, and some dull ones, against the walk. */
static void due_as_a_walk_says(void **state)
{
    static int64_t expected[40000];
    uint64_t seed = getenv("TEST_SEED") ? strtoull(getenv("TEST_SEED"), NULL, 0) : 20261123;
    size_t compared = 0;

    (void)state;
    for (size_t z = 0; z < ZONES; z++) {
        struct zone zone = load(zones[z]);

        setenv("TZ", zones[z], 1);
        tzset();
        for (int t = 0; t < zone.count; t++) {
            int64_t middle_s = t ? zone.transition[t].from_s : START + (int64_t)rng_below(rng_draw(seed, 1, z, 0), YEARS * 365) * DAY_S;
            int64_t from_s = (middle_s - 5 * DAY_S) / 3600 * 3600, until_s = from_s + 12 * DAY_S, at_s = from_s - 1;
            char line[80];
            struct cron cron;
            int count;

            if (middle_s < START || middle_s > START + YEARS * 365 * DAY_S)
                continue;
            random_line(seed, z * 1000 + (uint64_t)t, line, sizeof(line));
            cron = parse(line);
            count = oracle_list(&cron, from_s, until_s, expected, 40000);
            for (int i = 0; i < count; i++) {
                at_s = cron_next(&cron, &zone, at_s);
                if (at_s != expected[i])
                    fail_msg("%s '%s' (seed %llu): due %d is %lld, the walk says %lld", zones[z], line, (unsigned long long)seed, i, (long long)at_s,
                             (long long)expected[i]);
                compared++;
            }
            at_s = cron_next(&cron, &zone, at_s);
            if (at_s && at_s < until_s)
                fail_msg("%s '%s' (seed %llu): due once more, at %lld", zones[z], line, (unsigned long long)seed, (long long)at_s);
        }
        unsetenv("TZ");
        tzset();
    }
    print_message("# %zu instants compared\n", compared);
    assert_true(compared > 10000);
}

/* Always forward, never twice, none lost: a daily line is due 3,652 or 3,653 times in ten years in every zone. */
static void ten_years_lose_nothing(void **state)
{
    struct cron daily = parse("30 2 * * *"), weekly = parse("@weekly");

    (void)state;
    for (size_t z = 0; z < ZONES; z++) {
        struct zone zone = load(zones[z]);
        int64_t at_s = START, end_s = START + 3652 * DAY_S;
        int days = 0, weeks = 0;

        for (int64_t next_s; (next_s = cron_next(&daily, &zone, at_s)) && next_s <= end_s; at_s = next_s) {
            assert_true(next_s > at_s && next_s - at_s <= DAY_S + 3 * 3600);
            days++;
        }
        at_s = START;
        for (int64_t next_s; (next_s = cron_next(&weekly, &zone, at_s)) && next_s <= end_s; at_s = next_s)
            weeks++;
        assert_in_range(days, 3651, 3653);
        assert_in_range(weeks, 521, 522);
    }
}

static void known_days(void **state)
{
    struct zone berlin = load("Europe/Berlin"), utc = load("UTC");
    struct cron gap = parse("30 2 * * *"), hourly = parse("0 * * * *"), leap = parse("0 12 29 2 *"), often = parse("@every 6h");

    (void)state;
    /* 2026-03-29 02:00 CET becomes 03:00 CEST at 01:00 UTC: half past two is due then. */
    assert_int_equal(cron_next(&gap, &berlin, 1774738800), 1774746000);
    /* 2026-10-25 03:00 CEST becomes 02:00 CET at 01:00 UTC: half past two is due the first time only, at 00:30 UTC. */
    assert_int_equal(cron_next(&gap, &berlin, 1792879200), 1792888200);
    assert_int_equal(cron_next(&gap, &berlin, 1792888200), 1792888200 + 25 * 3600);
    assert_int_equal(cron_next(&hourly, &berlin, 1792886400), 1792890000); /* 02:00 again */
    assert_int_equal(cron_next(&leap, &utc, START), 1835438400);           /* 2028-02-29T12:00Z */
    assert_int_equal(cron_next(&often, &berlin, START), START + 6 * 3600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_refused),        cmocka_unit_test(lines_are_read),       cmocka_unit_test(dates_are_those_of_the_calendar),
        cmocka_unit_test(unknown_zones_are_refused), cmocka_unit_test(known_days),           cmocka_unit_test(due_as_a_walk_says),
        cmocka_unit_test(ten_years_lose_nothing),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    unsetenv("TZ");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
