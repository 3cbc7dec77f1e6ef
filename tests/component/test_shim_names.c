/* call.dns_fail from the victim's side: what each entry point of name look-up says in its own codes, that answers are freed by the
 * C library, that addresses and other names are left alone. The names used need no network. */
#include "tests/component/shim.h"

#include "scenarios/base/cleanup.h"

enum { LOOKUPS = 8, GIVING = 6 }; /* of a line of the victim; how many of them can give an address */

/* The victim's answer to one line. */
static void ask(struct victim *victim, char text[512])
{
    assert_int_equal(write(victim->in, "\n", 1), 1);
    victim_hear(victim, "\n", text, 512);
}

static void expect(struct victim *victim, const char *wanted)
{
    char text[512];

    ask(victim, text);
    if (strcmp(text, wanted) != 0)
        fail_msg("heard %swanted %s", text, wanted);
}

static void each_failure_in_its_own_code(void **state)
{
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_names", "localhost");

    bench_arm(bench, 1, "dns_fail:nxdomain"); /* EAI_NONAME; HOST_NOT_FOUND, which gethostbyname_r(3) returns 0 for */
    expect(&victim, "list=-2 six=-2 host=1 host2=1 r=0 host_r=1 r=0 host2_r=1 named=-2 reverse=127.0.0.1/0 query=0/0\n");
    assert_int_equal(bench_status(bench, 0).counts.fired, LOOKUPS);
    bench_arm(bench, 1, "dns_fail:servfail"); /* EAI_AGAIN; TRY_AGAIN and EAGAIN */
    expect(&victim, "list=-3 six=-3 host=2 host2=2 r=11 host_r=2 r=11 host2_r=2 named=-3 reverse=/-3 query=0/0\n");
    assert_int_equal(bench_status(bench, 0).counts.fired, LOOKUPS);
    assert_int_equal(bench_status(bench, 0).counts.matched, LOOKUPS);
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    bench_arm(bench, 1, "dns_fail:servfail,host=local*");
    victim = victim_start(bench, "victim_names", "LocalHost.", "query"); /* case and the root's dot do not matter */
    expect(&victim, "list=-3 six=-3 host=2 host2=2 r=11 host_r=2 r=11 host2_r=2 named=0 reverse=localhost/0 query=-1/2\n");
    assert_int_equal(bench_status(bench, 0).counts.fired, GIVING + 1);
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

static void a_wrong_address_is_the_librarys_own(void **state)
{
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_names", "no.such.host.invalid");

    bench_arm(bench, 1, "dns_fail:wrong");
    expect(&victim, "list=127.0.0.1:80 six=::ffff:127.0.0.1:80 host=127.0.0.1 host2=127.0.0.1 r=0 host_r=127.0.0.1 r=0 host2_r=127.0.0.1 "
                    "named=0 reverse=localhost/0 query=0/0\n");
    assert_int_equal(bench_status(bench, 0).counts.fired, GIVING);
    bench_arm(bench, 1, "dns_fail:wrong,address=192.0.2.7");
    expect(&victim, "list=192.0.2.7:80 six=::ffff:192.0.2.7:80 host=192.0.2.7 host2=192.0.2.7 r=0 host_r=192.0.2.7 r=0 host2_r=192.0.2.7 "
                    "named=0 reverse=localhost/0 query=0/0\n");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

static void others_are_left_alone(void **state)
{
    static const char untouched[] = "list=127.0.0.1:80 ";
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_names", "localhost");
    char text[512];

    bench_arm(bench, 1, "dns_fail:nxdomain,host!=local*", "dns_fail:nxdomain,host=*.example,name=other");
    ask(&victim, text);
    assert_memory_equal(text, untouched, sizeof(untouched) - 1);
    assert_int_equal(bench_status(bench, 0).counts.matched, 0);
    assert_int_equal(bench_status(bench, 1).counts.matched, 0);
    bench_arm(bench, 1, "dns_fail:nxdomain,observe=true");
    ask(&victim, text);
    assert_memory_equal(text, untouched, sizeof(untouched) - 1);
    assert_int_equal(bench_status(bench, 0).counts.fired, LOOKUPS);
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    victim = victim_start(bench, "victim_names", "127.0.0.1"); /* an address is looked up nowhere */
    bench_arm(bench, 1, "dns_fail:nxdomain");
    ask(&victim, text);
    assert_memory_equal(text, untouched, sizeof(untouched) - 1);
    assert_int_equal(bench_status(bench, 0).counts.matched, LOOKUPS - GIVING); /* the reverse ones */
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

/* A name service whose every answer is another: what was answered first stays, for each family of addresses by itself. */
static void a_stale_answer_is_the_first(void **state)
{
    struct bench *bench = *state;
    char library[3 * PATH_MAX], variable[384], text[512], *place;
    char *environment[] = { library, variable, NULL };
    struct victim victim;

    snprintf(library, sizeof(library), "LD_PRELOAD=%s:%s/tests/libnames.so", bench->library, bench->build);
    snprintf(variable, sizeof(variable), CONTROL_ENV "=%s", page_path(bench->page));
    victim = victim_start_with(bench, (char *[]){ (char *)(uintptr_t)"victim_names", (char *)(uintptr_t)"moving.test", NULL }, environment);
    ask(&victim, text);
    assert_non_null(strstr(text, "list=127.0.1.1:80 "));
    ask(&victim, text);
    place = strstr(text, "list=127.0.1.");
    assert_non_null(place);
    assert_int_not_equal(place[strlen("list=127.0.1.")], '1'); /* it moves */
    bench_arm(bench, 1, "dns_fail:stale");
    ask(&victim, text);
    *strchr(text, ' ') = '\0';
    for (int i = 0; i < 3; i++) {
        char again[512];

        ask(&victim, again);
        assert_memory_equal(again, text, strlen(text));
        assert_non_null(strstr(again, "host=")); /* by any entry point */
        assert_int_equal(strncmp(strstr(again, "host=") + strlen("host="), text + strlen("list="), strcspn(text, ":") - strlen("list=")), 0);
    }
    assert_int_equal(page_release(bench->page), 0);
    {
        char after[512];

        ask(&victim, after);
        assert_int_not_equal(strncmp(after, text, strlen(text)), 0);
    }
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

/* Held up for an hour, and let go at once when the fault is. */
static void a_timeout_ends_with_the_fault(void **state)
{
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_names", "localhost");
    char text[512];

    bench_arm(bench, 1, "dns_fail:timeout,delay=10m");
    assert_int_equal(write(victim.in, "\n", 1), 1);
    bench_await_in_flight(bench, 1);
    assert_int_equal(page_release(bench->page), 0);
    victim_hear(&victim, "\n", text, sizeof(text));
    assert_memory_equal(text, "list=-3 ", strlen("list=-3 "));
    assert_non_null(strstr(text, "host=127.0.0.1 "));
    bench_arm(bench, 1, "dns_fail:real,delay=30ms");
    ask(&victim, text);
    assert_memory_equal(text, "list=127.0.0.1:80 ", strlen("list=127.0.0.1:80 "));
    assert_int_equal(bench_status(bench, 0).counts.fired, LOOKUPS);
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_failure_in_its_own_code), CASE(a_wrong_address_is_the_librarys_own), CASE(others_are_left_alone),
        CASE(a_stale_answer_is_the_first),  CASE(a_timeout_ends_with_the_fault),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
