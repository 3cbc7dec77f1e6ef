/* Who called: by exported function, and each place once. The victim knows its places (tests/fixtures/victim_sites.c). */
#include "tests/component/shim.h"

#include "scenarios/base/rng.h"
#include "shims/judge/judge.h"

static void each_site_once(void **state)
{
    struct bench *bench = *state;
    struct page_site sites[64];
    unsigned long long places, from, to;
    struct victim victim;
    char text[256];
    size_t count;

    for (int round = 0; round < 2; round++) { /* armed anew, every site has its turn anew */
        bench_arm(bench, 1, "fail@write:EIO,path=/dev/null,each_site=true,name=x");
        victim = victim_start(bench, "victim_sites");
        assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
        assert_int_equal(sscanf(text, "places=%llu from=%llx to=%llx", &places, &from, &to), 3);
        count = page_sites(bench->page, sites, ARRAY_SIZE(sites));
        assert_int_equal(count, places);
        assert_int_equal(bench_status(bench, 0).counts.fired, places);
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(sites[i].module, "victim_sites");
            assert_int_equal(sites[i].rule, 0);
            assert_true(sites[i].offset > from && sites[i].offset < to);
            assert_true(sites[i].first_ns >= bench_status(bench, 0).counts.first_ns);
            for (size_t k = 0; k < i; k++)
                assert_true(sites[k].offset != sites[i].offset);
        }
    }
    bench_arm(bench, 1, "fail@write:EIO,name=x");
    assert_int_equal(page_sites(bench->page, sites, ARRAY_SIZE(sites)), 0);
}

static void callers_by_symbol(void **state)
{
    struct bench *bench = *state;
    struct victim victim;

    bench_arm(bench, 1, "fail@write:EIO,caller=symbol:odd_*,name=x");
    victim = victim_start(bench, "victim_sites", "named");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.fired, 20);
    /* a static function is in no symbol table: unknown, so not hit by the negation either */
    bench_arm(bench, 1, "fail@write:EIO,caller!=symbol:even_writer,name=x");
    victim = victim_start(bench, "victim_sites", "named");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.fired, 20);
    bench_arm(bench, 1, "fail@write:EIO,caller=symbol:nobody,name=x");
    victim = victim_start(bench, "victim_sites", "named");
    assert_int_equal(victim_end(&victim, NULL, 0), 1);
    assert_int_equal(bench_status(bench, 0).counts.matched, 0);
}

/* The table filled from many sites: each is taken once, what finds no room is counted, an older publication makes room. */
static void a_full_table_says_so(void **state)
{
    struct control_counters *counters = calloc(1, sizeof(*counters));
    const struct decide_event event = { .stream = 1, .position = 1 };
    struct judge_site site = { .module = "m" };
    size_t taken = 0, again = 0;

    (void)state;
    for (uint64_t epoch = 65535; epoch <= 65537; epoch++) {
        taken = again = 0;
        counters->lost = 0;
        for (site.offset = 1; site.offset <= 2 * CONTROL_SITES_MAX; site.offset++) {
            bool first = judge_site_take(counters, &site, 3, epoch, &event, 9);

            taken += first;
            again += first && judge_site_take(counters, &site, 3, epoch, &event, 9);
        }
        assert_int_equal(again, 0);
        assert_in_range(taken, CONTROL_SITES_MAX - 64, CONTROL_SITES_MAX);
        assert_int_equal(counters->lost, 2 * CONTROL_SITES_MAX - taken);
    }
    free(counters);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_site_once),
        CASE(callers_by_symbol),
        cmocka_unit_test(a_full_table_says_so),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
