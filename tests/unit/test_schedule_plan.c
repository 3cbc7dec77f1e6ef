/* The scheduler's plan: over ten years and twenty zones no occurrence is lost or comes twice, whatever the service slept through and however
 * the clock was set; and each reason to skip, wait or replace, as a table. No clock is read here. */
#include "controller/serve/timetable/schedule_plan.h"
#include "scenarios/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START INT64_C(1767225600) /* 2026-01-01T00:00:00Z, a Thursday */
#define DAY_S INT64_C(86400)
#define YEARS_S (3652 * DAY_S)

static const char *const zones[] = {
    "UTC",                 "Europe/Berlin",     "Europe/London",     "Europe/Dublin",   "America/New_York",   "America/Sao_Paulo", "America/Santiago",
    "America/Los_Angeles", "America/St_Johns",  "Asia/Kolkata",      "Asia/Kathmandu",  "Asia/Tehran",        "Asia/Tokyo",        "Asia/Jerusalem",
    "Australia/Lord_Howe", "Australia/Sydney",  "Africa/Casablanca", "Africa/Cairo",    "Pacific/Chatham",    "Pacific/Apia",
};

enum { ZONES = sizeof(zones) / sizeof(zones[0]), OCCURRENCES_MAX = 20000, DONE_MAX = 512 };

static struct cron parse(const char *line)
{
    struct errs errs = { 0 };
    struct cron cron;

    if (cron_parse(line, "test", &errs, &cron) < 0)
        fail_msg("%s: %s", line, errs.list[0].text);
    return cron;
}

/* ---- ten years ---------------------------------------------------------------------------------------------------------------------- */

/* One schedule whose decisions are applied as the scheduler applies them. */
struct life {
    struct cron cron;
    struct zone *zone;
    struct claims claims;
    struct plan_schedule schedule;
    int64_t *due, *runs, *decided; /* every occurrence: when; how often it ran; how often it was decided */
    size_t count;
    int64_t done[DONE_MAX];
    uint64_t seed, step;
    const char *name;
};

static uint64_t draw(struct life *life, uint64_t bound)
{
    return rng_below(rng_draw(life->seed, 11, ++life->step, 0), bound);
}

/* The last occurrence at or before an instant; 0 where there is none. */
static size_t index_before(const struct life *life, int64_t at_s)
{
    size_t low = 0, high = life->count;

    while (high - low > 1) {
        size_t middle = (low + high) / 2;

        if (life->due[middle] <= at_s)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static size_t index_of(const struct life *life, int64_t due_s)
{
    size_t low = index_before(life, due_s);

    if (life->due[low] != due_s)
        fail_msg("%s (seed %llu): %lld is decided, no occurrence", life->name, (unsigned long long)life->seed, (long long)due_s);
    return low;
}

static void list_occurrences(struct life *life)
{
    int64_t at_s = START;

    life->count = 0;
    while ((at_s = cron_next(&life->cron, life->zone, at_s)) && at_s < START + YEARS_S + 60 * DAY_S && life->count < OCCURRENCES_MAX) {
        life->due[life->count] = at_s;
        life->runs[life->count] = life->decided[life->count] = 0;
        life->count++;
    }
}

/* What the scheduler asks its store for: those that have run and lie ahead of the cursor. */
static void find_done(struct life *life)
{
    int64_t after_s = life->schedule.considered_s;

    life->schedule.done_count = 0;
    life->schedule.done_s = life->done;
    for (size_t i = index_before(life, after_s); i < life->count && life->due[i] < after_s + 80 * DAY_S; i++)
        if (life->due[i] > after_s && life->runs[i] && life->schedule.done_count < DONE_MAX)
            life->done[life->schedule.done_count++] = life->due[i];
}

/* Asks until nothing is left; returns when to ask again. */
static int64_t settle(struct life *life, int64_t now_s)
{
    struct plan_state state = { .now_s = now_s, .limits = { 10, 10 }, .schedules = &life->schedule, .schedule_count = 1 };
    struct plan_decision decisions[7];
    int64_t next_s = now_s;

    if (life->schedule.considered_s > now_s)
        life->schedule.considered_s = now_s;
    while (next_s && next_s <= now_s) {
        size_t count;

        find_done(life);
        count = schedule_plan(&state, decisions, 7, &next_s);
        for (size_t i = 0; i < count; i++) {
            size_t index = index_of(life, decisions[i].due_s);

            assert_true(decisions[i].start_s >= decisions[i].due_s && decisions[i].start_s <= now_s);
            assert_true(decisions[i].action != PLAN_SKIP || decisions[i].reason[0]);
            life->decided[index]++;
            life->runs[index] += decisions[i].action != PLAN_SKIP;
            life->schedule.considered_s = decisions[i].due_s;
        }
        assert_true(count || next_s > now_s || !next_s);
    }
    return next_s;
}

/* Mostly it wakes when it asked to, a little late; sometimes it was down, sometimes the clock was set. */
static int64_t pass_time(struct life *life, int64_t now_s, int64_t next_s, bool steps)
{
    int64_t until_s = next_s && next_s < now_s + 9 * DAY_S ? next_s : now_s + 9 * DAY_S;

    switch (draw(life, 40)) {
    case 0:
        return until_s + (int64_t)draw(life, 30 * (uint64_t)DAY_S);
    case 1:
        return steps ? now_s + (int64_t)draw(life, 40 * (uint64_t)DAY_S) : until_s;
    case 2:
        return steps ? now_s - (int64_t)draw(life, 3 * (uint64_t)DAY_S) : until_s;
    case 3:
        return now_s + 1 + (int64_t)draw(life, 60);
    default:
        return until_s + (int64_t)draw(life, 5);
    }
}

static void live(struct life *life, bool steps)
{
    int64_t now_s = START, most_s = START;

    life->schedule.considered_s = START;
    list_occurrences(life);
    while (now_s < START + YEARS_S) {
        now_s = pass_time(life, now_s, settle(life, now_s), steps);
        now_s = now_s < START ? START : now_s;
        most_s = now_s > most_s ? now_s : most_s;
    }
    settle(life, now_s);
    for (size_t i = 0; i < life->count; i++) {
        bool past = life->due[i] + life->schedule.jitter_s <= now_s;

        if (past && !life->decided[i])
            fail_msg("%s (seed %llu): %lld was lost", life->name, (unsigned long long)life->seed, (long long)life->due[i]);
        if (life->runs[i] > 1 || (!steps && life->decided[i] > 1))
            fail_msg("%s (seed %llu): %lld ran %lld times", life->name, (unsigned long long)life->seed, (long long)life->due[i], (long long)life->runs[i]);
        if (life->due[i] > most_s && life->decided[i])
            fail_msg("%s (seed %llu): %lld came before its time", life->name, (unsigned long long)life->seed, (long long)life->due[i]);
    }
}

static void nothing_is_lost_or_doubled(void **state)
{
    static const char *const lines[] = { "30 2 * * *", "0 0,6,12,18 * * *", "@weekly", "15 1,3 * * 1-5", "@every 7h" };
    uint64_t seed = getenv("TEST_SEED") ? strtoull(getenv("TEST_SEED"), NULL, 0) : 20261123;
    struct life life = { .due = calloc(OCCURRENCES_MAX, sizeof(int64_t)), .runs = calloc(OCCURRENCES_MAX, sizeof(int64_t)),
                         .decided = calloc(OCCURRENCES_MAX, sizeof(int64_t)), .zone = calloc(1, sizeof(struct zone)) };
    int64_t ran = 0, decided = 0;

    (void)state;
    for (size_t z = 0; z < ZONES; z++) {
        size_t line = z % (sizeof(lines) / sizeof(lines[0]));
        char name[120];

        assert_int_equal(zone_load(zones[z], START, 12, life.zone), 0);
        snprintf(name, sizeof(name), "%s '%s'", zones[z], lines[line]);
        life.name = name;
        life.cron = parse(lines[line]);
        life.seed = seed + z;
        life.schedule = (struct plan_schedule){ .id = (int64_t)z + 1, .cron = &life.cron, .zone = life.zone, .enabled = true, .claims = &life.claims,
                                                .jitter_s = (int64_t)(z % 3) * 900, .catch_up = (int64_t)(z % 4), .overlap = PLAN_QUEUE };
        live(&life, z % 2);
        for (size_t i = 0; i < life.count; i++) {
            ran += life.runs[i];
            decided += life.decided[i] != 0;
        }
    }
    print_message("# %lld occurrences decided, %lld ran\n", (long long)decided, (long long)ran);
    assert_true(decided > 50000 && ran > 20000);
    free(life.due);
    free(life.runs);
    free(life.decided);
    free(life.zone);
}

/* ---- reasons ---------------------------------------------------------------------------------------------------------------------------- */

#define NINE (START + 9 * 3600)

/* A schedule at nine every day, asked a moment after nine; each test bends one thing. */
struct fixture {
    struct zone *zone;
    struct cron cron, window_cron;
    char *mine[1], *other[1];
    struct claims claims, other_claims;
    struct plan_schedule schedule;
    struct plan_window window;
    struct plan_live live;
    struct plan_state state;
    size_t first_window;
    struct plan_decision decisions[8];
    int64_t next_s;
};

static void set_up(struct fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->zone = calloc(1, sizeof(*fixture->zone));
    assert_int_equal(zone_load("UTC", START, 12, fixture->zone), 0);
    fixture->cron = parse("0 9 * * *");
    fixture->mine[0] = (char *)(uintptr_t)"shop/target:store";
    fixture->other[0] = (char *)(uintptr_t)"shop/target:store";
    fixture->claims = (struct claims){ .items = fixture->mine, .count = 1, .faults = 2 };
    fixture->other_claims = (struct claims){ .items = fixture->other, .count = 1, .faults = 1 };
    fixture->schedule = (struct plan_schedule){ .id = 7, .cron = &fixture->cron, .zone = fixture->zone, .enabled = true, .considered_s = START,
                                                .claims = &fixture->claims };
    fixture->live = (struct plan_live){ .id = "run-1", .claims = &fixture->other_claims };
    fixture->window_cron = parse("0 8 * * *");
    fixture->window = (struct plan_window){ .name = "w", .cron = &fixture->window_cron, .zone = fixture->zone, .duration_s = 7200 };
    fixture->state = (struct plan_state){ .now_s = NINE + 2, .limits = { 8, 4 }, .schedules = &fixture->schedule, .schedule_count = 1,
                                          .windows = &fixture->window, .live = &fixture->live };
}

static void expect(struct fixture *fixture, enum plan_action action, const char *said)
{
    size_t count = schedule_plan(&fixture->state, fixture->decisions, 8, &fixture->next_s);

    assert_int_equal(count, 1);
    assert_int_equal(fixture->decisions[0].due_s, NINE);
    if (fixture->decisions[0].action != action || !strstr(fixture->decisions[0].reason, said))
        fail_msg("expected action %d with '%s', found %d with '%s'", action, said, fixture->decisions[0].action, fixture->decisions[0].reason);
    free(fixture->zone);
}

static void it_starts(void **state)
{
    struct fixture fixture;

    (void)state;
    set_up(&fixture);
    expect(&fixture, PLAN_START, "");
    assert_int_equal(fixture.next_s, NINE + DAY_S);
    set_up(&fixture);
    fixture.state.live_count = 1;
    fixture.other[0] = (char *)(uintptr_t)"shop/target:other";
    expect(&fixture, PLAN_START, "");
    set_up(&fixture);
    fixture.state.window_count = 1; /* open, and not even asked for */
    expect(&fixture, PLAN_START, "");
}

static void it_is_skipped(void **state)
{
    struct fixture fixture;

    (void)state;
    set_up(&fixture);
    fixture.schedule.enabled = false;
    expect(&fixture, PLAN_SKIP, "the schedule is paused");
    set_up(&fixture);
    fixture.state.paused = true;
    expect(&fixture, PLAN_SKIP, "the scheduler is paused");
    set_up(&fixture);
    fixture.schedule.skip_s = NINE;
    fixture.schedule.skip_by = "ann";
    expect(&fixture, PLAN_SKIP, "skipped by ann");
    set_up(&fixture);
    fixture.state.lever_engaged = true;
    expect(&fixture, PLAN_SKIP, "lever");
    set_up(&fixture);
    fixture.state.window_count = 1;
    fixture.window.freezes = true;
    expect(&fixture, PLAN_SKIP, "freeze 'w'");
    set_up(&fixture);
    fixture.state.window_count = 1;
    fixture.window.duration_s = 3600; /* from eight to nine: closed at nine */
    fixture.schedule.windows = &fixture.first_window;
    fixture.schedule.window_count = 1;
    expect(&fixture, PLAN_SKIP, "allow windows");
    set_up(&fixture);
    fixture.schedule.broken = "x.yaml:1:1: no such fault";
    expect(&fixture, PLAN_SKIP, "no such fault");
    set_up(&fixture);
    fixture.state.limits.faults_max = 1;
    expect(&fixture, PLAN_SKIP, "it has 2 faults at a time, 1 are allowed");
}

static void beside_what_runs(void **state)
{
    struct fixture fixture;

    (void)state;
    set_up(&fixture);
    fixture.state.live_count = 1;
    expect(&fixture, PLAN_SKIP, "overlaps run-1 on shop/target:store");
    set_up(&fixture);
    fixture.state.live_count = 1;
    fixture.schedule.overlap = PLAN_QUEUE;
    expect(&fixture, PLAN_WAIT, "overlaps run-1");
    set_up(&fixture);
    fixture.state.live_count = 1;
    fixture.schedule.overlap = PLAN_QUEUE;
    fixture.live.waits = true;
    fixture.live.schedule = 7;
    expect(&fixture, PLAN_SKIP, "waits still");
    set_up(&fixture);
    fixture.state.live_count = 1;
    fixture.schedule.overlap = PLAN_REPLACE;
    fixture.live.replaceable = true;
    expect(&fixture, PLAN_REPLACES, "run-1");
    set_up(&fixture);
    fixture.state.live_count = 1;
    fixture.schedule.overlap = PLAN_REPLACE; /* a person's run is nobody's to replace */
    expect(&fixture, PLAN_SKIP, "overlaps run-1");
    set_up(&fixture);
    fixture.state.live_count = 1;
    fixture.other[0] = (char *)(uintptr_t)"elsewhere";
    fixture.other_claims.whole_host = true;
    expect(&fixture, PLAN_SKIP, "the whole machine");
    set_up(&fixture);
    fixture.state.live_count = 1;
    fixture.other[0] = (char *)(uintptr_t)"elsewhere";
    fixture.other_claims.faults = 7;
    expect(&fixture, PLAN_SKIP, "7 faults act and it has 2, 8 are allowed");
    set_up(&fixture);
    fixture.state.live_count = 1;
    fixture.other[0] = (char *)(uintptr_t)"elsewhere";
    fixture.state.limits.runs_max = 1;
    expect(&fixture, PLAN_SKIP, "1 runs are live, 1 are allowed");
}

/* Two that are due together and have the same target: the first starts, the other overlaps it. */
static void together(void **state)
{
    struct fixture fixture;
    struct plan_schedule both[2];

    (void)state;
    set_up(&fixture);
    both[0] = both[1] = fixture.schedule;
    both[1].id = 8;
    fixture.state.schedules = both;
    fixture.state.schedule_count = 2;
    assert_int_equal(schedule_plan(&fixture.state, fixture.decisions, 8, &fixture.next_s), 2);
    assert_int_equal(fixture.decisions[0].action, PLAN_START);
    assert_int_equal(fixture.decisions[1].action, PLAN_SKIP);
    assert_non_null(strstr(fixture.decisions[1].reason, "one that starts now"));
    free(fixture.zone);
}

static void missed_ones(void **state)
{
    static const struct {
        int64_t catch_up, deadline_s;
        const char *actions; /* of the five that were missed, oldest first: s skipped, r runs, w waits */
    } cases[] = { { 0, 0, "sssss" }, { 1, 0, "ssssr" }, { 3, 0, "ssrww" }, { 100, 0, "rwwww" }, { 100, 3 * DAY_S, "ssrww" }, { 1, 3600, "sssss" } };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        char found[8] = "";

        set_up(&fixture);
        fixture.state.now_s = NINE + 4 * DAY_S + 7200;
        fixture.schedule.catch_up = cases[i].catch_up;
        fixture.schedule.deadline_s = cases[i].deadline_s;
        assert_int_equal(schedule_plan(&fixture.state, fixture.decisions, 8, &fixture.next_s), 5);
        for (size_t j = 0; j < 5; j++)
            found[j] = fixture.decisions[j].action == PLAN_SKIP ? 's' : fixture.decisions[j].action == PLAN_START ? 'r' : 'w';
        if (strcmp(found, cases[i].actions) != 0)
            fail_msg("catch_up %lld, deadline %lld: expected %s, found %s (%s)", (long long)cases[i].catch_up, (long long)cases[i].deadline_s, cases[i].actions,
                     found, fixture.decisions[4].reason);
        free(fixture.zone);
    }
}

/* A clock that was a month ahead for a moment: the month's occurrences were missed then, and run when their time really comes. */
static void a_clock_that_was_wrong(void **state)
{
    struct fixture fixture;
    struct plan_decision many[64];
    size_t count;

    (void)state;
    set_up(&fixture);
    fixture.state.now_s = NINE + 30 * DAY_S + 7200;
    count = schedule_plan(&fixture.state, many, 64, &fixture.next_s);
    assert_int_equal(count, 31);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(many[i].action, PLAN_SKIP);
    fixture.schedule.considered_s = NINE + 5; /* set back, and the cursor with it */
    for (int day = 1; day <= 30; day++) {
        fixture.state.now_s = NINE + day * DAY_S + 1;
        assert_int_equal(schedule_plan(&fixture.state, many, 64, &fixture.next_s), 1);
        assert_int_equal(many[0].due_s, NINE + day * DAY_S);
        assert_int_equal(many[0].action, PLAN_START);
        fixture.schedule.considered_s = many[0].due_s;
    }
    free(fixture.zone);
}

static void jitter_is_drawn_once(void **state)
{
    struct fixture fixture;
    int64_t first_s, again_s;
    bool differs = false;

    (void)state;
    set_up(&fixture);
    fixture.schedule.jitter_s = 1800;
    for (int day = 0; day < 20; day++) {
        fixture.schedule.considered_s = START + day * DAY_S;
        schedule_next(&fixture.schedule, START + day * DAY_S, &first_s);
        schedule_next(&fixture.schedule, START + day * DAY_S + 3600, &again_s);
        assert_int_equal(first_s, again_s);
        assert_in_range(first_s - START - day * DAY_S - 9 * 3600, 0, 1800);
        differs |= (first_s - START) % DAY_S != (NINE - START) % DAY_S;
    }
    assert_true(differs);
    fixture.cron = parse("* * * * *");
    for (int minute = 0; minute < 60; minute++) {
        fixture.schedule.considered_s = START + minute * 60;
        assert_in_range(schedule_next(&fixture.schedule, START + minute * 60, &first_s), START + minute * 60 + 60, START + minute * 60 + 60);
        assert_in_range(first_s - START - minute * 60 - 60, 0, 59); /* below the gap to the next */
    }
    free(fixture.zone);
}

static void claims_meet(void **state)
{
    char *shop[] = { (char *)(uintptr_t)"a", (char *)(uintptr_t)"c" }, *cart[] = { (char *)(uintptr_t)"b", (char *)(uintptr_t)"d" };
    struct claims a = { .items = shop, .count = 2 }, b = { .items = cart, .count = 2 }, read;
    cJSON *json;
    char *text;

    (void)state;
    assert_null(claims_overlap(&a, &b));
    cart[1] = (char *)(uintptr_t)"c";
    assert_string_equal(claims_overlap(&a, &b), "c");
    b.count = 0;
    assert_null(claims_overlap(&a, &b));
    b.whole_host = true;
    assert_string_equal(claims_overlap(&a, &b), "the whole machine");
    json = claims_print(&a);
    text = cJSON_PrintUnformatted(json);
    assert_int_equal(claims_parse(text, &read), 0);
    assert_int_equal(read.count, 2);
    assert_string_equal(read.items[1], "c");
    assert_int_equal(claims_parse("{\"items\":[1]}", &a), -22);
    claims_done(&read);
    cJSON_free(text);
    cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts),   cmocka_unit_test(it_is_skipped),        cmocka_unit_test(beside_what_runs), cmocka_unit_test(together),
        cmocka_unit_test(missed_ones), cmocka_unit_test(jitter_is_drawn_once), cmocka_unit_test(claims_meet),      cmocka_unit_test(a_clock_that_was_wrong), cmocka_unit_test(nothing_is_lost_or_doubled),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    unsetenv("TZ");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
