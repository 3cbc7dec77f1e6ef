/* The judge: which rules match a call is what decide_matches says of the whole rule, whatever is looked at first and left out;
 * nothing is asked twice, and nothing at all about a call that no rule is about. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/base/rng.h"
#include "scenarios/vocab/decide.h"
#include "shims/judge/judge.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { ROUNDS = 4000, RULES = 8 };

/* What the facts answer, and how often they were asked. */
static struct {
    const char *path, *caller, *thread;
    const struct sockaddr *peer;
    uint64_t now_ns;
    unsigned paths, callers, threads, peers, clocks;
} told;

static enum fd_kind kind_of(struct occasion *occasion)
{
    (void)occasion;
    return KIND_BYTES;
}

static const char *path_of(const struct occasion *occasion, char *room, size_t size)
{
    (void)room, (void)size;
    told.paths++;
    return occasion->path ? occasion->path : told.path;
}

static const char *caller_of(const void *address, char *room, size_t size)
{
    (void)address, (void)room, (void)size;
    told.callers++;
    return told.caller;
}

static const char *thread_of(const struct occasion *occasion, char room[RULE_THREAD_MAX])
{
    (void)occasion, (void)room;
    told.threads++;
    return told.thread;
}

static const struct sockaddr *peer_of(const struct occasion *occasion, struct sockaddr_storage *room)
{
    (void)room;
    told.peers++;
    return occasion->address ? occasion->address : told.peer;
}

static uint64_t stream_of(const struct occasion *occasion)
{
    (void)occasion;
    return 1;
}

static uint64_t ordinal_of(uint64_t stream, uint32_t rule, uint64_t epoch)
{
    (void)stream, (void)rule, (void)epoch;
    return 1;
}

static bool turn_of(uint64_t stream, uint32_t rule, uint64_t epoch, uint64_t turn)
{
    (void)stream, (void)rule, (void)epoch;
    return turn != 0;
}

static const char *symbol_of(const void *address, char *room, size_t size)
{
    (void)address, (void)room, (void)size;
    return NULL;
}

static bool site_of(const struct occasion *occasion, struct judge_site *ret_site)
{
    (void)occasion;
    *ret_site = (struct judge_site){ .offset = 1, .module = "m" };
    return true;
}

static uint64_t now(void)
{
    told.clocks++;
    return told.now_ns;
}

static int own_fd(struct occasion *occasion)
{
    return occasion->fd;
}

static const struct judge_facts facts = {
    .kind = kind_of, .path = path_of, .caller = caller_of, .thread = thread_of, .peer = peer_of, .stream = stream_of, .ordinal = ordinal_of, .turn = turn_of, .symbol = symbol_of, .site = site_of, .own_fd = own_fd, .now_ns = now,
};

static struct control_rules rules;
static struct control_counters counters;
static const struct judge judge = { &rules, &counters, &facts, &counters.processes[0] };
static uint64_t draws;

static uint64_t draw(uint64_t below)
{
    return rng_draw(7, 7, 7, ++draws) % below;
}

static const char *const paths[] = { "/data/one", "/data/two", "relative", "/etc/x" };
static const char *const path_patterns[] = { "", "/data/*", "*two", "/nowhere/*" };
static const char *const names[] = { "one", "two" };

static void address_make(struct sockaddr_in *address)
{
    *address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)(80 + draw(2))),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)draw(2)) };
}

/* A plan of rules with random selectors. */
static void plan_make(void)
{
    struct control_image *image = &rules.image[rules.generation & 1];

    memset(&counters, 0, sizeof(counters));
    image->rule_count = RULES;
    for (size_t i = 0; i < RULES; i++) {
        struct plan_rule *rule = &image->rules[i];
        struct selector *selector = &rule->selector;

        plan_rule_init(rule, &fault_descs[FAULT_CALL_fail], NULL);
        rule->points = draw(4) ? POINT_BIT(open) : POINT_BIT(write);
        selector->observe = 1;
        selector->fd = (int32_t)draw(4) - 1;
        selector->size_min = draw(2) ? 0 : draw(100);
        selector->size_max = draw(2) ? UINT64_MAX : draw(100);
        snprintf(selector->path, sizeof(selector->path), "%s", draw(2) ? path_patterns[draw(4)] : "");
        selector->path_negate = (uint32_t)draw(2);
        snprintf(selector->caller, sizeof(selector->caller), "%s", draw(3) ? "" : names[draw(2)]);
        selector->caller_negate = (uint32_t)draw(2);
        snprintf(selector->thread, sizeof(selector->thread), "%s", draw(3) ? "" : names[draw(2)]);
        if (!draw(3))
            assert_int_equal(address_match_parse(draw(2) ? "127.0.0.1" : ":80", &selector->peer), 0);
        image->points[i] = (uint32_t)rule->points;
    }
}

static bool oracle_matches(const struct plan_rule *rule, const struct occasion *occasion)
{
    const struct decide_event event = {
        .points = occasion->points,
        .fd = occasion->fd,
        .size = occasion->size,
        .path = occasion->path ? occasion->path : told.path,
        .caller = told.caller,
        .thread = told.thread,
        .peer = occasion->address ? occasion->address : told.peer,
    };

    return decide_matches(rule, &event);
}

static bool concerns(const struct judge *by, const struct occasion *occasion)
{
    const struct glance glance = glance_of(occasion);

    return judge_concerns(by, &glance);
}

static void lease(bool runs)
{
    told.now_ns = 1000;
    rules.lease_ns = runs ? 2000 : 1000;
}

static void matches_what_the_whole_rule_matches(void **state)
{
    unsigned matched = 0, unconcerned = 0;

    (void)state;
    lease(true);
    for (int round = 0; round < ROUNDS; round++) {
        struct sockaddr_in address, peer;
        struct occasion occasion = { .points = (uint32_t)POINT_BIT(open), .fd = (int)draw(3), .size = draw(100) };
        struct ruling ruling;
        bool any = false, is_concerned;

        plan_make();
        address_make(&address);
        address_make(&peer);
        told.path = draw(3) ? paths[draw(4)] : NULL;
        told.caller = draw(3) ? names[draw(2)] : NULL;
        told.thread = draw(3) ? names[draw(2)] : NULL;
        told.peer = draw(2) ? (struct sockaddr *)&peer : NULL;
        occasion.path = draw(2) ? paths[draw(4)] : NULL;
        occasion.address = draw(2) ? (struct sockaddr *)&address : NULL;
        occasion.length = occasion.address ? sizeof(address) : 0;
        told.paths = told.callers = told.threads = told.peers = told.clocks = 0;
        is_concerned = concerns(&judge, &occasion);
        assert_int_equal(told.paths + told.threads + told.peers + told.clocks, 0); /* they take system calls */
        told.callers = 0;
        judge_call(&judge, &occasion, &ruling);
        assert_true(told.paths <= 1 && told.callers <= 1 && told.threads <= 1 && told.peers <= 1 && told.clocks <= 1);
        for (size_t i = 0; i < RULES; i++) {
            bool expected = oracle_matches(&rules.image[0].rules[i], &occasion);

            assert_int_equal(counters.counts[0][i].matched, expected);
            assert_int_equal(counters.processes[0].shares[0][i].matched, expected);
            any |= expected;
        }
        assert_true(is_concerned || !any);
        matched += any;
        unconcerned += !is_concerned;
    }
    assert_true(matched > ROUNDS / 10 && unconcerned > ROUNDS / 10); /* else nothing was tested */
}

static void asks_nothing_about_a_call_that_no_rule_is_about(void **state)
{
    struct occasion occasion = { .points = (uint32_t)POINT_BIT(open), .fd = 7, .size = 50, .path = "/data/one" };
    struct selector *selector = &rules.image[0].rules[0].selector;
    struct ruling ruling;

    (void)state;
    lease(true);
    plan_make();
    rules.image[0].rule_count = 1;
    rules.image[0].points[0] = (uint32_t)POINT_BIT(open);
    plan_rule_init(&rules.image[0].rules[0], &fault_descs[FAULT_CALL_fail], NULL);
    snprintf(selector->thread, sizeof(selector->thread), "one");
    snprintf(selector->path, sizeof(selector->path), "/data/*");
    selector->peer.present = 1;
    selector->fd = 8;
    memset(&told, 0, sizeof(told));
    told.now_ns = 1000;
    judge_call(&judge, &occasion, &ruling);
    assert_int_equal(told.paths + told.callers + told.threads + told.peers + told.clocks, 0);
    assert_false(concerns(&judge, &occasion));
    selector->fd = 7;
    assert_true(concerns(&judge, &occasion));
}

static void does_nothing_past_the_lease(void **state)
{
    struct occasion occasion = { .points = (uint32_t)POINT_BIT(open), .fd = 7 };
    struct ruling ruling;

    (void)state;
    plan_make();
    rules.image[0].rule_count = 1;
    rules.image[0].points[0] = (uint32_t)POINT_BIT(open);
    plan_rule_init(&rules.image[0].rules[0], &fault_descs[FAULT_CALL_fail], NULL);
    rules.image[0].rules[0].points = POINT_BIT(open);
    lease(false);
    judge_call(&judge, &occasion, &ruling);
    assert_int_equal(ruling.error, 0);
    assert_int_equal(counters.counts[0][0].matched, 0);
    lease(true);
    judge_call(&judge, &occasion, &ruling);
    assert_int_not_equal(ruling.error, 0);
    assert_int_equal(counters.counts[0][0].matched, 1);
}

/* Texts without an end, counts beyond the table, prefixes beyond the address: what a page may hold that somebody else wrote. */
static void bears_a_page_of_rubbish(void **state)
{
    static struct control_rules rubbish;
    const struct judge judge_of_rubbish = { &rubbish, &counters, &facts, NULL };
    static char long_path[4096];
    struct occasion occasion = { .points = UINT32_MAX, .fd = -1, .size = 1, .path = long_path, .length = 4 };
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct ruling ruling;

    (void)state;
    memset(long_path, 0xff, sizeof(long_path) - 1);
    occasion.address = (struct sockaddr *)&address;
    memset(&rubbish, 0xff, sizeof(rubbish));
    rubbish.generation = 0;
    for (size_t i = 0; i < PLAN_RULES_MAX; i++) {
        rubbish.image[0].rules[i].selector.size_min = 0;
        rubbish.image[0].rules[i].selector.fd = -1;
    }
    for (int round = 0; round < 2; round++) {
        occasion.length = round ? sizeof(address) : 4;
        (void)concerns(&judge_of_rubbish, &occasion);
        judge_call(&judge_of_rubbish, &occasion, &ruling);
        assert_int_equal(ruling.error, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_what_the_whole_rule_matches),
        cmocka_unit_test(asks_nothing_about_a_call_that_no_rule_is_about),
        cmocka_unit_test(does_nothing_past_the_lease),
        cmocka_unit_test(bears_a_page_of_rubbish),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
