/* How faults begin and end, and what the shim leaves alone. Victim: tests/fixtures/victim_life.c. */
#include "tests/component/shim.h"

#include "scenarios/base/rng.h"

#include <sys/mman.h>

#define HELD "latency@write:60s,path=/dev/null,name=x"

static void write_text(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void program_state_is_untouched(void **state)
{
    struct bench *bench = *state;
    struct victim victim;

    bench_arm(bench, 1, "latency@write:100us,jitter=50us,path=/dev/null,name=x", "fail@write:EIO,observe=true,name=y", "alloc_fail:observe=true,name=z",
              "lock_stall:1us,name=l");
    victim = victim_start(bench, "victim_life", "state");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    assert_true(bench_status(bench, 0).counts.fired >= 8);
    assert_true(bench_status(bench, 2).counts.fired >= 1);
}

/* ---- sleepers --------------------------------------------------------------------------------------------------------- */

static struct victim start_sleeper(struct bench *bench)
{
    struct victim victim = victim_start(bench, "victim_life", "sleeper");

    bench_await_in_flight(bench, 1);
    return victim;
}

static void expect_woken(struct bench *bench, struct victim *victim)
{
    char text[64];

    assert_int_equal(victim_end(victim, text, sizeof(text)), 0);
    assert_string_equal(text, "going\nwoke\n");
    assert_int_equal(bench_status(bench, 0).counts.fired, 1);
    assert_int_equal(bench_status(bench, 0).in_flight, 0);
}

/* With the faked clock every lease would long be over, and nothing would be held. */
static void no_other_library_fakes_its_clock(void **state)
{
    struct bench *bench = *state;
    char preload[2 * PATH_MAX + 128], page[384];
    char *environment[] = { preload, page, NULL };
    struct victim victim;

    snprintf(preload, sizeof(preload), "LD_PRELOAD=%s/tests/libclock_ahead.so %s", bench->build, bench->library);
    snprintf(page, sizeof(page), CONTROL_ENV "=%s", page_path(bench->page));
    bench_arm(bench, 1, HELD);
    victim = victim_start_with(bench, (char *[]){ (char *)(uintptr_t)"victim_life", (char *)(uintptr_t)"sleeper", NULL }, environment);
    bench_await_in_flight(bench, 1);
    assert_int_equal(page_release(bench->page), 0);
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

static void release_wakes(void **state)
{
    struct bench *bench = *state;
    struct victim victim;

    bench_arm(bench, 1, HELD);
    victim = start_sleeper(bench);
    assert_int_equal(page_verify(bench->page), -EBUSY);
    assert_int_equal(page_release(bench->page), 0);
    assert_int_equal(page_verify(bench->page), 0);
    expect_woken(bench, &victim);
}

static void panic_wakes(void **state)
{
    struct bench *bench = *state;
    struct victim victim;
    bool halted;
    size_t pages;

    bench_arm(bench, 1, HELD);
    victim = start_sleeper(bench);
    assert_int_equal(registry_panic(&bench->registry, &pages), 0);
    assert_int_equal(pages, 1);
    expect_woken(bench, &victim);
    assert_int_equal(lever_read(&bench->registry, &halted), 0);
    assert_true(halted);
    assert_int_equal(lever_set(&bench->registry, false), 0);
    assert_int_equal(lever_read(&bench->registry, &halted), 0);
    assert_false(halted);
}

static void lease_end_wakes(void **state)
{
    struct bench *bench = *state;
    struct victim victim;

    bench_arm_for(bench, 1, NS_PER_S, (const char *const[]){ HELD, NULL });
    victim = start_sleeper(bench);
    expect_woken(bench, &victim);
    assert_int_equal(page_renew(bench->page, bench->epoch, NS_PER_S), -ESTALE); /* what has ended is not prolonged */
}

static void renewed_sleeper_sleeps_on(void **state)
{
    struct bench *bench = *state;
    struct page_state page;
    struct victim victim;
    uint64_t first_end_ns;

    bench_arm_for(bench, 1, NS_PER_S, (const char *const[]){ HELD, NULL });
    page_state(bench->page, &page);
    first_end_ns = page.lease_ns;
    victim = start_sleeper(bench);
    while (clock_now_ns() < first_end_ns + NS_PER_S / 4) {
        assert_int_equal(page_renew(bench->page, bench->epoch, 3 * NS_PER_S), 0);
        poll(NULL, 0, 50);
    }
    assert_int_equal(bench_status(bench, 0).in_flight, 1);
    assert_int_equal(page_renew(bench->page, bench->epoch + 1, NS_PER_S), -ESTALE);
    assert_int_equal(page_release(bench->page), 0);
    expect_woken(bench, &victim);
}

/* What was asleep under the old plan wakes; the counts that one reads now are the new plan's. */
static void next_plan_wakes(void **state)
{
    struct bench *bench = *state;
    struct victim victim;
    char text[64];

    bench_arm(bench, 1, HELD);
    victim = start_sleeper(bench);
    bench_arm(bench, 1, "fail@fsync:EIO,name=y");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_string_equal(text, "going\nwoke\n");
    assert_int_equal(bench_status(bench, 0).counts.matched, 0);
    bench->plan->epoch = 1;
    assert_int_equal(page_publish(bench->page, bench->plan, NULL, 0, NS_PER_S), -ESTALE);
}

static void cancellation_point_is_kept(void **state)
{
    struct bench *bench = *state;
    struct victim victim;

    bench_arm(bench, 1, HELD);
    victim = victim_start(bench, "victim_life", "cancel");
    bench_await_in_flight(bench, 1);
    write_text(victim.in, "\n");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

static void eintr_as_the_handler_says(void **state)
{
    struct bench *bench = *state;
    struct victim victim;

    bench_arm(bench, 1, HELD);
    victim = victim_start(bench, "victim_life", "eintr");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    bench_arm(bench, 1, "latency@write:100ms,path=/dev/null,name=x");
    victim = victim_start(bench, "victim_life", "restart");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.fired, 1);
}

/* ---- the controller's end --------------------------------------------------------------------------------------------- */

static pid_t start_controller(struct bench *bench)
{
    pid_t pid = fork();

    if (pid == 0) {
        for (;;) {
            (void)page_renew(bench->page, bench->epoch, NS_PER_S);
            poll(NULL, 0, 50);
        }
    }
    return pid;
}

static void controller_killed_means_inert(void **state)
{
    struct bench *bench = *state;
    struct victim victim;
    pid_t controller;
    char text[64];

    bench_arm_for(bench, 1, NS_PER_S, (const char *const[]){ "fail@write:EIO,path=/dev/null,name=x", NULL });
    controller = start_controller(bench);
    victim = victim_start(bench, "victim_life", "outlast");
    victim_hear(&victim, "hit", text, sizeof(text));
    kill(controller, SIGKILL);
    waitpid(controller, NULL, 0);
    victim_hear(&victim, "free", text, sizeof(text));
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    assert_int_equal(page_verify(bench->page), 0);
}

/* Somebody scribbles over the image that is not armed and dies before he can raise the generation. */
static void half_written_update_is_never_read(void **state)
{
    struct bench *bench = *state;
    struct control_rules *rules;
    struct victim victim;
    int fd;

    bench_arm(bench, 1, "fail@write:EIO,path=/dev/null,nth=2,name=x");
    fd = open(page_path(bench->page), O_RDWR | O_CLOEXEC);
    rules = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memset(&rules->image[(rules->generation + 1) & 1], 0xff, sizeof(rules->image[0]));
    munmap(rules, CONTROL_SIZE);
    close(fd);
    victim = victim_start(bench, "victim_calls", "fail", "nth=2", "value=5");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    bench_arm(bench, 1, "fail@write:EIO,path=/dev/null,nth=5,name=x"); /* over the debris */
    victim = victim_start(bench, "victim_calls", "fail", "nth=5", "value=5");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

/* The armed image itself is garbage: nothing happens that no rule could say, nobody crashes. */
static void garbage_is_survived(void **state)
{
    struct bench *bench = *state;
    struct control_rules *rules;
    struct victim victim;
    int fd;

    bench_arm(bench, 1, "fail@write:EIO,path=/dev/null,name=x");
    fd = open(page_path(bench->page), O_RDWR | O_CLOEXEC);
    rules = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    for (uint64_t seed = 1; seed <= 8; seed++) {
        uint64_t *words = (uint64_t *)&rules->image[rules->generation & 1];

        for (size_t i = 0; i < sizeof(rules->image[0]) / sizeof(*words); i++)
            words[i] = seed == 1 ? UINT64_MAX : rng_draw(seed, 0, 0, i);
        rules->image[rules->generation & 1].armed_ns = 1;
        rules->armed = UINT32_MAX;
        rules->lease_ns = clock_now_ns() + NS_PER_S;
        victim = victim_start(bench, "victim_life", "idle");
        assert_true(victim_end(&victim, NULL, 0) < 128);
    }
    munmap(rules, CONTROL_SIZE);
}

/* One process arms plan after plan and is killed at any instant, while another makes calls as fast as it can. */
static void writer_killed_at_random(void **state)
{
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_life", "busy");
    char text[128];

    victim_hear(&victim, "going", text, sizeof(text));
    for (unsigned round = 1; round <= 20; round++) {
        pid_t writer = fork();

        if (writer == 0)
            for (;;)
                bench_arm(bench, round, bench->epoch % 2 ? "fail@write:EIO,path=/dev/null" : "fail@write:ENOSPC,path=/dev/null,nth=3");
        poll(NULL, 0, (int)(rng_draw(1, 2, 3, round) % 40));
        kill(writer, SIGKILL);
        waitpid(writer, NULL, 0);
        bench->epoch += 1000000; /* above whatever it came to */
        bench_arm(bench, round, "fail@write:EIO,path=/dev/null");
    }
    assert_int_equal(page_release(bench->page), 0);
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_non_null(strstr(text, "hits="));
    assert_null(strstr(text, "hits=0"));
}

/* ---- pages that are not for it ---------------------------------------------------------------------------------------- */

static void poke_file(const struct bench *bench, size_t offset, uint32_t value)
{
    int fd = open(page_path(bench->page), O_RDWR | O_CLOEXEC);

    assert_int_equal(pwrite(fd, &value, sizeof(value), (off_t)offset), sizeof(value));
    close(fd);
}

static void expect_passed_through(struct bench *bench, const char *page)
{
    char **environment = preload_environment(environ, bench->library, page);
    struct victim victim = victim_start_with(bench, (char *[]){ "victim_calls", "fail", "ppm=0", NULL }, environment);
    char text[128];

    free(environment);
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_string_equal(text, "calls=100 hits=0\n"); /* and not a word more */
}

static void other_version_is_refused_and_counted(void **state)
{
    struct bench *bench = *state;
    struct page_state page;

    bench_arm(bench, 1, "fail@write:EIO");
    poke_file(bench, offsetof(struct control_rules, version), CONTROL_VERSION + 1);
    expect_passed_through(bench, page_path(bench->page));
    page_state(bench->page, &page);
    assert_int_equal(page.refused, 1);
    poke_file(bench, offsetof(struct control_rules, version), CONTROL_VERSION);
    poke_file(bench, offsetof(struct control_rules, magic), 1);
    expect_passed_through(bench, page_path(bench->page));
    poke_file(bench, offsetof(struct control_rules, magic), CONTROL_MAGIC);
}

static void unusable_pages_are_passed_over(void **state)
{
    struct bench *bench = *state;
    char path[REGISTRY_FILE_MAX];

    bench_arm(bench, 1, "fail@write:EIO");
    expect_passed_through(bench, "/nonexistent");
    expect_passed_through(bench, "");
    assert_int_equal(registry_path(&bench->registry, "pages/link", path, sizeof(path)), 0);
    assert_int_equal(symlink(page_path(bench->page), path), 0);
    expect_passed_through(bench, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(chmod(page_path(bench->page), 0644), 0);
    expect_passed_through(bench, page_path(bench->page));
    assert_int_equal(chmod(page_path(bench->page), 0600), 0);
    assert_int_equal(truncate(page_path(bench->page), 4096), 0);
    expect_passed_through(bench, page_path(bench->page));
    assert_int_equal(truncate(page_path(bench->page), (off_t)CONTROL_SIZE), 0);
}

/* ---- processes -------------------------------------------------------------------------------------------------------- */

static void children_have_streams_of_their_own(void **state)
{
    struct bench *bench = *state;
    struct victim victim;

    bench_arm(bench, 9, "fail@write:EIO,path=/dev/null,probability=50%,name=x");
    victim = victim_start(bench, "victim_life", "fork");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.matched, 50 * (1 + 2 + 4));
}

static size_t count_mappings(pid_t pid, const char *name, const char *permissions)
{
    char path[64], line[1024];
    size_t count = 0;
    FILE *maps;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    maps = fopen(path, "re");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps))
        count += strstr(line, name) && strstr(line, permissions);
    fclose(maps);
    return count;
}

static void processes_are_listed_and_rules_read_only(void **state)
{
    struct bench *bench = *state;
    struct page_process list[4];
    struct victim victim = victim_start(bench, "victim_life", "idle");
    char text[64];

    victim_hear(&victim, "going", text, sizeof(text));
    assert_int_equal(page_processes(bench->page, list, 4), 1);
    assert_int_equal(list[0].pid, victim.pid);
    assert_string_equal(list[0].comm, "victim_life");
    assert_int_equal(list[0].stream, 1);
    assert_int_equal(count_mappings(victim.pid, "/pages/test", " r--s "), 1);
    assert_int_equal(count_mappings(victim.pid, "/pages/test", " rw-s "), 1);
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    assert_int_equal(page_processes(bench->page, list, 4), 0);
}

/* Armed long after the start, with threads that exist already. */
static void arms_while_running(void **state)
{
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_life", "outlast");
    char text[64];

    bench_arm(bench, 1, "fail@write:EIO,path=/dev/null");
    victim_hear(&victim, "hit", text, sizeof(text));
    assert_int_equal(page_release(bench->page), 0);
    victim_hear(&victim, "free", text, sizeof(text));
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(program_state_is_untouched),
        CASE(release_wakes),
        CASE(no_other_library_fakes_its_clock),
        CASE(panic_wakes),
        CASE(lease_end_wakes),
        CASE(renewed_sleeper_sleeps_on),
        CASE(next_plan_wakes),
        CASE(cancellation_point_is_kept),
        CASE(eintr_as_the_handler_says),
        CASE(controller_killed_means_inert),
        CASE(half_written_update_is_never_read),
        CASE(garbage_is_survived),
        CASE(writer_killed_at_random),
        CASE(other_version_is_refused_and_counted),
        CASE(unusable_pages_are_passed_over),
        CASE(children_have_streams_of_their_own),
        CASE(processes_are_listed_and_rules_read_only),
        CASE(arms_while_running),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
