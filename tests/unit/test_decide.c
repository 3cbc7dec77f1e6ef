/* decide(): ordinals, draws, predicates. The oracle counts in its own way and is not the code's formula. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/vocab/decide.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

static struct plan_rule rule_of(enum fault_id id, const char *name)
{
    struct plan_rule rule;

    plan_rule_init(&rule, &fault_descs[id], name);
    return rule;
}

static struct decide_event any_event(void)
{
    return (struct decide_event){ .points = POINT_BIT(read), .fd = -1, .stream = 7 };
}

/* The oracle: walks the matches one by one and counts down, as a person would. */
static bool oracle_acts(uint64_t ordinal, uint64_t first, uint64_t last, uint64_t nth)
{
    uint64_t counted = 0;
    bool acts = false;

    for (uint64_t match = 1; match <= ordinal; match++) {
        acts = false;
        if (match < first || (last && match > last))
            continue;
        if (++counted == nth) {
            counted = 0;
            acts = true;
        }
    }
    return acts;
}

static void ordinals_act_as_the_oracle_says(void **state)
{
    struct plan_rule rule = rule_of(FAULT_CALL_fail, NULL);
    struct decide_event event = any_event();
    enum { REACH = 12 };

    (void)state;
    for (uint64_t first = 1; first <= REACH; first++)
        for (uint64_t last = 0; last <= REACH; last++)
            for (uint64_t nth = 1; nth <= REACH; nth++)
                for (uint64_t ordinal = 1; ordinal <= REACH + 3; ordinal++) {
                    bool expected = oracle_acts(ordinal, first, last, nth);
                    enum decision decision;

                    rule.selector.first = first;
                    rule.selector.last = last;
                    rule.selector.nth = nth;
                    decision = decide_fires(&rule, 42, &event, ordinal);
                    if (decision != (expected ? DECIDE_FIRE : DECIDE_NOT_ELIGIBLE))
                        fail_msg("first %d last %d nth %d ordinal %d: decision %d", (int)first, (int)last, (int)nth, (int)ordinal,
                                 (int)decision);
                }
}

static void time_window_has_a_start_and_an_end(void **state)
{
    struct plan_rule rule = rule_of(FAULT_CALL_fail, NULL);
    struct decide_event event = any_event();

    (void)state;
    rule.selector.from_ns = 1000;
    rule.selector.until_ns = 2000;
    for (uint64_t at = 0; at < 3000; at++) {
        event.since_arm_ns = at;
        assert_int_equal(decide_fires(&rule, 1, &event, 1), at >= 1000 && at < 2000 ? DECIDE_FIRE : DECIDE_NOT_ELIGIBLE);
    }
    rule.selector.until_ns = 0;
    event.since_arm_ns = UINT64_MAX;
    assert_int_equal(decide_fires(&rule, 1, &event, 1), DECIDE_FIRE);
}

/* Half way up the ramp, half of the share fires; at its start nothing, past its end all of the share. */
static void ramp_grows_from_nothing(void **state)
{
    struct plan_rule rule = rule_of(FAULT_CALL_fail, NULL);
    struct decide_event event = any_event();
    enum { DRAWS = 20000 };

    (void)state;
    rule.selector.from_ns = 500;
    rule.selector.ramp_ns = 10000;
    for (int tenth = 0; tenth <= 12; tenth++) {
        int fired = 0, expected = tenth >= 10 ? DRAWS : DRAWS * tenth / 10;

        event.since_arm_ns = 500 + (uint64_t)tenth * 1000;
        for (event.position = 0; event.position < DRAWS; event.position++)
            fired += decide_fires(&rule, 9, &event, event.position + 1) == DECIDE_FIRE;
        if (fired < expected - 400 || fired > expected + 400 || (tenth == 0 && fired) || (tenth >= 10 && fired != DRAWS))
            fail_msg("at %d tenths of the ramp %d of %d fired", tenth, fired, DRAWS);
    }
}

static void observe_decides_alike(void **state)
{
    struct plan_rule acting = rule_of(FAULT_CALL_fail, "x"), observing;
    struct decide_event event = any_event();

    (void)state;
    acting.selector.probability_ppm = 300000;
    observing = acting;
    observing.selector.observe = 1;
    for (event.position = 0; event.position < 5000; event.position++)
        assert_int_equal(decide_fires(&acting, 3, &event, event.position + 1), decide_fires(&observing, 3, &event, event.position + 1));
}

/* What one rule draws is a function of seed, its own name, stream and position: not of its place, nor of its neighbours. */
static void adding_a_rule_changes_no_other_draw(void **state)
{
    struct cases cases = cases_begin("draws");
    struct plan_rule rules[4];
    struct decide_event event = any_event();
    uint64_t seed = cases_draw(&cases);
    enum { POSITIONS = 4000 };
    static bool before[POSITIONS];
    int agree = 0;

    (void)state;
    rules[0] = rule_of(FAULT_CALL_fail, "slow-disk");
    rules[0].selector.probability_ppm = 500000;
    for (event.position = 0; event.position < POSITIONS; event.position++)
        before[event.position] = decide_fires(&rules[0], seed, &event, event.position + 1) == DECIDE_FIRE;
    rules[2] = rules[0];
    rules[0] = rule_of(FAULT_CALL_latency, "new-first");
    rules[1] = rule_of(FAULT_CALL_fail, "new-second");
    rules[3] = rules[2];
    plan_rule_init(&rules[3], &fault_descs[FAULT_CALL_fail], "another");
    rules[3].selector.probability_ppm = 500000;
    for (event.position = 0; event.position < POSITIONS; event.position++) {
        bool fires[4];

        for (int i = 0; i < 4; i++)
            fires[i] = decide_fires(&rules[i], seed, &event, event.position + 1) == DECIDE_FIRE;
        assert_int_equal(fires[2], before[event.position]);
        agree += fires[3] == fires[2];
    }
    assert_in_range(agree, POSITIONS / 2 - 250, POSITIONS / 2 + 250); /* another name draws independently */
}

static void budget_is_spent_exactly(void **state)
{
    struct plan_rule rule = rule_of(FAULT_CALL_fail, NULL);

    (void)state;
    for (uint64_t budget = 0; budget <= 5; budget++) {
        uint64_t fired = 0, taken = 0;

        rule.selector.budget = budget;
        for (int i = 0; i < 20; i++)
            taken += decide_take(&rule, &fired);
        assert_int_equal(taken, budget ? budget : 20);
        assert_int_equal(fired, taken);
    }
}

static void globs(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {
        { "", "", true },
        { "", "a", false },
        { "a", "", false },
        { "*", "", true },
        { "*", "/any/thing", true },
        { "/var/lib/*", "/var/lib/a/b", true },
        { "/var/lib/*", "/var/lib", false },
        { "*.log", "/x/y.log", true },
        { "*.log", "/x/y.log.1", false },
        { "a?c", "abc", true },
        { "a?c", "ac", false },
        { "a*b*c", "aXXbYYbZZc", true },
        { "a*b*c", "aXXbYYbZZ", false },
        { "\\*", "*", true },
        { "\\*", "x", false },
        { "\\?", "?", true },
        { "a\\", "a\\", false },
        { "a\\", "a", false },
        { "\\\\", "\\", true },
        { "**a", "bba", true },
        { "[ab]", "a", false },
        { "[ab]", "[ab]", true },
        { "*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (glob_match(rows[i].pattern, rows[i].text) != rows[i].matches)
            fail_msg("'%s' and '%s'", rows[i].pattern, rows[i].text);
}

static bool matches_address(const char *pattern, bool negate, const char *ip, uint16_t port)
{
    struct address_match match;
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

    assert_int_equal(address_match_parse(pattern, &match), 0);
    match.negate = negate;
    if (strchr(ip, ':')) {
        assert_int_equal(inet_pton(AF_INET6, ip, &six.sin6_addr), 1);
        return address_matches(&match, (const struct sockaddr *)&six);
    }
    assert_int_equal(inet_pton(AF_INET, ip, &four.sin_addr), 1);
    return address_matches(&match, (const struct sockaddr *)&four);
}

static void addresses_inside_and_outside(void **state)
{
    static const struct {
        const char *pattern, *ip;
        uint16_t port;
        bool inside;
    } rows[] = {
        { "10.0.0.0/8", "10.255.1.2", 1, true },
        { "10.0.0.0/8", "11.0.0.0", 1, false },
        { "10.0.0.0/8", "::ffff:10.1.1.1", 1, true }, /* an IPv4 peer on a dual-stack socket */
        { "10.0.0.0/8", "::10.1.1.1", 1, false },
        { "10.0.0.0/8", "2001:db8::1", 1, false },
        { "127.0.0.1", "127.0.0.1", 9, true },
        { "127.0.0.1", "127.0.0.2", 9, false },
        { "192.168.4.0/22", "192.168.7.255", 9, true },
        { "192.168.4.0/22", "192.168.8.0", 9, false },
        { "0.0.0.0/0", "8.8.8.8", 9, true },
        { "0.0.0.0/0", "2001:db8::1", 9, false },
        { "2001:db8::/33", "2001:db8:7fff::1", 9, true },
        { "2001:db8::/33", "2001:db8:8000::1", 9, false },
        { "::1", "::1", 9, true },
        { "::1", "127.0.0.1", 9, false },
        { "[::1]:6379", "::1", 6379, true },
        { "[::1]:6379", "::1", 6380, false },
        { "[2001:db8::/32]:1-9", "2001:db8::5", 9, true },
        { ":6379", "1.2.3.4", 6379, true },
        { ":6379", "2001:db8::1", 6379, true },
        { ":6379", "1.2.3.4", 6378, false },
        { "127.0.0.1:80-90", "127.0.0.1", 90, true },
        { "127.0.0.1:80-90", "127.0.0.1", 91, false },
        { "127.0.0.1:80-90", "127.0.0.1", 79, false },
        { ":65535", "1.1.1.1", 65535, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (int negate = 0; negate <= 1; negate++)
            if (matches_address(rows[i].pattern, negate, rows[i].ip, rows[i].port) != (rows[i].inside != (bool)negate))
                fail_msg("%s%s and %s port %d", negate ? "not " : "", rows[i].pattern, rows[i].ip, rows[i].port);
}

/* What the backend does not know, or what is no IP address, is never hit: also not by a negation. */
static void unknown_is_never_hit(void **state)
{
    struct address_match match, any = { .present = 0 };
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    struct plan_rule rule = rule_of(FAULT_CALL_fail, NULL);
    struct decide_event event = any_event();

    (void)state;
    assert_int_equal(address_match_parse("10.0.0.0/8", &match), 0);
    for (match.negate = 0; match.negate <= 1; match.negate++) {
        assert_false(address_matches(&match, NULL));
        assert_false(address_matches(&match, (const struct sockaddr *)&local));
    }
    assert_true(address_matches(&any, NULL));
    assert_true(decide_matches(&rule, &event));
    snprintf(rule.selector.path, sizeof(rule.selector.path), "/tmp/*");
    for (rule.selector.path_negate = 0; rule.selector.path_negate <= 1; rule.selector.path_negate++)
        assert_false(decide_matches(&rule, &event));
    rule.selector.path[0] = '\0';
    rule.selector.fd = 3;
    assert_false(decide_matches(&rule, &event));
}

static void predicates_must_all_hold(void **state)
{
    struct plan_rule rule = rule_of(FAULT_CALL_fail, NULL), wire = rule_of(FAULT_STREAM_latency, NULL);
    struct decide_event event = any_event();

    (void)state;
    event.path = "/tmp/x";
    event.thread = "worker-1";
    event.caller = "libssl.so.3";
    event.size = 100;
    rule.selector.size_min = 100;
    rule.selector.size_max = 100;
    snprintf(rule.selector.path, sizeof(rule.selector.path), "/tmp/*");
    snprintf(rule.selector.thread, sizeof(rule.selector.thread), "worker-?");
    snprintf(rule.selector.caller, sizeof(rule.selector.caller), "libc.*");
    rule.selector.caller_negate = 1;
    assert_true(decide_matches(&rule, &event));
    event.size = 101;
    assert_false(decide_matches(&rule, &event));
    event.size = 99;
    assert_false(decide_matches(&rule, &event));
    event.size = 100;
    event.caller = "libc.so.6";
    assert_false(decide_matches(&rule, &event));
    event.caller = "libssl.so.3";
    event.thread = "main";
    assert_false(decide_matches(&rule, &event));
    snprintf(rule.selector.host, sizeof(rule.selector.host), "*.example");
    event.thread = "worker-1";
    event.host = "db.example";
    assert_true(decide_matches(&rule, &event));
    rule.selector.host_negate = 1;
    assert_false(decide_matches(&rule, &event));
    event.host = "localhost";
    assert_true(decide_matches(&rule, &event));
    event.host = NULL; /* what is not known is never hit */
    assert_false(decide_matches(&rule, &event));
    rule.selector.host[0] = '\0';
    snprintf(rule.selector.label, sizeof(rule.selector.label), "wal.*");
    assert_false(decide_matches(&rule, &event));
    event.label = "wal.fsync";
    assert_true(decide_matches(&rule, &event));
    rule.selector.label_negate = 1;
    assert_false(decide_matches(&rule, &event));
    rule.selector.label[0] = '\0';
    event.thread = "main";
    assert_false(decide_matches(&rule, &event));
    event.thread = "worker-2";
    event.points = POINT_BIT(alloc);
    assert_false(decide_matches(&rule, &event));
    event.points = POINT_BIT(alloc) | POINT_BIT(read);
    assert_true(decide_matches(&rule, &event));

    event = (struct decide_event){ .direction = DIRECTION_TO_CLIENT, .fd = -1 };
    assert_true(decide_matches(&wire, &event));
    wire.selector.direction = DIRECTION_TO_UPSTREAM;
    assert_false(decide_matches(&wire, &event));
}

static void addresses_print_as_they_are_read(void **state)
{
    static const char *const canonical[] = { "10.0.0.0/8", "127.0.0.1", "127.0.0.1:80-90", ":6379", ":1-65535", "::1", "2001:db8::/32",
                                             "[::1]:6379", "[2001:db8::/33]:1-9", "0.0.0.0/0" };
    static const char *const refused[] = { "", ":", ":0", ":65536", ":9-8", ":80-", ":-80", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8",
                                           "1.2.3.4:", "::1/129", "[::1", "[::1]x", "[::1]:", "[]:80", "host", "host:80", "1.2.3.4/8/9",
                                           "1.2.3.4:80x", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4:+80", "::g" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(canonical); i++) {
        struct address_match match;
        char text[96];

        assert_int_equal(address_match_parse(canonical[i], &match), 0);
        assert_int_equal(address_match_print(&match, text, sizeof(text)), 0);
        assert_string_equal(text, canonical[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        struct address_match match;

        if (address_match_parse(refused[i], &match) == 0)
            fail_msg("'%s' was taken for an address", refused[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinals_act_as_the_oracle_says),
        cmocka_unit_test(time_window_has_a_start_and_an_end),
        cmocka_unit_test(ramp_grows_from_nothing),
        cmocka_unit_test(observe_decides_alike),
        cmocka_unit_test(adding_a_rule_changes_no_other_draw),
        cmocka_unit_test(budget_is_spent_exactly),
        cmocka_unit_test(globs),
        cmocka_unit_test(addresses_inside_and_outside),
        cmocka_unit_test(unknown_is_never_hit),
        cmocka_unit_test(predicates_must_all_hold),
        cmocka_unit_test(addresses_print_as_they_are_read),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
