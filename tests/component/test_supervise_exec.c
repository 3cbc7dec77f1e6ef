/* perturb exec --backend seccomp, and what arm, disarm, ps and doctor make of it, as a user runs them. */
#include "tests/component/command.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static char *lifeline(struct bench *bench)
{
    return fixture(bench, "static/victim_life");
}

static void auto_picks_and_says_so(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "--seed", "4711", "-f", "fail@write:EIO,path=/dev/null,probability=10%,name=x", "--",
                             fixture(bench, "static/victim_calls"), "fail", "seed=4711", "ppm=100000", "calls=2000", "value=5"), 0);
    expect_heard("backend seccomp, because a static program loads no library");
    {
        unsigned long long calls, hits, matched, eligible, fired;

        assert_int_equal(sscanf(strstr(heard, "calls="), "calls=%llu hits=%llu", &calls, &hits), 2);
        assert_int_equal(sscanf(strstr(heard, "\n  x "), " x %llu %llu %llu", &matched, &eligible, &fired), 3);
        assert_int_equal(matched, calls);
        assert_int_equal(fired, hits);
        assert_true(hits > 100 && hits < 300);
    }
    assert_int_equal(perturb(bench, "exec", "-f", "fail@fsync:EIO", "--", "true"), 0);
    assert_null(strstr(heard, "backend"));
}

/* Any program: asked for, the supervisor also attends one that the shim could. */
static void seccomp_by_choice(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "--backend", "seccomp", "-f", "fail@open:EACCES,path=/etc/hostname", "--", "cat", "/etc/hostname"), 1);
    expect_heard("Permission denied");
    assert_int_equal(perturb(bench, "exec", "--backend", "seccomp", "--", "sh", "-c", "exit 7"), 7);
    assert_int_equal(perturb(bench, "exec", "--backend", "seccomp", "--", "sh", "-c", "kill -9 $$"), 128 + SIGKILL);
    assert_int_equal(perturb(bench, "exec", "--backend", "seccomp", "--", "/nonexistent"), 127);
    assert_int_equal(perturb(bench, "exec", "--backend", "seccomp", "--", "/etc/passwd"), 126);
    assert_int_equal(perturb(bench, "exec", "--io-uring", "refuse", "--", lifeline(bench), "ring"), 0);
    expect_heard("ENOSYS");
}

static void what_it_cannot_do_is_refused(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "--backend", "ptrace", "--", "true"), 125);
    expect_heard("none of auto, preload, seccomp");
    assert_int_equal(perturb(bench, "exec", "--io-uring", "no", "--", "true"), 125);
    assert_int_equal(perturb(bench, "exec", "--io-uring", "refuse", "--backend", "preload", "--", "true"), 125);
    assert_int_equal(perturb(bench, "exec", "-f", "alloc_fail:1%", "--", lifeline(bench), "idle"), 125);
    expect_heard("alloc_fail: not by --backend seccomp: it acts on library calls");
    assert_int_equal(perturb(bench, "exec", "-f", "fail@close:EIO", "--", lifeline(bench), "idle"), 125);
    expect_heard("cannot close");
    assert_int_equal(perturb(bench, "exec", "-f", "fail@write:EIO,caller=libc.so.6", "--", lifeline(bench), "idle"), 125);
    expect_heard("caller needs the shim");
    assert_int_equal(perturb(bench, "exec", "-f", "fail@write:EIO,each_site=true", "--", lifeline(bench), "idle"), 125);
    expect_heard("each_site needs the shim");
    assert_int_equal(perturb(bench, "exec", "-f", "fail@thread:EAGAIN", "--", lifeline(bench), "idle"), 125);
    expect_heard("no system call that could be told");
    assert_int_equal(perturb(bench, "exec", "--backend", "seccomp", "-f", "fail@write:EIO", "--", "sh", "-c",
                             "exec \"$0\" exec --backend seccomp -- true", fixture(bench, "../../perturb")), 125);
    assert_non_null(strstr(heard, "125"));
}

static pid_t pid_heard(const char *after)
{
    const char *place = strstr(heard, after);

    return place ? (pid_t)strtol(place + strlen(after), NULL, 10) : 0;
}

/* Started without faults: everything is intercepted, and another process arms and disarms. */
static void arm_and_disarm(void **state)
{
    struct bench *bench = *state;
    struct victim victim = perturb_start(bench, "exec", "--", lifeline(bench), "outlast", NULL);
    char target[16], text[4096] = "";

    victim_hear(&victim, "backend seccomp", text, sizeof(text));
    do /* it is listed as soon as it has begun */
        assert_int_equal(perturb(bench, "ps"), 0);
    while (!strstr(heard, "supervised (seccomp)\n  "));
    snprintf(target, sizeof(target), "%d", (int)pid_heard("supervised (seccomp)\n  "));
    assert_int_equal(perturb(bench, "arm", target, "alloc_fail:1%", "--for", "9s"), 69);
    expect_heard("a supervisor does not see");
    assert_int_equal(perturb(bench, "arm", target, "fail@write:EIO,path=/dev/null", "--for", "60s"), 0);
    victim_hear(&victim, "hit", text, sizeof(text));
    assert_int_equal(perturb(bench, "disarm", target), 0);
    victim_hear(&victim, "free", text, sizeof(text));
    assert_int_equal(perturb_end(victim), 0);
}

static void arm_at_a_point_that_is_not_intercepted(void **state)
{
    struct bench *bench = *state;
    struct victim victim = perturb_start(bench, "exec", "-f", "fail@fsync:EIO", "--", lifeline(bench), "idle", NULL);
    char target[16], text[4096] = "";

    victim_hear(&victim, "going", text, sizeof(text));
    assert_int_equal(perturb(bench, "ps"), 0);
    snprintf(target, sizeof(target), "%d", (int)pid_heard("supervised (seccomp)\n  "));
    assert_int_equal(perturb(bench, "disarm", target), 0);
    assert_int_equal(perturb(bench, "arm", target, "fail@write:EIO", "--for", "9s"), 69);
    expect_heard("does not intercept these calls");
    assert_int_equal(perturb_end(victim), 0);
}

/* Supervisor and keeper outlive perturb; what was armed ends at its lease, and the program goes on. */
static void killed_exec_leaves_no_fault(void **state)
{
    struct bench *bench = *state;
    struct victim victim = perturb_start(bench, "exec", "-f", "fail@write:EIO,path=/dev/null", "--", lifeline(bench), "outlast", NULL);
    char text[4096];
    int status;

    victim_hear(&victim, "hit", text, sizeof(text));
    kill(victim.pid, SIGKILL);
    assert_int_equal(waitpid(victim.pid, &status, 0), victim.pid);
    victim_hear(&victim, "free", text, sizeof(text)); /* the lease is 5 s */
    victim_hear(&victim, NULL, text, sizeof(text));
    close(victim.in);
    close(victim.out);
}

/* The signals that perturb passes on; its own end of a terminal's. */
static void signals_are_passed_on(void **state)
{
    struct bench *bench = *state;
    struct victim victim = perturb_start(bench, "exec", "--", lifeline(bench), "idle", NULL);
    char text[4096];

    victim_hear(&victim, "going", text, sizeof(text));
    kill(victim.pid, SIGTERM);
    victim_hear(&victim, NULL, text, sizeof(text));
    assert_int_equal(perturb_end(victim), 128 + SIGTERM);
}

/* A stream fault on a static program: its connect goes through the proxy, which counts it. */
static void wire_faults_by_redirect(void **state)
{
    struct bench *bench = *state;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;
    char port[16], fault[96];
    struct victim victim;
    uint64_t begin_ns;

    assert_int_equal(bind(fd, (struct sockaddr *)&address, length) | listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    snprintf(port, sizeof(port), "%u", ntohs(address.sin_port));
    snprintf(fault, sizeof(fault), "latency:300ms,to=127.0.0.1:%s,direction=to_client,name=slow", port);
    victim = perturb_start(bench, "exec", "-f", fault, "--", lifeline(bench), "dial", port, NULL);
    accepted = accept(fd, NULL, NULL);
    assert_true(accepted >= 0);
    begin_ns = clock_now_ns();
    assert_int_equal(write(accepted, "hello", 5), 5);
    assert_int_equal(perturb_end(victim), 0);
    assert_true(clock_now_ns() - begin_ns >= 300 * NS_PER_MS);
    expect_heard("hello");
    assert_non_null(strstr(heard, "\n  slow "));
    close(accepted);
    close(fd);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(auto_picks_and_says_so),
        CASE(seccomp_by_choice),
        CASE(what_it_cannot_do_is_refused),
        CASE(arm_and_disarm),
        CASE(arm_at_a_point_that_is_not_intercepted),
        CASE(killed_exec_leaves_no_fault),
        CASE(signals_are_passed_on),
        CASE(wire_faults_by_redirect),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
