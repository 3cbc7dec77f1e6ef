/* The writer's side of control pages and the registry, without any target. */
#include "tests/component/shim.h"


#include <sys/file.h>
#include <sys/stat.h>

static struct plan *plan_of(uint64_t epoch, uint32_t count)
{
    struct plan *plan = calloc(1, PLAN_SIZE(count));

    assert_non_null(plan);
    *plan = (struct plan){ PLAN_MAGIC, PLAN_VERSION, sizeof(struct plan_rule), count, epoch, 1 };
    for (uint32_t i = 0; i < count; i++) {
        char name[16];

        snprintf(name, sizeof(name), "r%u", i);
        plan_rule_init(&plan->rules[i], &fault_descs[FAULT_CALL_fail], name);
    }
    return plan;
}

static int publish(struct bench *bench, uint64_t epoch, uint32_t count, uint64_t ttl_ns)
{
    AUTO_FREE struct plan *plan = plan_of(epoch, count);

    return page_publish(bench->page, plan, NULL, 0, ttl_ns);
}

static void names_are_checked(void **state)
{
    static const char *const bad[] = { "", ".", "..", ".hidden", "a/b", "a b", "\xc3\xa9",
                                       "0123456789012345678901234567890123456789012345678901234567890123" };
    struct bench *bench = *state;
    struct page *page;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(page_create(&bench->registry, bad[i], &page), -EINVAL);
        assert_int_equal(page_open(&bench->registry, bad[i], &page), -EINVAL);
    }
    assert_int_equal(page_create(&bench->registry, "test", &page), -EEXIST);
    assert_int_equal(page_open(&bench->registry, "other", &page), -ENOENT);
}

static void epochs_only_rise(void **state)
{
    struct bench *bench = *state;
    struct page *second;

    assert_int_equal(publish(bench, 5, 1, NS_PER_S), 0);
    assert_int_equal(publish(bench, 5, 1, NS_PER_S), -ESTALE);
    assert_int_equal(publish(bench, 4, 1, NS_PER_S), -ESTALE);
    assert_int_equal(page_open(&bench->registry, "test", &second), 0); /* another process, say */
    {
        AUTO_FREE struct plan *plan = plan_of(6, 1);

        assert_int_equal(page_publish(second, plan, NULL, 0, NS_PER_S), 0);
    }
    assert_int_equal(page_renew(bench->page, 5, NS_PER_S), -ESTALE);
    assert_int_equal(page_renew(second, 6, NS_PER_S), 0);
    assert_int_equal(page_release(second), 0);
    assert_int_equal(page_renew(second, 6, NS_PER_S), -ESTALE);
    assert_int_equal(publish(bench, 6, 1, NS_PER_S), -ESTALE); /* a release keeps the epoch */
    page_close(second);
}

static void foreign_plans_are_refused(void **state)
{
    struct bench *bench = *state;
    AUTO_FREE struct plan *plan = plan_of(1, 2);
    static struct control_redirect redirects[CONTROL_REDIRECTS_MAX + 1];

    plan->version++;
    assert_int_equal(page_publish(bench->page, plan, NULL, 0, NS_PER_S), -EPROTO);
    plan->version--;
    plan->rules[1].selector.nth = 0;
    assert_int_equal(page_publish(bench->page, plan, NULL, 0, NS_PER_S), -EINVAL);
    plan->rules[1].selector.nth = 1;
    assert_int_equal(page_publish(bench->page, plan, redirects, ARRAY_SIZE(redirects), NS_PER_S), -E2BIG);
    assert_int_equal(page_verify(bench->page), 0); /* nothing of that armed anything */
    assert_int_equal(page_publish(bench->page, plan, redirects, CONTROL_REDIRECTS_MAX, NS_PER_S), 0);
    assert_int_equal(page_verify(bench->page), -EBUSY);
}

static void other_layers_are_left_out(void **state)
{
    struct bench *bench = *state;
    AUTO_FREE struct plan *plan = plan_of(1, 3);
    struct rule_status list[4];
    struct plan_rule rule;

    plan_rule_init(&plan->rules[1], &fault_descs[FAULT_STREAM_blackhole], "wire");
    assert_int_equal(page_publish(bench->page, plan, NULL, 0, NS_PER_S), 0);
    assert_int_equal(page_status(bench->page, list, 4), 2);
    assert_string_equal(list[0].name, "r0");
    assert_string_equal(list[1].name, "r2");
    assert_int_equal(page_status(bench->page, list, 1), 1);
    assert_int_equal(page_rule(bench->page, 1, &rule), 0);
    assert_string_equal(rule.name, "r2");
    assert_int_equal(page_rule(bench->page, 2, &rule), -ENOENT);
}

static void state_is_told(void **state)
{
    struct bench *bench = *state;
    struct page_state page;

    page_state(bench->page, &page);
    assert_false(page.armed);
    assert_int_equal(page.epoch, 0);
    assert_true(page.owner_alive);
    assert_int_equal(page.owner_pid, getpid());
    assert_int_equal(publish(bench, 3, PLAN_RULES_MAX, 60 * NS_PER_S), 0);
    page_state(bench->page, &page);
    assert_true(page.armed);
    assert_int_equal(page.epoch, 3);
    assert_int_equal(page.rule_count, PLAN_RULES_MAX);
    assert_in_range(page.lease_ns, clock_now_ns(), clock_now_ns() + 60 * NS_PER_S);
    assert_int_equal(publish(bench, 4, 1, 1), 0); /* over as soon as begun */
    while (page_verify(bench->page))
        sched_yield();
    assert_int_equal(page_renew(bench->page, 4, NS_PER_S), -ESTALE);
}

static void unsafe_files_are_refused(void **state)
{
    struct bench *bench = *state;
    char path[REGISTRY_FILE_MAX];
    struct page *page;

    assert_int_equal(chmod(page_path(bench->page), 0640), 0);
    assert_int_equal(page_open(&bench->registry, "test", &page), -EPERM);
    assert_int_equal(chmod(page_path(bench->page), 0600), 0);
    assert_int_equal(registry_path(&bench->registry, "pages/link", path, sizeof(path)), 0);
    assert_int_equal(symlink("test", path), 0);
    assert_int_equal(page_open(&bench->registry, "link", &page), -ELOOP);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(truncate(page_path(bench->page), (off_t)CONTROL_SIZE - 1), 0);
    assert_int_equal(page_open(&bench->registry, "test", &page), -EPROTO);
    assert_int_equal(truncate(page_path(bench->page), (off_t)CONTROL_SIZE), 0);
}

static void unsafe_registries_are_refused(void **state)
{
    struct bench *bench = *state;
    struct registry registry;
    char path[256], long_path[400];

    snprintf(path, sizeof(path), "%s/wide", bench->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0755), 0);
    setenv("PERTURB_REGISTRY", path, 1);
    assert_int_equal(registry_open(&registry), -EPERM);
    snprintf(path, sizeof(path), "%s/link", bench->folder);
    assert_int_equal(symlink("pages", path), 0);
    setenv("PERTURB_REGISTRY", path, 1);
    assert_int_equal(registry_open(&registry), -ELOOP);
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    setenv("PERTURB_REGISTRY", long_path, 1);
    assert_int_equal(registry_open(&registry), -ENAMETOOLONG);
    setenv("PERTURB_REGISTRY", bench->folder, 1);
}

/* Pages of owners that are gone are swept; those of the living and the armed are not. */
static void sweeping(void **state)
{
    struct bench *bench = *state;
    struct page *page;
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct page *orphan, *armed;
        AUTO_FREE struct plan *plan = plan_of(1, 1);

        _exit(page_create(&bench->registry, "orphan", &orphan) || page_create(&bench->registry, "armed", &armed) ||
              page_publish(armed, plan, NULL, 0, 60 * NS_PER_S));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(page_sweep(&bench->registry), 1);
    assert_int_equal(page_open(&bench->registry, "orphan", &page), -ENOENT);
    assert_int_equal(page_open(&bench->registry, "armed", &page), 0);
    page_neutralise(page);
    page_close(page);
    assert_int_equal(page_sweep(&bench->registry), 1);
}

static void panic_needs_no_lock(void **state)
{
    struct bench *bench = *state;
    struct page *stuck;
    size_t pages;
    int fd, result;

    assert_int_equal(page_create(&bench->registry, "second", &stuck), 0);
    assert_int_equal(publish(bench, 1, 1, 60 * NS_PER_S), 0);
    fd = open(page_path(bench->page), O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0); /* a writer that hangs */
    result = registry_panic(&bench->registry, &pages);
    close(fd); /* before anything may fail: the teardown takes the lock */
    assert_int_equal(result, 0);
    assert_int_equal(pages, 2);
    assert_int_equal(page_verify(bench->page), 0);
    assert_int_equal(page_remove(stuck), 0);
    page_close(stuck);
}

static void environment_is_extended(void **state)
{
    char *const before[] = { "A=1", "LD_PRELOAD=/old.so", "PERTURB_PAGE=/old", "LD_PRELOADER=2", NULL };
    AUTO_FREE char **after = preload_environment(before, "/new.so", "/page");

    (void)state;
    assert_string_equal(after[0], "A=1");
    assert_string_equal(after[1], "LD_PRELOADER=2");
    assert_string_equal(after[2], "LD_PRELOAD=/new.so:/old.so");
    assert_string_equal(after[3], "PERTURB_PAGE=/page");
    assert_null(after[4]);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(names_are_checked),        CASE(epochs_only_rise),
        CASE(foreign_plans_are_refused), CASE(other_layers_are_left_out),
        CASE(state_is_told),            CASE(unsafe_files_are_refused),
        CASE(unsafe_registries_are_refused), CASE(sweeping),
        CASE(panic_needs_no_lock),      cmocka_unit_test(environment_is_extended),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
