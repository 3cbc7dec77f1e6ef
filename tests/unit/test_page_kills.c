/* A writer of a control page that is killed in the middle: what a reader finds is the old image or the new one, whole, and the next
 * writer is not kept waiting. The instants are random; the seed is printed and PERTURB_TEST_SEED repeats it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"
#include "scenarios/playbook/spec.h"
#include "shims/host/page.h"

#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILLS = 200, RULES_MIN = 8, RULES_SPREAD = 120, DELAY_MAX_US = 3000 };

static char folder[128];
static struct registry registry;
static struct plan_rule model;

static uint32_t count_of(uint64_t epoch)
{
    return RULES_MIN + (uint32_t)(epoch % RULES_SPREAD);
}

static void name_of(uint64_t epoch, uint32_t index, char name[RULE_NAME_MAX])
{
    memset(name, 0, RULE_NAME_MAX);
    snprintf(name, RULE_NAME_MAX, "e%" PRIu64 "-%" PRIu32, epoch, index);
}

/* Everything in an image tells its epoch: how many rules, their names, the seed. */
static int publish_next(struct page *page)
{
    static _Alignas(struct plan) unsigned char room[PLAN_SIZE(RULES_MIN + RULES_SPREAD)];
    struct plan *plan = (void *)room;
    struct page_state state;

    page_state(page, &state);
    *plan = (struct plan){ PLAN_MAGIC, PLAN_VERSION, sizeof(struct plan_rule), count_of(state.epoch + 1), state.epoch + 1, (state.epoch + 1) * 7 };
    for (uint32_t i = 0; i < plan->rule_count; i++) {
        plan->rules[i] = model;
        name_of(plan->epoch, i, plan->rules[i].name);
        plan->rules[i].name_hash = rng_hash(plan->rules[i].name);
    }
    return page_publish(page, plan, NULL, 0, NS_PER_S);
}

static _Noreturn void write_on(void)
{
    struct page *page;

    if (page_open(&registry, "torn", &page) < 0)
        _exit(1);
    for (;;)
        if (publish_next(page) < 0 || page_release(page) < 0)
            _exit(1);
}

static void expect_whole(struct page *page)
{
    struct page_state state;
    struct plan_rule rule;
    char name[RULE_NAME_MAX];

    page_state(page, &state);
    if (!state.epoch)
        return;
    assert_int_equal(state.rule_count, count_of(state.epoch));
    assert_true(state.seed == state.epoch * 7);
    for (uint32_t i = 0; i < state.rule_count; i++) {
        assert_int_equal(page_rule(page, i, &rule), 0);
        name_of(state.epoch, i, name);
        assert_string_equal(rule.name, name);
    }
}

static void old_or_new_never_torn(void **state)
{
    const char *given = getenv("PERTURB_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : clock_now_ns();
    struct page *page;

    (void)state;
    print_message("# PERTURB_TEST_SEED=%" PRIu64 "\n", seed);
    assert_int_equal(page_create(&registry, "torn", &page), 0);
    for (uint64_t kill_number = 0; kill_number < KILLS; kill_number++) {
        const struct timespec delay = ns_timespec(rng_below(rng_draw(seed, rng_hash("kill"), 1, kill_number + 1), DELAY_MAX_US * 1000));
        pid_t pid = fork();
        int status;

        if (pid == 0)
            write_on();
        (void)ppoll(NULL, 0, &delay, NULL); /* the instant is the test's subject: nothing is waited for */
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        expect_whole(page);
        assert_int_equal(publish_next(page), 0);
        expect_whole(page);
        assert_int_equal(page_release(page), 0);
        assert_int_equal(page_verify(page), 0);
    }
    assert_int_equal(page_remove(page), 0);
    page_close(page);
}

static int begin(void **state)
{
    static struct fault_spec spec;
    static struct errs errs;

    (void)state;
    snprintf(folder, sizeof(folder), "%s/kills-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(folder) || setenv("PERTURB_REGISTRY", folder, 1) < 0 || registry_open(&registry) < 0 ||
        fault_spec_parse("latency@read:1ms", BIT(LAYER_CALL), "test", &spec, &errs) < 0)
        return -1;
    model = spec.rule;
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status, (void)type, (void)ftw;
    return remove(path);
}

static int end(void **state)
{
    (void)state;
    registry_close(&registry);
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(old_or_new_never_torn) };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
