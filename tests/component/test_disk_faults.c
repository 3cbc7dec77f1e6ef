/* The disk faults, each under both backends that have it: the victim (tests/fixtures/victim_disk.c) works out what every call has to return
 * and what the file has to hold, byte for byte; the page's counts are compared with its own; and what a killed one leaves with what
 * it had synced. */
#include "tests/component/supervised.h"

#include "shims/host/unsynced.h"

#include <sys/stat.h>

enum { SEEDS = 3 };

struct both {
    bool supervised;
    char path[256];
    char text[512];
    unsigned long long calls, hits;
};

/* Runs it under a rule named x whose path is the file. Returns its status. */
static int run(struct bench *bench, struct both *both, const char *fault, const char *kind, unsigned seed, const char *a, const char *b, const char *c)
{
    char line[512], number[16];
    char *argv[] = { "victim_disk", (char *)(uintptr_t)kind, both->path, number, (char *)(uintptr_t)a, (char *)(uintptr_t)b, (char *)(uintptr_t)c, NULL };
    int status;

    snprintf(both->path, sizeof(both->path), "%s/file", bench->folder);
    snprintf(number, sizeof(number), "%u", seed);
    snprintf(line, sizeof(line), "%s%cpath=%s,name=x", fault, strchr(fault, ':') ? ',' : ':', both->path);
    bench_arm(bench, seed, line);
    if (both->supervised) {
        struct supervised started = supervised_start_argv(bench, argv);

        status = supervised_end(&started, both->text, sizeof(both->text));
    } else {
        struct victim victim = victim_start_argv(bench, argv);

        status = victim_end(&victim, both->text, sizeof(both->text));
    }
    if (status < 128 && (status || sscanf(both->text, "calls=%llu hits=%llu", &both->calls, &both->hits) != 2))
        fail_msg("%s, seed %u%s: the victim said '%s'", line, seed, both->supervised ? ", supervised" : "", both->text);
    return status;
}

/* The page counted what the victim counted, and at least so many were hit. */
static void expect_counts(struct bench *bench, const struct both *both, uint64_t hits_min)
{
    struct rule_status status = bench_status(bench, 0);
    struct page_event events[4];

    assert_int_equal(status.counts.matched, both->calls);
    assert_int_equal(status.counts.fired, both->hits);
    assert_true(both->hits >= hits_min);
    assert_int_equal(page_events(bench->page, events, 4), 1);
    assert_string_equal(events[0].name, "x");
    assert_int_equal(events[0].ns, status.counts.first_ns);
}

static void expect_file(const struct both *both)
{
    char oracle[sizeof(both->path) + 8];
    struct stat is, must;
    FILE *a, *b;

    snprintf(oracle, sizeof(oracle), "%s.oracle", both->path);
    assert_int_equal(stat(both->path, &is) | stat(oracle, &must), 0);
    assert_int_equal(is.st_size, must.st_size);
    a = fopen(both->path, "re");
    b = fopen(oracle, "re");
    for (off_t i = 0; i < is.st_size; i++)
        if (fgetc(a) != fgetc(b))
            fail_msg("byte %lld of %lld differs", (long long)i, (long long)is.st_size);
    fclose(a);
    fclose(b);
}

#define each_backend(both) for (int turn = 0; turn < 2; turn++, both.supervised = turn == 1)

static void full_cuts_and_refuses(void **state)
{
    struct both both = { .supervised = false };

    each_backend(both)
        for (unsigned seed = 1; seed <= SEEDS; seed++) {
            run(*state, &both, "disk_full:50000B", "full", seed, "50000", NULL, NULL);
            expect_counts(*state, &both, 10);
            run(*state, &both, "disk_full:50000B,counts=written", "full", seed, "50000", "written", NULL);
            expect_counts(*state, &both, 10);
        }
}

static void torn_by_sectors(void **state)
{
    struct both both = { .supervised = false };

    each_backend(both)
        for (unsigned seed = 1; seed <= SEEDS; seed++) {
            run(*state, &both, "torn_write:512B", "torn", seed, "512", "prefix", NULL);
            expect_counts(*state, &both, 30);
            run(*state, &both, "torn_write:100B,keep=some", "torn", seed, "100", "some", NULL);
            expect_counts(*state, &both, 30);
        }
}

static void torn_at_a_crash(void **state)
{
    struct both both = { .supervised = false };

    each_backend(both)
        for (unsigned seed = 1; seed <= SEEDS; seed++) {
            assert_int_equal(run(*state, &both, "torn_write:64B,then=crash", "torn", seed, "64", "prefix", "crash"), 128 + SIGKILL);
            expect_file(&both);
            assert_int_equal(run(*state, &both, "torn_write:64B,keep=some,then=crash", "torn", seed, "64", "some", "crash"), 128 + SIGKILL);
            expect_file(&both);
        }
}

static void rot_is_of_the_place(void **state)
{
    static const char *const modes[] = { "bit", "zero", "random" };
    struct both both = { .supervised = false };
    char line[96];

    each_backend(both)
        for (unsigned seed = 1; seed <= SEEDS; seed++) {
            const char *length = seed == 1 ? "1" : "300";

            snprintf(line, sizeof(line), "corrupt:30%%,cell=1024B,mode=%s,length=%sB", modes[seed - 1], length);
            run(*state, &both, line, "rot", seed, "1024", modes[seed - 1], length);
            /* The static victim's stream reads ahead: counted by its own reads. */
            if (!both.supervised)
                expect_counts(*state, &both, 50);
            else
                assert_true(bench_status(*state, 0).counts.fired > 50);
        }
}

static void make_file(struct bench *bench)
{
    char name[256];
    FILE *file;

    snprintf(name, sizeof(name), "%s/file", bench->folder);
    file = fopen(name, "we");
    fputs("12345678\n", file);
    fclose(file);
}

static void errors_of_files_alone(void **state)
{
    struct both both = { .supervised = false };

    make_file(*state);
    each_backend(both) {
        run(*state, &both, "disk_error:after=1", "error", 1, "5", NULL, NULL);
        expect_counts(*state, &both, 4);
        run(*state, &both, "disk_error:stale,after=1", "error", 1, "116", NULL, NULL);
        expect_counts(*state, &both, 4);
        run(*state, &both, "disk_error:read_only", "read_only", 1, "30", NULL, NULL);
        expect_counts(*state, &both, 2);
    }
}

static void streams_show_their_errors(void **state)
{
    struct both both = { .supervised = false };

    make_file(*state);
    run(*state, &both, "disk_error:after=1", "stdio", 1, "5", NULL, NULL);
    expect_counts(*state, &both, 6);
}

static void streams_fill_the_disk(void **state)
{
    struct both both = { .supervised = false };

    each_backend(both)
        for (unsigned seed = 1; seed <= SEEDS; seed++) {
            run(*state, &both, "disk_full:100000B", "streams", seed, "100000", NULL, NULL);
            assert_true(bench_status(*state, 0).counts.fired >= 1);
        }
}

static void note_loss(void *context, const struct unsynced_loss *loss)
{
    struct unsynced_loss *sum = context;

    sum->writes += loss->writes;
    sum->size_after = loss->size_after;
}

/* Each kill leaves what had been synced, once. */
static void unsynced_writes_are_lost(void **state)
{
    struct bench *bench = *state;
    struct both both = { .supervised = false };

    each_backend(both)
    for (unsigned seed = 1; seed <= 8; seed++) {
        struct unsynced_loss sum = { .writes = 0 };
        char count[16];

        snprintf(count, sizeof(count), "%u", 40 + seed * 13);
        assert_int_equal(run(bench, &both, "lost_writes", "lost", seed, count, NULL, NULL), 128 + SIGKILL);
        assert_int_equal(bench_status(bench, 0).counts.skipped, 0);
        assert_true(unsynced_lose(page_path(bench->page), note_loss, &sum) >= 0);
        expect_file(&both);
        assert_int_equal(unsynced_lose(page_path(bench->page), note_loss, &sum), 0);
    }
}

/* More than the log holds, with its places used again; and several threads in one file. Nothing is skipped, all is taken back. */
static void the_log_goes_round(void **state)
{
    static const char *const kinds[] = { "wrap", "threads" };
    struct bench *bench = *state;
    struct both both = { .supervised = false };

    each_backend(both)
    for (unsigned i = 0; i < 4; i++) {
        struct unsynced_loss sum = { .writes = 0 };

        assert_int_equal(run(bench, &both, "lost_writes", kinds[i % 2], i, i % 2 ? "60" : "200", NULL, NULL), 128 + SIGKILL);
        assert_int_equal(bench_status(bench, 0).counts.skipped, 0);
        assert_int_equal(unsynced_lose(page_path(bench->page), note_loss, &sum), 1);
        assert_int_equal(sum.writes, i % 2 ? 2048 / 4 : 199 % 7);
        expect_file(&both);
    }
}

/* Disarmed, or past the lease, nothing is taken back. */
static void disarmed_loses_nothing(void **state)
{
    struct bench *bench = *state;
    struct both both = { .supervised = false };
    struct unsynced_loss sum = { .writes = 0 };
    struct stat before, after;

    assert_int_equal(run(bench, &both, "lost_writes@write", "lost", 3, "50", NULL, NULL), 128 + SIGKILL);
    assert_int_equal(stat(both.path, &before), 0);
    assert_true(before.st_size > 1000);
    assert_int_equal(page_release(bench->page), 0);
    assert_int_equal(unsynced_lose(page_path(bench->page), note_loss, &sum), 0);
    assert_int_equal(stat(both.path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
}

/* At the point write alone no sync helps: all is lost. */
static void a_disk_that_ignores_syncs(void **state)
{
    struct bench *bench = *state;
    struct both both = { .supervised = false };
    struct unsynced_loss sum = { .writes = 0 };
    struct stat after;

    assert_int_equal(run(bench, &both, "lost_writes@write", "lost", 3, "50", NULL, NULL), 128 + SIGKILL);
    assert_int_equal(unsynced_lose(page_path(bench->page), note_loss, &sum), 1);
    assert_int_equal(sum.writes, 50);
    assert_int_equal(sum.size_after, 0);
    assert_int_equal(stat(both.path, &after), 0);
    assert_int_equal(after.st_size, 0);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_begin, bench_end)
    const struct CMUnitTest tests[] = {
        TEST(full_cuts_and_refuses), TEST(torn_by_sectors),           TEST(torn_at_a_crash),
        TEST(rot_is_of_the_place),   TEST(errors_of_files_alone),     TEST(streams_show_their_errors),
        TEST(streams_fill_the_disk), TEST(unsynced_writes_are_lost), TEST(the_log_goes_round), TEST(disarmed_loses_nothing), TEST(a_disk_that_ignores_syncs),
    };

    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
