/* How faults begin and end under the supervisor, and what becomes of the target when supervisor, keeper or controller die. */
#include "tests/component/supervised.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#define HELD "latency@write:10m,path=/dev/null,name=x"
#define NEVER "fail@write:EIO,path=/dev/null,first=1000000000,name=x" /* armed, judged at every write, and never fires */

static void await_matched(struct bench *bench, uint64_t count)
{
    uint64_t end_ns = clock_now_ns() + (uint64_t)deadline_ms() * NS_PER_MS;

    while (bench_status(bench, 0).counts.matched < count) {
        assert_true(clock_now_ns() < end_ns);
        sched_yield();
    }
}

static void await_gone(pid_t pid)
{
    uint64_t end_ns = clock_now_ns() + (uint64_t)deadline_ms() * NS_PER_MS;

    while (!kill(pid, 0)) {
        assert_true(clock_now_ns() < end_ns);
        poll(NULL, 0, 1);
    }
}

static pid_t keeper_of(const struct supervised *started)
{
    pid_t pid = child_named(getpid(), "perturb-keeper");

    (void)started;
    assert_true(pid > 0);
    return pid;
}

/* Filled once it serves: its name is set just before. */
static pid_t supervisor_of(const struct supervised *started)
{
    pid_t pid = child_named(keeper_of(started), "perturb-superv");

    assert_true(pid > 0);
    return pid;
}

/* ---- sleepers --------------------------------------------------------------------------------------------------------- */

static struct supervised start_sleeper(struct bench *bench)
{
    struct supervised started = supervised_start(bench, "victim_life", "sleeper");

    bench_await_in_flight(bench, 1);
    return started;
}

static void expect_woken(struct bench *bench, struct supervised *started)
{
    char text[64];

    assert_int_equal(supervised_end(started, text, sizeof(text)), 0);
    assert_string_equal(text, "going\nwoke\n");
    assert_int_equal(bench_status(bench, 0).counts.fired, 1);
    assert_int_equal(bench_status(bench, 0).in_flight, 0);
}

static void release_wakes_out_of_ten_minutes(void **state)
{
    struct bench *bench = *state;
    struct supervised started;

    bench_arm(bench, 1, HELD);
    started = start_sleeper(bench);
    assert_int_equal(page_release(bench->page), 0);
    expect_woken(bench, &started);
}

static void panic_wakes(void **state)
{
    struct bench *bench = *state;
    struct supervised started;
    size_t pages;

    bench_arm(bench, 1, HELD);
    started = start_sleeper(bench);
    assert_int_equal(registry_panic(&bench->registry, &pages), 0);
    expect_woken(bench, &started);
    assert_int_equal(lever_set(&bench->registry, false), 0);
}

static void lease_end_wakes(void **state)
{
    struct bench *bench = *state;
    struct supervised started;

    bench_arm_for(bench, 1, NS_PER_S, (const char *const[]){ HELD, NULL });
    started = start_sleeper(bench);
    expect_woken(bench, &started);
}

static void renewed_sleeper_sleeps_on(void **state)
{
    struct bench *bench = *state;
    struct page_state page;
    struct supervised started;

    bench_arm_for(bench, 1, NS_PER_S, (const char *const[]){ HELD, NULL });
    page_state(bench->page, &page);
    started = start_sleeper(bench);
    while (clock_now_ns() < page.lease_ns + NS_PER_S / 4) {
        assert_int_equal(page_renew(bench->page, bench->epoch, 3 * NS_PER_S), 0);
        poll(NULL, 0, 50);
    }
    assert_int_equal(bench_status(bench, 0).in_flight, 1);
    assert_int_equal(page_release(bench->page), 0);
    expect_woken(bench, &started);
}

static void fifty_threads_sleep_at_once(void **state)
{
    struct bench *bench = *state;
    struct supervised started;
    char text[128];

    bench_arm(bench, 1, HELD);
    started = supervised_start(bench, "victim_calls", "latency", "threads=50", "calls=1", "value=1");
    bench_await_in_flight(bench, 50);
    assert_int_equal(page_release(bench->page), 0);
    assert_int_equal(supervised_end(&started, text, sizeof(text)), 0);
    assert_string_equal(text, "calls=50 hits=50\n");
    assert_int_equal(bench_status(bench, 0).counts.fired, 50);
    assert_int_equal(bench_status(bench, 0).in_flight, 0);
}

/* Whoever is killed in his sleep is not asleep any more. */
static void killed_sleeper_is_forgotten(void **state)
{
    struct bench *bench = *state;
    struct supervised started;

    bench_arm(bench, 1, HELD);
    started = start_sleeper(bench);
    kill(started.victim.pid, SIGKILL);
    bench_await_in_flight(bench, 0);
    assert_int_equal(supervised_end(&started, NULL, 0), 128 + SIGKILL);
}

/* A handler without SA_RESTART: EINTR. With it: the kernel makes the call again, which is the same call, counted once. */
static void eintr_as_the_handler_says(void **state)
{
    struct bench *bench = *state;
    struct supervised started;

    bench_arm(bench, 1, HELD);
    started = supervised_start(bench, "victim_life", "eintr");
    assert_int_equal(supervised_end(&started, NULL, 0), 0);
    bench_arm(bench, 1, "latency@write:100ms,path=/dev/null,name=x");
    started = supervised_start(bench, "victim_life", "restart");
    assert_int_equal(supervised_end(&started, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.matched, 1);
    assert_int_equal(bench_status(bench, 0).counts.fired, 1);
    assert_int_equal(bench_status(bench, 0).in_flight, 0);
}

struct shower {
    const char *fault, *kind, *nth, *value, *calls, *alarm;
};

/* Signals all the time, into every stage of a call: not one is judged twice, nothing is transferred twice or lost. */
static void no_signal_counts_a_call_twice(void **state)
{
    static const struct shower showers[] = {
        { "fail@write:EIO,path=/dev/null,nth=3,name=x", "fail", "nth=3", "value=5", "calls=2000", "alarm=150" },
        { "short_io@recv:10,name=x", "echo", "nth=1", "value=10", "calls=2000", "alarm=150" },
        { "latency@write:60ms,path=/dev/null,nth=10,name=x", "latency", "nth=10", "value=60000000", "calls=100", "alarm=2000" },
    };
    struct bench *bench = *state;

    for (size_t i = 0; i < ARRAY_SIZE(showers); i++) {
        struct supervised started;
        unsigned long long calls, hits;
        char text[128];

        bench_arm(bench, 1, showers[i].fault);
        started = supervised_start(bench, "victim_calls", (char *)(uintptr_t)showers[i].kind, (char *)(uintptr_t)showers[i].nth,
                                   (char *)(uintptr_t)showers[i].value, (char *)(uintptr_t)showers[i].calls, (char *)(uintptr_t)showers[i].alarm);
        assert_int_equal(supervised_end(&started, text, sizeof(text)), 0);
        assert_int_equal(sscanf(text, "calls=%llu hits=%llu", &calls, &hits), 2);
        assert_int_equal(bench_status(bench, 0).counts.matched, calls);
        assert_int_equal(bench_status(bench, 0).counts.fired, hits);
        assert_int_equal(bench_status(bench, 0).in_flight, 0);
    }
}

static void arms_and_disarms_while_running(void **state)
{
    struct bench *bench = *state;
    struct supervised started = supervised_start(bench, "victim_life", "outlast");
    char text[64];

    bench_arm(bench, 1, "fail@write:EIO,path=/dev/null");
    victim_hear(&started.victim, "hit", text, sizeof(text));
    assert_int_equal(page_release(bench->page), 0);
    victim_hear(&started.victim, "free", text, sizeof(text));
    assert_int_equal(supervised_end(&started, NULL, 0), 0);
}

/* ---- deaths ----------------------------------------------------------------------------------------------------------- */

/* Busy until its input ends: not one of its calls may fail, and it goes on after `kill_one`. */
static void outlives(struct bench *bench, void (*kill_some)(const struct supervised *started))
{
    unsigned long long calls, hits;
    struct supervised started;
    uint64_t before;
    char text[128];

    bench_arm(bench, 1, NEVER);
    started = supervised_start(bench, "victim_life", "busy");
    await_matched(bench, 1000);
    kill_some(&started);
    before = bench_status(bench, 0).counts.matched;
    poll(NULL, 0, 50); /* more calls, with whoever is left */
    assert_int_equal(supervised_end(&started, text, sizeof(text)), 0);
    assert_int_equal(sscanf(strstr(text, "calls="), "calls=%llu hits=%llu", &calls, &hits), 2);
    assert_int_equal(hits, 0);
    assert_true(calls > before + 100);
}

static void kill_supervisor(const struct supervised *started)
{
    pid_t pid = supervisor_of(started);

    kill(pid, SIGKILL);
    poll(NULL, 0, 10);
}

static void kill_keeper(const struct supervised *started)
{
    pid_t keeper = keeper_of(started);

    kill(keeper, SIGKILL);
    assert_int_equal(waitpid(keeper, NULL, 0), keeper);
}

/* First the keeper, and when its successor is there the supervisor. */
static void kill_keeper_then_supervisor(const struct supervised *started)
{
    uint64_t end_ns = clock_now_ns() + (uint64_t)deadline_ms() * NS_PER_MS;
    pid_t supervisor = supervisor_of(started);
    char path[64], text[16] = "";

    kill_keeper(started);
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)supervisor, (int)supervisor);
    while (!text[0]) {
        FILE *file = fopen(path, "re");

        assert_non_null(file);
        (void)!fgets(text, sizeof(text), file);
        fclose(file);
        assert_true(clock_now_ns() < end_ns);
    }
    kill(supervisor, SIGKILL);
    poll(NULL, 0, 10);
}

static void supervisor_killed_in_the_middle_of_load(void **state)
{
    outlives(*state, kill_supervisor);
}

static void keeper_killed_in_the_middle_of_load(void **state)
{
    outlives(*state, kill_keeper);
}

static void keeper_and_then_supervisor_killed(void **state)
{
    outlives(*state, kill_keeper_then_supervisor);
}

/* What it held goes on at once: the keeper answers it. */
static void supervisor_killed_with_calls_held(void **state)
{
    struct bench *bench = *state;
    struct supervised started;
    char text[128];

    bench_arm(bench, 1, HELD);
    started = supervised_start(bench, "victim_calls", "latency", "threads=20", "calls=1", "value=1");
    bench_await_in_flight(bench, 20);
    kill_supervisor(&started);
    assert_int_equal(supervised_end(&started, text, sizeof(text)), 0);
    assert_string_equal(text, "calls=20 hits=20\n");
}

/* At any instant: many times over, the victim's calls all succeed. */
static void supervisor_killed_at_random(void **state)
{
    struct bench *bench = *state;
    struct supervised started;
    char text[128];

    for (int round = 0; round < 30; round++) {
        bench_arm(bench, (uint64_t)round, "latency@write:100us,path=/dev/null,probability=30%,name=x");
        started = supervised_start(bench, "victim_calls", "fail", "ppm=0", "threads=4", "calls=500");
        await_matched(bench, (uint64_t)round * 3);
        kill(supervisor_of(&started), SIGKILL);
        assert_int_equal(supervised_end(&started, text, sizeof(text)), 0);
        assert_string_equal(text, "calls=2000 hits=0\n");
    }
}

/* Both leave with the last process of the tree, also one that outlived its parent. */
static void supervisor_leaves_with_the_last_process(void **state)
{
    struct bench *bench = *state;
    struct supervised started = supervised_start(bench, "/bin/sh", "-c", "exec 3<&0; (read line <&3; echo late) & exit 3");
    pid_t keeper = keeper_of(&started), supervisor = supervisor_of(&started);
    char text[64];
    int status;

    assert_int_equal(waitpid(started.victim.pid, &status, 0), started.victim.pid);
    assert_int_equal(WEXITSTATUS(status), 3);
    assert_int_equal(kill(supervisor, 0), 0);
    assert_int_equal(write(started.victim.in, "\n", 1), 1);
    victim_hear(&started.victim, "late", text, sizeof(text));
    close(started.victim.in);
    close(started.victim.out);
    supervise_reap(started.supervise);
    supervise_free(started.supervise);
    await_gone(keeper);
    await_gone(supervisor);
}

/* ---- elsewhere -------------------------------------------------------------------------------------------------------- */

static int listen_somewhere(uint16_t *ret_port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)) | listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void redirect_one(struct bench *bench, const char *word)
{
    const struct plan plan = { PLAN_MAGIC, PLAN_VERSION, sizeof(struct plan_rule), 0, ++bench->epoch, 1 };
    struct control_redirect redirect = { .match = { .present = 1, .port_first = 9, .port_last = 9 } };
    struct supervised started;
    char text[64];
    uint16_t port;
    int fd = listen_somewhere(&port), accepted;

    redirect.port = port;
    assert_int_equal(page_publish(bench->page, &plan, &redirect, 1, 60 * NS_PER_S), 0);
    started = supervised_start(bench, "victim_life", (char *)(uintptr_t)word, "9"); /* where nobody listens */
    accepted = accept(fd, NULL, NULL);
    assert_true(accepted >= 0);
    assert_int_equal(write(accepted, "hello", 5), 5);
    close(accepted);
    close(fd);
    assert_int_equal(supervised_end(&started, text, sizeof(text)), 0);
    assert_string_equal(text, "hello\n");
}

static void connects_go_elsewhere(void **state)
{
    redirect_one(*state, "dial");
    redirect_one(*state, "dial_later");
}

static void io_uring_by_choice(void **state)
{
    struct bench *bench = *state;
    struct supervise_spec spec = { POINT_BIT(fsync), false, true, page_path(bench->page) };
    struct supervised started = supervised_start_with(bench, &spec, (char *[]){ "victim_life", "ring", NULL });
    char text[64], bare[64];
    struct victim alone;

    assert_int_equal(supervised_end(&started, text, sizeof(text)), 0);
    assert_string_equal(text, "ENOSYS\n");
    spec.refuse_io_uring = false;
    started = supervised_start_with(bench, &spec, (char *[]){ "victim_life", "ring", NULL });
    assert_int_equal(supervised_end(&started, text, sizeof(text)), 0);
    alone = victim_start_with(bench, (char *[]){ "static/victim_life", "ring", NULL }, environ);
    (void)alone;
    victim_end(&alone, bare, sizeof(bare));
    assert_int_equal(strcmp(text, "ENOSYS\n") == 0, strcmp(bare, "ENOSYS\n") == 0);
}

/* Calls of other points are not intercepted at all: a rule armed for them later has no effect. */
static void only_chosen_points_are_intercepted(void **state)
{
    struct bench *bench = *state;
    struct supervise_spec spec = { POINT_BIT(fsync), false, false, page_path(bench->page) };
    struct supervised started;

    bench_arm(bench, 1, "fail@write:EIO,path=/dev/null");
    started = supervised_start_with(bench, &spec, (char *[]){ "victim_calls", "fail", "ppm=0", NULL });
    assert_int_equal(supervised_end(&started, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.matched, 0);
}

/* A page that it cannot use: the start fails, the program never runs, nothing is left. */
static void no_page_no_start(void **state)
{
    struct bench *bench = *state;
    const struct supervise_spec spec = { POINT_BIT(write), false, false, "/nonexistent" };
    struct supervise *supervise;
    const char *step;
    int status;
    pid_t pid;

    (void)bench;
    assert_int_equal(supervise_prepare(&spec, &supervise), 0);
    pid = fork();
    if (pid == 0) {
        (void)supervise_install(supervise);
        _exit(0);
    }
    assert_int_equal(supervise_attend(supervise, pid, &step), -ENOENT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    supervise_free(supervise);
}

static void processes_are_listed(void **state)
{
    struct bench *bench = *state;
    struct page_process list[4];
    struct supervised started = supervised_start(bench, "victim_life", "idle");
    char text[64];

    victim_hear(&started.victim, "going", text, sizeof(text));
    assert_int_equal(page_processes(bench->page, list, 4), 1);
    assert_int_equal(list[0].pid, started.victim.pid);
    assert_int_equal(list[0].stream, 1);
    assert_string_equal(list[0].comm, "victim_life");
    assert_int_equal(supervised_end(&started, NULL, 0), 0);
    assert_int_equal(page_processes(bench->page, list, 4), 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(release_wakes_out_of_ten_minutes),
        CASE(panic_wakes),
        CASE(lease_end_wakes),
        CASE(renewed_sleeper_sleeps_on),
        CASE(fifty_threads_sleep_at_once),
        CASE(killed_sleeper_is_forgotten),
        CASE(eintr_as_the_handler_says),
        CASE(no_signal_counts_a_call_twice),
        CASE(arms_and_disarms_while_running),
        CASE(supervisor_killed_in_the_middle_of_load),
        CASE(keeper_killed_in_the_middle_of_load),
        CASE(keeper_and_then_supervisor_killed),
        CASE(supervisor_killed_with_calls_held),
        CASE(supervisor_killed_at_random),
        CASE(supervisor_leaves_with_the_last_process),
        CASE(connects_go_elsewhere),
        CASE(io_uring_by_choice),
        CASE(only_chosen_points_are_intercepted),
        CASE(no_page_no_start),
        CASE(processes_are_listed),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
