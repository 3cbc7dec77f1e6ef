/* `perturb attach` and `detach` on a program under load. Victim: tests/fixtures/victim_attach.c, which checks its own registers,
 * memory and interrupted calls; it is not started under the shim.
 * time-limit: 120 */
#include "tests/component/command.h"

#include "scenarios/base/rng.h"

#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

enum { KILLS = 60 };

static char answer_text[256];

static struct victim start_victim(struct bench *bench, const char *how)
{
    struct victim victim = victim_start_with(bench, (char *[]){ (char *)(uintptr_t)"victim_attach", (char *)(uintptr_t)how, NULL }, environ);

    victim_hear(&victim, "ready\n", answer_text, sizeof(answer_text));
    return victim;
}

static const char *ask(struct victim *victim, const char *order)
{
    assert_int_equal(write(victim->in, order, 1), 1);
    victim_hear(victim, "\n", answer_text, sizeof(answer_text));
    return answer_text;
}

static char *number(pid_t pid)
{
    static char text[16];

    snprintf(text, sizeof(text), "%d", (int)pid);
    return text;
}

static void end_sound(struct victim *victim)
{
    assert_int_equal(write(victim->in, "q", 1), 1);
    assert_int_equal(victim_end(victim, answer_text, sizeof(answer_text)), 0);
    assert_string_equal(answer_text, "sound\n");
}

static void faults_act_and_slots_come_back(void **state)
{
    struct bench *bench = *state;
    struct victim victim = start_victim(bench, "strict");
    char before[sizeof(answer_text)], seed[] = "--seed", one[] = "1";

    snprintf(before, sizeof(before), "%s", ask(&victim, "g"));
    for (int round = 0; round < 2; round++) { /* the second time the library is there already */
        assert_int_equal(perturb(bench, "attach", number(victim.pid)), 0);
        expect_heard("call slots patched");
        assert_string_not_equal(ask(&victim, "g"), before);
        assert_string_equal(ask(&victim, "w"), "0000000000\n");
        assert_int_equal(perturb(bench, "arm", number(victim.pid), "fail@write:EIO,path=/dev/null,first=3,last=5", "--for", "60s", seed, one), 0);
        assert_string_equal(ask(&victim, "w"), "0011100000\n");
        assert_int_equal(perturb(bench, "ps"), 0);
        expect_heard(", asleep 0, attached");
        assert_int_equal(perturb(bench, "disarm", number(victim.pid)), 0);
        expect_heard("        10          3          3          0");
        assert_string_equal(ask(&victim, "w"), "0000000000\n");
        assert_int_equal(perturb(bench, "attach", number(victim.pid)), 69);
        expect_heard("it has the shim already");
        assert_int_equal(perturb(bench, "detach", number(victim.pid)), 0);
        assert_string_equal(ask(&victim, "g"), before);
        assert_int_equal(perturb(bench, "detach", number(victim.pid)), 69);
    }
    end_sound(&victim);
}

/* Killed at any instant, the program goes on: as before, or attached and idle. While the thread is held, the kernel ends its
 * epoll_wait with EINTR, as when any tracer dies: hence lenient. */
static void kills_of_attach_harm_nothing(void **state)
{
    struct bench *bench = *state;
    struct victim victim = start_victim(bench, "lenient");
    uint64_t seed = clock_now_ns(), span_ns, end_ns;
    unsigned attached = 0;

    assert_int_equal(perturb(bench, "attach", number(victim.pid)), 0);
    span_ns = (clock_now_ns() - seed) * 3 / 2; /* a half of the kills come too late */
    assert_int_equal(perturb(bench, "detach", number(victim.pid)), 0);
    print_message("# seed %" PRIu64 "\n", seed);
    for (unsigned i = 0; i < KILLS; i++) {
        uint64_t wait_ns = rng_below(rng_draw(seed, 1, 0, i), span_ns);
        struct victim attach = perturb_start(bench, "attach", number(victim.pid), NULL);

        (void)ppoll(NULL, 0, &(struct timespec){ (time_t)(wait_ns / NS_PER_S), (long)(wait_ns % NS_PER_S) }, NULL);
        kill(attach.pid, SIGKILL);
        (void)perturb_end(attach);
        assert_string_equal(ask(&victim, "p"), "p\n");
        attached += perturb(bench, "detach", number(victim.pid)) == 0;
    }
    print_message("# %u of %d were attached when killed\n", attached, KILLS);
    end_ns = clock_now_ns() + (uint64_t)deadline_ms() * NS_PER_MS; /* what a killed one left is taken over after a second */
    while (perturb(bench, "attach", number(victim.pid)) != 0) {
        assert_true(clock_now_ns() < end_ns);
        (void)perturb(bench, "detach", number(victim.pid));
        (void)poll(NULL, 0, 100);
    }
    assert_int_equal(perturb(bench, "detach", number(victim.pid)), 0);
    end_sound(&victim);
}

/* A process whose filter lets nobody make a pair of sockets. */
static pid_t start_filtered(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socketpair, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { ARRAY_SIZE(code), code };
    int ends[2];
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (!pid) {
        bool done = !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);

        (void)!write(ends[1], &done, 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ends[0], &(char){ 0 }, 1), 1);
    close(ends[0]);
    close(ends[1]);
    return pid;
}

static void filters_are_read(void **state)
{
    pid_t pid = start_filtered();

    assert_int_equal(perturb((struct bench *)*state, "attach", number(pid)), 69);
    expect_heard("seccomp filter");
    if (!geteuid())
        expect_heard("forbids socketpair");
    assert_int_equal(kill(pid, SIGKILL), 0); /* it lives */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void refusals_have_reasons(void **state)
{
    struct bench *bench = *state;
    struct victim victim = start_victim(bench, "lenient");
    pid_t zombie;
    int status;

    assert_int_equal(perturb(bench, "attach", "4194303"), 69);
    expect_heard("there is no such process");
    assert_int_equal(perturb(bench, "attach", "x"), 64);
    assert_int_equal(ptrace(PTRACE_SEIZE, victim.pid, NULL, NULL), 0);
    assert_int_equal(perturb(bench, "attach", number(victim.pid)), 69);
    expect_heard("traces it already");
    assert_int_equal(ptrace(PTRACE_INTERRUPT, victim.pid, NULL, NULL), 0);
    assert_int_equal(waitpid(victim.pid, &status, __WALL), victim.pid);
    assert_int_equal(ptrace(PTRACE_DETACH, victim.pid, NULL, NULL), 0);
    kill(victim.pid, SIGSTOP);
    assert_int_equal(waitpid(victim.pid, &status, WUNTRACED), victim.pid);
    assert_int_equal(perturb(bench, "attach", number(victim.pid)), 69);
    expect_heard("it is stopped");
    kill(victim.pid, SIGCONT);
    zombie = fork();
    if (!zombie)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)zombie, &(siginfo_t){ .si_pid = 0 }, WEXITED | WNOWAIT), 0);
    assert_int_equal(perturb(bench, "attach", number(zombie)), 69);
    expect_heard("zombie");
    (void)waitpid(zombie, NULL, 0);
    (void)victim_end(&victim, answer_text, sizeof(answer_text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(faults_act_and_slots_come_back, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(refusals_have_reasons, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(filters_are_read, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(kills_of_attach_harm_nothing, bench_begin, bench_end),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    signal(SIGPIPE, SIG_IGN);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
