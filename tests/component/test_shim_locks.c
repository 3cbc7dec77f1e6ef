/* Locks that also tell: lock_hold, the contention profile against the victim's own clock, deadlocks named, saved and broken, and none
 * named where there is none. */
#include "tests/component/command.h"

#include "shims/host/lockwatch.h"

#include <cjson/cJSON.h>

enum { ROUNDS = 300, HOLD_US = 300 };

static char snapshot_path[256];

static cJSON *read_json(const char *path)
{
    static char text[1 << 20];
    FILE *file = fopen(path, "re");
    size_t length;

    assert_non_null(file);
    length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = '\0';
    return cJSON_Parse(text);
}

static char *snapshot_file(struct bench *bench)
{
    snprintf(snapshot_path, sizeof(snapshot_path), "%s/locks.json", bench->folder);
    return snapshot_path;
}

static const char *string(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsString(item) ? item->valuestring : "";
}

static int number(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key)->valueint;
}

static const cJSON *thread_of(const cJSON *snapshot, int tid)
{
    const cJSON *thread;

    cJSON_ArrayForEach(thread, cJSON_GetObjectItemCaseSensitive(snapshot, "threads"))
    {
        if (number(thread, "tid") == tid)
            return thread;
    }
    fail_msg("thread %d is not in the snapshot", tid);
    return NULL;
}

static bool stack_holds(const cJSON *thread, const char *function)
{
    const cJSON *line;

    cJSON_ArrayForEach(line, cJSON_GetObjectItemCaseSensitive(thread, "stack"))
    {
        if (strstr(line->valuestring, function))
            return true;
    }
    return false;
}

/* Each thread waits for what the next one holds, all are in the cycle, and each one's stack and sites say where. */
static void check_cycle(const cJSON *snapshot, int length, const char *function)
{
    const cJSON *deadlocks = cJSON_GetObjectItemCaseSensitive(snapshot, "deadlocks"), *threads;

    assert_int_equal(cJSON_GetArraySize(deadlocks), 1);
    threads = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(deadlocks, 0), "threads");
    assert_int_equal(cJSON_GetArraySize(threads), length);
    for (int i = 0; i < length; i++) {
        const cJSON *entry = cJSON_GetArrayItem(threads, i);
        const cJSON *thread = thread_of(snapshot, number(entry, "tid")), *holder = thread_of(snapshot, number(entry, "holder")), *held;
        bool found = false;

        assert_int_equal(number(entry, "holder"), number(cJSON_GetArrayItem(threads, (i + 1) % length), "tid"));
        assert_string_equal(string(cJSON_GetObjectItemCaseSensitive(thread, "waits"), "lock"), string(entry, "lock"));
        cJSON_ArrayForEach(held, cJSON_GetObjectItemCaseSensitive(holder, "holds"))
        {
            found = found || !strcmp(string(held, "lock"), string(entry, "lock"));
        }
        assert_true(found);
        assert_true(stack_holds(thread, function));
    }
}

static void a_deadlock_is_named_and_broken(void **state)
{
    struct bench *bench = *state;
    const cJSON *threads;
    cJSON *snapshot;

    assert_int_equal(perturb(bench, "exec", "--watch-locks=200ms", "--break-deadlock", "edeadlk", "--lock-snapshot", snapshot_file(bench), "--",
                             fixture(bench, "victim_locks"), "deadlock", "3"), 0);
    expect_heard("deadlock: thread ");
    expect_heard("is told EDEADLK");
    assert_non_null(strstr(heard, "EDEADLK ")); /* one gave up, the others went on */
    assert_non_null(strstr(heard, "taken "));
    assert_null(strstr(strstr(heard, "EDEADLK ") + 1, "EDEADLK "));
    snapshot = read_json(snapshot_path);
    assert_non_null(snapshot);
    check_cycle(snapshot, 3, "lock_second");
    threads = cJSON_GetObjectItemCaseSensitive(snapshot, "threads");
    assert_int_equal(cJSON_GetArraySize(threads), 3);
    for (int i = 0; i < 3; i++)
        assert_non_null(strstr(string(cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(threads, i), "waits"), "site"), "lock_second"));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(snapshot, "order_cycles")), 1);
    cJSON_Delete(snapshot);
    assert_int_equal(perturb(bench, "diagnose", snapshot_path), 0);
    expect_heard("deadlock of 3 threads");
    expect_heard("lock_second");
}

static void kinds_of_locks_mix_in_a_cycle(void **state)
{
    struct bench *bench = *state;
    cJSON *snapshot;

    assert_int_equal(perturb(bench, "exec", "--watch-locks=100ms", "--break-deadlock", "edeadlk", "--lock-snapshot", snapshot_file(bench), "--",
                             fixture(bench, "victim_locks"), "rwdeadlock"), 0);
    assert_true(strstr(heard, "EDEADLK taken") || strstr(heard, "taken EDEADLK"));
    snapshot = read_json(snapshot_path);
    check_cycle(snapshot, 2, "crosswise");
    cJSON_Delete(snapshot);
    assert_int_equal(perturb(bench, "exec", "--watch-locks=100ms", "--break-deadlock", "edeadlk", "--lock-snapshot", snapshot_file(bench), "--",
                             fixture(bench, "victim_locks"), "self"), 0);
    snapshot = read_json(snapshot_path);
    check_cycle(snapshot, 1, "lock_second");
    cJSON_Delete(snapshot);
}

static void a_deadlock_of_a_cxx_program(void **state)
{
    struct bench *bench = *state;
    cJSON *snapshot;

    if (access(fixture(bench, "victim_mutex"), X_OK) < 0) {
        print_message("skipped: no C++ compiler\n");
        skip();
    }
    assert_int_equal(perturb(bench, "exec", "--watch-locks=100ms", "--break-deadlock", "edeadlk", "--lock-snapshot", snapshot_file(bench), "--",
                             fixture(bench, "victim_mutex")), 0);
    assert_true(strstr(heard, "EDEADLK taken") || strstr(heard, "taken EDEADLK"));
    snapshot = read_json(snapshot_path);
    check_cycle(snapshot, 2, "take");
    cJSON_Delete(snapshot);
}

static void a_deadlock_ends_the_process_if_asked(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "--watch-locks=100ms", "--break-deadlock", "crash", "--lock-snapshot", snapshot_file(bench), "--",
                             fixture(bench, "victim_locks"), "deadlock", "2"), 128 + SIGABRT);
    expect_heard("is sent SIGABRT");
}

static void an_ordered_program_is_left_in_peace(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "--watch-locks=20ms", "--break-deadlock", "crash", "--lock-snapshot", snapshot_file(bench), "--",
                             fixture(bench, "victim_locks"), "ordered", "900", "200000"), 0);
    expect_heard("meals ");
    expect_heard("no deadlock is seen"); /* it was looked at while threads waited, and for longer than a look takes */
    assert_null(strstr(heard, "deadlock:"));
    assert_null(strstr(heard, "could deadlock"));
    assert_null(strstr(heard, "meals 0"));
}

static void orders_that_could_deadlock(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "--watch-locks", "--", fixture(bench, "victim_locks"), "swapped"), 0);
    expect_heard("2 locks are taken in orders that could deadlock");
    expect_heard("both+");
    assert_int_equal(perturb(bench, "exec", "--watch-locks", "--", fixture(bench, "victim_locks"), "guarded"), 0);
    assert_null(strstr(heard, "could deadlock"));
}

static void a_long_wait_without_a_cycle_is_told_once(void **state)
{
    struct bench *bench = *state;
    struct victim victim = perturb_start(bench, "exec", "--watch-locks=50ms", "--break-deadlock", "crash", "--lock-snapshot",
                                         snapshot_file(bench), "--", fixture(bench, "victim_locks"), "semaphore", NULL);
    cJSON *snapshot;

    victim_hear(&victim, "explains it", heard, sizeof(heard));
    expect_heard("no deadlock is seen");
    snapshot = read_json(snapshot_path);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(snapshot, "deadlocks")), 0);
    assert_string_equal(string(cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(snapshot, "threads"), 0),
                                                               "waits"), "kind"), "semaphore");
    cJSON_Delete(snapshot);
    assert_int_equal(kill(victim.pid, SIGTERM), 0); /* passed on */
    assert_int_equal(perturb_end(victim), 128 + SIGTERM);
    assert_null(strstr(heard, "no deadlock is seen"));
}

/* Every call does what it does alone, watched and profiled or not. */
static void nothing_changes_for_a_correct_program(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "--", fixture(bench, "victim_locks"), "family"), 0);
    expect_heard("family ok");
    assert_int_equal(perturb(bench, "exec", "--watch-locks", "--lock-profile=3", "--", fixture(bench, "victim_locks"), "family"), 0);
    expect_heard("family ok");
    assert_null(strstr(heard, "could deadlock"));
}

/* ---- the profile ------------------------------------------------------------------------------------------------------ */

static void the_profile_is_what_the_victim_waited(void **state)
{
    struct bench *bench = *state;
    struct lock_profile list[8];
    struct lock_copy *copy;
    struct victim victim;
    unsigned long contended, waited_ns;
    char rounds[16], hold[16], text[256];
    size_t count;

    snprintf(rounds, sizeof(rounds), "%d", ROUNDS);
    snprintf(hold, sizeof(hold), "%d", HOLD_US);
    assert_int_equal(page_watch(bench->page, WATCH_PROFILE, 1, 120 * NS_PER_S), 0);
    victim = victim_start(bench, "victim_locks", "contend", rounds, hold);
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_int_equal(sscanf(text, "contended %lu waited %lu", &contended, &waited_ns), 2);
    copy = lockwatch_copy(bench->page);
    count = lockwatch_profile(copy, list, ARRAY_SIZE(list));
    print_message("the victim: %lu waits, %lu us; the profile: %lu, %lu us\n", contended, waited_ns / 1000,
                  (unsigned long)list[0].contended, (unsigned long)(list[0].delay_ns / 1000));
    assert_int_equal(count, 1);
    assert_int_equal(copy->thread_count, 0); /* waits are not watched */
    assert_int_equal(list[0].sampled, list[0].contended);
    assert_true(contended > 10);
    assert_true(list[0].contended * 3 + 30 >= contended * 2 && list[0].contended * 2 <= contended * 3 + 30);
    assert_true(list[0].delay_ns * 3 >= waited_ns * 2 && list[0].delay_ns * 2 <= waited_ns * 3);
    assert_true(list[0].most_ns <= list[0].delay_ns);
    free(copy);
}

static void a_sample_stands_for_the_rest(void **state)
{
    struct bench *bench = *state;
    struct lock_profile list[8];
    struct lock_copy *copy;
    struct victim victim;
    unsigned long contended, waited_ns;
    char text[256];

    assert_int_equal(page_watch(bench->page, WATCH_PROFILE, 5, 120 * NS_PER_S), 0);
    victim = victim_start(bench, "victim_locks", "contend", "2000", "100");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_int_equal(sscanf(text, "contended %lu waited %lu", &contended, &waited_ns), 2);
    copy = lockwatch_copy(bench->page);
    assert_int_equal(lockwatch_profile(copy, list, ARRAY_SIZE(list)), 1);
    assert_true(list[0].sampled <= list[0].contended / 5 + 2 && list[0].sampled >= list[0].contended / 5);
    print_message("the victim: %lu waits, %lu us; by one in five: %lu us\n", contended, waited_ns / 1000, (unsigned long)(list[0].delay_ns / 1000));
    assert_true(list[0].delay_ns > 0);
    for (size_t i = 0; i < LOCK_SITES_MAX; i++) /* a sum over few waits is no figure to judge, but it must be of the timed ones */
        if (copy->sites[i].ready && copy->sites[i].contended)
            assert_true(llabs((long long)list[0].delay_ns - (long long)(copy->sites[i].sampled_ns * copy->sites[i].contended / copy->sites[i].sampled)) < 1000);
    free(copy);
}

static void the_table_names_the_call_site(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "--lock-profile", "--", fixture(bench, "victim_locks"), "contend", "100", "200"), 0);
    expect_heard("lock_contended");
    expect_heard("mutex");
}

static void watching_ends_with_its_lease(void **state)
{
    struct bench *bench = *state;
    struct victim victim;
    struct lock_copy *copy;
    struct lock_profile list[8];

    assert_int_equal(page_watch(bench->page, WATCH_PROFILE, 1, 0), 0);
    victim = victim_start(bench, "victim_locks", "contend", "50", "100");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    assert_int_equal(page_watch_renew(bench->page, NS_PER_S), -ESTALE);
    copy = lockwatch_copy(bench->page);
    assert_true(lockwatch_profile(copy, list, ARRAY_SIZE(list)) <= 1);
    free(copy);
    assert_int_equal(page_verify(bench->page), 0); /* no fault */
    assert_int_equal(page_watch(bench->page, WATCH_PROFILE, 1, NS_PER_S), 0);
    assert_int_equal(page_release(bench->page), 0);
    assert_int_equal(page_watch_renew(bench->page, NS_PER_S), 0); /* a release ends faults only */
    page_neutralise(bench->page);
    assert_int_equal(page_watch_renew(bench->page, NS_PER_S), -ESTALE);
}

/* ---- lock_hold -------------------------------------------------------------------------------------------------------- */

static uint64_t run_family(struct bench *bench, uint64_t *ret_fired)
{
    uint64_t begin_ns = clock_now_ns();
    struct victim victim = victim_start(bench, "victim_locks", "swapped");

    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    *ret_fired = bench_status(bench, 0).counts.fired;
    return clock_now_ns() - begin_ns;
}

static void a_lock_is_held_for_longer(void **state)
{
    struct bench *bench = *state;
    uint64_t fired;

    bench_arm(bench, 1, "lock_hold:50ms,caller=victim_locks");
    assert_true(run_family(bench, &fired) >= 4 * 50 * NS_PER_MS); /* two threads in turn, two locks each */
    assert_int_equal(fired, 4);
    bench_arm(bench, 1, "lock_hold:50ms,caller=libother.so");
    run_family(bench, &fired);
    assert_int_equal(fired, 0);
    assert_int_equal(preload_watching(bench->library, sizeof(bench->library)), 0);
    bench_arm(bench, 1, "lock_hold@unlock:50ms,caller=victim_locks");
    assert_true(run_family(bench, &fired) >= 4 * 50 * NS_PER_MS);
    assert_int_equal(fired, 4);
    bench_arm(bench, 1, "lock_hold:1ms,caller=victim_locks"); /* before a release only where that was asked for */
    run_family(bench, &fired);
    assert_int_equal(fired, 4);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_deadlock_is_named_and_broken),
        CASE(kinds_of_locks_mix_in_a_cycle),
        CASE(a_deadlock_of_a_cxx_program),
        CASE(a_deadlock_ends_the_process_if_asked),
        CASE(an_ordered_program_is_left_in_peace),
        CASE(orders_that_could_deadlock),
        CASE(a_long_wait_without_a_cycle_is_told_once),
        CASE(nothing_changes_for_a_correct_program),
        CASE(the_profile_is_what_the_victim_waited),
        CASE(a_sample_stands_for_the_rest),
        CASE(the_table_names_the_call_site),
        CASE(watching_ends_with_its_lease),
        CASE(a_lock_is_held_for_longer),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
