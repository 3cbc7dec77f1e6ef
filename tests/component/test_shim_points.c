/* Every point that is not one of data and connections, by each of the names that lead to it: the victim knows which of its calls must
 * fail (tests/fixtures/victim_points.c), and the page counts the same. */
#include "tests/component/shim.h"

#include "scenarios/base/rng.h"

enum { CALLS = 120, NTH = 3 };

static void judge(struct bench *bench, const char *kind, const char *point, const char *error, const char *number)
{
    unsigned long long calls, hits;
    struct rule_status status;
    struct victim victim;
    char line[96], text[256];

    snprintf(line, sizeof(line), "fail@%s:%s,nth=%d,thread=counted,name=x", point, error, NTH);
    bench_arm(bench, 1, line);
    victim = victim_start(bench, (char *)(uintptr_t)"victim_points", (char *)(uintptr_t)kind, (char *)(uintptr_t)number, (char *)(uintptr_t)"3");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_int_equal(sscanf(text, "calls=%llu hits=%llu", &calls, &hits), 2);
    assert_int_equal(calls, CALLS);
    assert_int_equal(hits, CALLS / NTH);
    status = bench_status(bench, 0);
    assert_int_equal(status.counts.matched, calls);
    assert_int_equal(status.counts.fired, hits);
}

static void files(void **state)
{
    judge(*state, "stat", "stat", "EIO", "5");
    judge(*state, "old_stat", "stat", "EIO", "5");
    judge(*state, "truncate", "truncate", "ENOSPC", "28");
    judge(*state, "seek", "truncate", "EIO", "5");
    judge(*state, "sync", "fsync", "EIO", "5");
    judge(*state, "splice", "write", "EIO", "5");
}

static void names(void **state)
{
    judge(*state, "dir", "dir", "EACCES", "13");
    judge(*state, "dir_stream", "dir", "EIO", "5");
    judge(*state, "unlink", "unlink", "EBUSY", "16");
    judge(*state, "rename", "rename", "EXDEV", "18");
}

static void memory(void **state)
{
    judge(*state, "map", "map", "ENOMEM", "12");
    judge(*state, "break", "map", "ENOMEM", "12");
}

static void sockets_and_waiting(void **state)
{
    judge(*state, "socket", "socket", "ENOBUFS", "105");
    judge(*state, "poll", "poll", "EINTR", "4");
}

static void threads_and_processes(void **state)
{
    judge(*state, "thread", "thread", "EAGAIN", "11");
    judge(*state, "process", "process", "EAGAIN", "11");
    judge(*state, "wait", "process", "EINTR", "4");
}

static void descriptors_and_random_numbers(void **state)
{
    judge(*state, "descriptor", "descriptor", "EMFILE", "24");
    judge(*state, "random", "random", "EIO", "5");
}

static void system_calls_by_number(void **state)
{
    judge(*state, "syscall", "write", "ENOSPC", "28");
}

/* Without a point a rule acts where it always did: none of these calls. (To ask for space, fallocate, is to write.) */
static void they_have_to_be_named(void **state)
{
    static const char *const kinds[] = { "stat", "dir", "rename", "map", "poll", "process", "random" };
    struct bench *bench = *state;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct victim victim;

        bench_arm(bench, 1, "fail:EIO,thread=counted,name=x");
        victim = victim_start(bench, (char *)(uintptr_t)"victim_points", (char *)(uintptr_t)kinds[i], (char *)(uintptr_t)"5", (char *)(uintptr_t)"100000");
        assert_int_equal(victim_end(&victim, NULL, 0), 0);
        assert_int_equal(bench_status(bench, 0).counts.matched, 0);
    }
}

/* The errnos that the victim met, in order. */
static void hear_errnos(struct bench *bench, int errnos[CALLS])
{
    struct victim victim = victim_start(bench, (char *)(uintptr_t)"victim_points", (char *)(uintptr_t)"told", (char *)(uintptr_t)"0", (char *)(uintptr_t)"1");
    char text[2048], *at = text;

    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    for (int i = 0; i < CALLS; i++)
        errnos[i] = (int)strtol(at, &at, 10);
}

/* Which errno is a draw of its own, beside the one of the probability: seed, name, stream and ordinal say it. */
static void errnos_by_their_weights(void **state)
{
    const uint64_t ninth = UINT64_C(9) << 60;
    struct bench *bench = *state;
    int errnos[CALLS], seen_eio = 0;

    bench_arm(bench, 77, "fail@write:EIO:3+EINTR+ENOSPC:4,thread=counted,name=mine");
    hear_errnos(bench, errnos);
    for (uint64_t i = 0; i < CALLS; i++) {
        uint64_t eighth = rng_draw(77, rng_hash("mine"), 1, (i + 1) | ninth) >> 61;

        assert_int_equal(errnos[i], eighth < 3 ? EIO : eighth < 4 ? EINTR : ENOSPC);
        seen_eio += errnos[i] == EIO;
    }
    assert_in_range(seen_eio, 25, 65); /* mean 45, sigma 5 */
}

/* error=any: one of what write(2) lists, and each of them comes in a hundred draws. */
static void any_errno_of_the_manual_page(void **state)
{
    static const int listed[] = { EAGAIN, EDQUOT, EFBIG, EINTR, EIO, ENOSPC, EPIPE };
    struct bench *bench = *state;
    int errnos[CALLS], seen[ARRAY_SIZE(listed)] = { 0 };

    bench_arm(bench, 5, "fail@write:any,thread=counted,name=mine");
    hear_errnos(bench, errnos);
    for (int i = 0; i < CALLS; i++)
        for (size_t k = 0; k <= ARRAY_SIZE(listed); k++) {
            assert_true(k < ARRAY_SIZE(listed));
            if (errnos[i] == listed[k]) {
                seen[k]++;
                break;
            }
        }
    for (size_t k = 0; k < ARRAY_SIZE(listed); k++)
        assert_true(seen[k] > 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(files),
        CASE(names),
        CASE(memory),
        CASE(sockets_and_waiting),
        CASE(threads_and_processes),
        CASE(descriptors_and_random_numbers),
        CASE(system_calls_by_number),
        CASE(they_have_to_be_named),
        CASE(errnos_by_their_weights),
        CASE(any_errno_of_the_manual_page),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
