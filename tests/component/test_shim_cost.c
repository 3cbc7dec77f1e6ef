/* The idle cost, in instructions: the slope of callgrind's count over the number of malloc/free pairs, which repeats to the
 * instruction where nanoseconds do not. Under the idle shim a pair may cost at most 6 instructions more than under hooks that
 * do nothing but pass on (tests/fixtures/preload/passthrough.c). */
#include "tests/component/shim.h"

enum { FEW = 1000, MANY = 21000, EXTRA_MAX = 6 };

static const char valgrind[] = "/usr/bin/valgrind";

/* Instructions of alloc_pairs doing `pairs` under `preload`. */
static unsigned long long instructions(struct bench *bench, const char *preload, const char *page, int pairs)
{
    char program[PATH_MAX + 64], library[PATH_MAX + 64], variable[384], number[16], text[256], out[256], count_line[256];
    char *environment[] = { library, variable, NULL };
    unsigned long long count = 0;
    struct victim victim;
    FILE *file;

    snprintf(program, sizeof(program), "%s/tests/fixtures/alloc_pairs", bench->build);
    snprintf(library, sizeof(library), "LD_PRELOAD=%s", preload);
    snprintf(variable, sizeof(variable), CONTROL_ENV "=%s", page);
    snprintf(number, sizeof(number), "%d", pairs);
    snprintf(out, sizeof(out), "--callgrind-out-file=%s/callgrind", bench->folder);
    victim = victim_start_with(bench, (char *[]){ (char *)(uintptr_t)valgrind, "-q", "--tool=callgrind", out, program, number, NULL }, environment);
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    snprintf(out, sizeof(out), "%s/callgrind", bench->folder);
    file = fopen(out, "re");
    assert_non_null(file);
    while (fgets(count_line, sizeof(count_line), file))
        if (!strncmp(count_line, "summary:", 8) || !strncmp(count_line, "totals:", 7))
            count = strtoull(strchr(count_line, ':') + 1, NULL, 10);
    fclose(file);
    assert_true(count > 0);
    return count;
}

static double per_pair(struct bench *bench, const char *preload, const char *page)
{
    unsigned long long few = instructions(bench, preload, page, FEW);

    return (double)(instructions(bench, preload, page, MANY) - few) / (MANY - FEW);
}

static void idle_pair_costs_next_to_nothing(void **state)
{
    struct bench *bench = *state;
    char passthrough[PATH_MAX + 64];
    double bare, hop, idle, unarmed;

    if (access(valgrind, X_OK) < 0) {
        print_message("skipped: no %s\n", valgrind);
        skip();
    }
    snprintf(passthrough, sizeof(passthrough), "%s/tests/libpassthrough.so", bench->build);
    bare = per_pair(bench, "", "");
    hop = per_pair(bench, passthrough, "");
    unarmed = per_pair(bench, bench->library, "");
    bench_arm(bench, 1, "fail@write:EIO"); /* another point is armed: allocation still is idle */
    idle = per_pair(bench, bench->library, page_path(bench->page));
    print_message("instructions a malloc/free pair: bare %.2f, passed through %.2f, no page %.2f, idle %.2f\n", bare, hop, unarmed, idle);
    assert_true(hop > bare);
    assert_true(unarmed > bare);
    assert_true(unarmed <= hop + EXTRA_MAX);
    assert_true(idle <= hop + EXTRA_MAX);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = { CASE(idle_pair_costs_next_to_nothing) };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
