/* What moves the bytes where the kernel refuses io_uring, or a part of it: epoll, chosen by itself and said once; and a clear end
 * where io_uring was asked for. The refusal is a seccomp filter, as container profiles have.
 * beside: others */
#include "scenarios/base/cleanup.h"
#include "tests/support/wire_peer.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT_BYTES = 65536 };

struct refusal {
    uint32_t call;
    int failure;
};

static void refuse(const struct refusal *refusal)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refusal->call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)refusal->failure),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = { .len = ARRAY_SIZE(code), .filter = code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
        _exit(99);
}

/* Exit status of a child that does `body` under the refusal. */
static int under(const struct refusal *refusal, int (*body)(const struct refusal *refusal))
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (!pid) {
        refuse(refusal);
        _exit(body(refusal));
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int expect_backend(enum wire_backend backend, const char *name, int refused, int failure)
{
    struct injector_limits limits;
    struct injector *injector = NULL;
    int result, wrong = 0;

    injector_limits_init(&limits);
    limits.backend = backend;
    result = injector_new(&limits, &injector);
    if (result != failure)
        wrong = 1;
    else if (result == 0 && (strcmp(injector_backend(injector), name) != 0 || injector_refusal(injector) != refused))
        wrong = 2;
    injector_free(injector);
    return wrong;
}

static int choose(const struct refusal *refusal)
{
    int wrong = expect_backend(WIRE_BACKEND_AUTO, "epoll", -refusal->failure, 0);

    if (!wrong)
        wrong = expect_backend(WIRE_BACKEND_EPOLL, "epoll", 0, 0);
    return wrong ? wrong : expect_backend(WIRE_BACKEND_IO_URING, "", 0, -refusal->failure);
}

static const struct refusal refusals[] = {
    { SYS_io_uring_setup, EPERM },    { SYS_io_uring_setup, ENOSYS },   { SYS_io_uring_setup, ENOMEM },
    { SYS_io_uring_register, EPERM }, { SYS_io_uring_register, EINVAL }, { SYS_io_uring_enter, EPERM },
};

static void test_auto_falls_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        int wrong = under(&refusals[i], choose);

        if (wrong)
            fail_msg("refusal %zu: wrong in way %d", i, wrong);
    }
}

static int choose_freely(const struct refusal *refusal)
{
    (void)refusal;
    return expect_backend(WIRE_BACKEND_AUTO, "io_uring", 0, 0);
}

/* A refusal of something else changes nothing; and the filter itself is no reason. */
static void test_auto_takes_io_uring(void **state)
{
    static const struct refusal other = { SYS_swapoff, EPERM };
    int refused;

    (void)state;
    if (strcmp(injector_backend_here(&refused), "io_uring") != 0)
        skip();
    assert_int_equal(refused, 0);
    assert_int_equal(under(&other, choose_freely), 0);
}

/* epoll_pwait2 is younger than epoll: where it is refused, waits are as precise without. */
static int pass_bytes(const struct refusal *refusal)
{
    struct wire_executor executor;
    struct wire_server *server;
    struct plan_rule rule = wire_rule("latency", "slow");
    char at[ADDRESS_TEXT_MAX], byte = 'x';
    int fd, wrong = 0;

    (void)refusal;
    wire_executor_start(&executor, NULL);
    server = wire_server_start(wire_echo, NULL);
    wire_open(&executor, "echo", wire_server_port(server), at, sizeof(at));
    rule.params.STREAM_latency.latency = 3000000;
    if (wire_arm(&executor, 1, UINT64_C(20000000000), &rule, 1) != 0)
        wrong = 1;
    fd = wire_connect(at);
    for (int i = 0; i < 20 && !wrong; i++)
        if (wire_send_all(fd, &byte, 1) < 0 || wire_recv_all(fd, &byte, 1) != 1)
            wrong = 2;
    close(fd);
    wire_server_stop(server);
    return wire_executor_end(&executor) ? 3 : wrong;
}

static void test_an_old_epoll_is_enough(void **state)
{
    static const struct refusal old = { SYS_epoll_pwait2, ENOSYS }, strict = { SYS_epoll_pwait2, EPERM };

    (void)state;
    assert_int_equal(setenv("PERTURB_TEST_BACKEND", "epoll", 1), 0);
    assert_int_equal(under(&old, pass_bytes), 0);
    assert_int_equal(under(&strict, pass_bytes), 0);
    unsetenv("PERTURB_TEST_BACKEND");
}

/* ---- the programs ----------------------------------------------------------------------------------------------------- */

/* Runs BUILD/perturb with the arguments where io_uring_setup is refused; stdout and stderr together in `text`. SIGTERM ends it
 * once it has said `until`, NULL for never. Its exit status. */
static int perturb(char *text, const char *until, const char *const *arguments)
{
    const char *build = getenv("BUILD");
    char program[4096], *argv[16] = { program };
    int pipes[2], status = 0;
    size_t have = 0;
    pid_t pid;

    snprintf(program, sizeof(program), "%s/perturb", build ? build : "build");
    for (size_t i = 0; arguments[i]; i++)
        argv[i + 1] = (char *)(uintptr_t)arguments[i];
    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        refuse(&refusals[0]);
        dup2(pipes[1], STDOUT_FILENO);
        dup2(pipes[1], STDERR_FILENO);
        close(pipes[0]);
        close(pipes[1]);
        execv(program, argv);
        _exit(98);
    }
    close(pipes[1]);
    while (poll(&(struct pollfd){ .fd = pipes[0], .events = POLLIN }, 1, (int)wire_timeout_ms()) > 0) {
        ssize_t got = read(pipes[0], text + have, TEXT_BYTES - 1 - have);

        if (got <= 0)
            break;
        have += (size_t)got;
        text[have] = '\0';
        if (until && strstr(text, until)) {
            kill(pid, SIGTERM);
            until = NULL;
        }
    }
    close(pipes[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static size_t times(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

static void expect_said_once(char *text, const char *part)
{
    if (times(text, part) != 1)
        fail_msg("said %zu times '%s': %s", times(text, part), part, text);
}

static void test_proxy_says_so(void **state)
{
    char *text = *state;

    assert_int_equal(perturb(text, "Starting Toxiproxy", (const char *const[]){ "proxy", "-port", "0", NULL }), 0);
    expect_said_once(text, "\"backend\":\"epoll\",\"io_uring\":\"Operation not permitted\"");
    assert_int_equal(perturb(text, NULL, (const char *const[]){ "proxy", "-port", "0", "-backend", "io_uring", NULL }), 69);
    expect_said_once(text, "io_uring cannot be used here (Operation not permitted)");
    assert_int_equal(perturb(text, NULL, (const char *const[]){ "proxy", "-backend", "kqueue", NULL }), 64);
    assert_int_equal(perturb(text, "Starting Toxiproxy", (const char *const[]){ "proxy", "-port", "0", "-backend", "epoll", NULL }), 0);
    expect_said_once(text, "\"backend\":\"epoll\",\"seed\"");
}

static void test_exec_says_so(void **state)
{
    char *text = *state;

    assert_int_equal(perturb(text, NULL, (const char *const[]){ "exec", "-f", "latency:1ms,to=:9", "--", "true", NULL }), 0);
    expect_said_once(text, "io_uring is refused here (Operation not permitted): the proxies run on epoll");
}

static void write_playbook(char *path, size_t size)
{
    const char *directory = getenv("TMPDIR"), *build = getenv("BUILD");
    FILE *file;

    snprintf(path, size, "%s/backend-%d.yaml", directory ? directory : "/tmp", (int)getpid());
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "perturb: 1\n"
            "title: A store behind a proxy\n"
            "warmup: 0s\n"
            "targets:\n"
            "  store: {command: [%s/sample-store, --port, \"${port.store}\"], ready: {tcp: \"127.0.0.1:${port.store}\"}}\n"
            "proxies:\n"
            "  wire: {upstream: \"127.0.0.1:${port.store}\"}\n"
            "load:\n"
            "  main: {resp: {url: \"redis://${proxies.wire.listen}\"}, rate: 200/s}\n"
            "steady-state-hypothesis:\n"
            "  - {signal: main.goodput, min: 20%%}\n"
            "method:\n"
            "  - {fault: latency, proxy: wire, latency: 5ms, for: 200ms}\n"
            "expect:\n"
            "  convergence: {band: 90%%, hold: 200ms, bin: 5ms}\n"
            "observe: 1s\n",
            build ? build : "build");
    assert_int_equal(fclose(file), 0);
}

static void test_run_says_so(void **state)
{
    char *text = *state, path[512];
    int status;

    write_playbook(path, sizeof(path));
    assert_int_equal(perturb(text, NULL, (const char *const[]){ "run", path, "--backend", "io_uring", NULL }), 69);
    expect_said_once(text, "proxies: the wire executor did not start: io_uring cannot be used here (Operation not permitted)");
    status = perturb(text, NULL, (const char *const[]){ "run", path, NULL });
    if (status < 0 || status > 2) /* judged: this test is not about the verdict */
        fail_msg("status %d: %s", status, text);
    expect_said_once(text, "io_uring is refused here (Operation not permitted): the proxies run on epoll");
    (void)unlink(path);
}

static int set_up_text(void **state)
{
    *state = calloc(1, TEXT_BYTES);
    return *state ? 0 : -1;
}

static int tear_down_text(void **state)
{
    free(*state);
    return 0;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up_text, tear_down_text)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_auto_falls_back), cmocka_unit_test(test_auto_takes_io_uring),
        cmocka_unit_test(test_an_old_epoll_is_enough), CASE(test_proxy_says_so), CASE(test_exec_says_so), CASE(test_run_says_so),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
