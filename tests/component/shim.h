/* For the shim's component tests: a page of one's own, a victim under it, and what became of it. */
#ifndef PERTURB_TESTS_SHIM_H
#define PERTURB_TESTS_SHIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/playbook/spec.h"
#include "shims/host/page.h"
#include "shims/host/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Victims built with a sanitiser carry their own malloc and must be loaded before any preload: nothing to learn from them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VICTIMS_ARE_SANITISED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VICTIMS_ARE_SANITISED 1
#endif
#endif
#ifndef VICTIMS_ARE_SANITISED
#define VICTIMS_ARE_SANITISED 0
#endif

#define UNUSED_OK __attribute__((unused))

extern char **environ;

struct bench {
    char build[PATH_MAX];     /* where this test was built */
    char library[PATH_MAX + 32];
    char folder[128];         /* the registry, removed at the end */
    struct registry registry;
    struct page *page;
    struct plan *plan;
    uint64_t epoch;
};

struct victim {
    pid_t pid;
    int in, out; /* its standard input and output */
};

/* For main() of tests that start victims: true when they were told as skipped. */
static UNUSED_OK bool skipped_whole(void)
{
    if (VICTIMS_ARE_SANITISED && !getenv("PERTURB_TEST_SANITISED"))
        printf("1..0 # SKIP victims built with a sanitiser cannot be preloaded\n");
    return VICTIMS_ARE_SANITISED && !getenv("PERTURB_TEST_SANITISED");
}

static UNUSED_OK int deadline_ms(void)
{
    const char *text = getenv("PERTURB_TEST_TIMEOUT_MS");
    long ms = text ? strtol(text, NULL, 10) : 0;

    return ms > 0 && ms < INT_MAX ? (int)ms : 20000;
}

static UNUSED_OK int bench_begin(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    ssize_t length = readlink("/proc/self/exe", bench->build, sizeof(bench->build) - 1);

    assert_true(length > 0);
    for (int up = 0; up < 3; up++) /* BUILD/tests/component/test_x */
        *strrchr(bench->build, '/') = '\0';
    snprintf(bench->library, sizeof(bench->library), "%s/libperturb.so", bench->build);
    snprintf(bench->folder, sizeof(bench->folder), "%s/shim-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_true(strlen(bench->folder) < sizeof(bench->folder) - 1);
    assert_non_null(mkdtemp(bench->folder));
    setenv("PERTURB_REGISTRY", bench->folder, 1);
    assert_int_equal(registry_open(&bench->registry), 0);
    assert_int_equal(page_create(&bench->registry, "test", &bench->page), 0);
    *state = bench;
    return 0;
}

static UNUSED_OK int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status, (void)type, (void)ftw;
    return remove(path);
}

static UNUSED_OK int bench_end(void **state)
{
    struct bench *bench = *state;

    if (bench->page)
        assert_int_equal(page_remove(bench->page), 0);
    page_close(bench->page);
    registry_close(&bench->registry);
    nftw(bench->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(bench->plan);
    free(bench);
    return 0;
}

/* Arms faults given as lines; NULL ends them. */
static UNUSED_OK void bench_arm_for(struct bench *bench, uint64_t seed, uint64_t ttl_ns, const char *const *lines)
{
    static struct fault_spec spec;
    static struct errs errs;
    size_t count = 0;

    while (lines[count])
        count++;
    free(bench->plan);
    bench->plan = calloc(1, PLAN_SIZE(count));
    *bench->plan = (struct plan){ PLAN_MAGIC, PLAN_VERSION, sizeof(struct plan_rule), (uint32_t)count, ++bench->epoch, seed };
    for (size_t i = 0; i < count; i++) {
        if (fault_spec_parse(lines[i], BIT(LAYER_CALL), "test", &spec, &errs) < 0) {
            errs_print(&errs, stderr);
            fail_msg("%s", lines[i]);
        }
        bench->plan->rules[i] = spec.rule;
    }
    assert_int_equal(page_publish(bench->page, bench->plan, NULL, 0, ttl_ns), 0);
}

#define bench_arm(bench, seed, ...) bench_arm_for(bench, seed, 120 * NS_PER_S, (const char *const[]){ __VA_ARGS__, NULL })

/* A program under the shim. argv[0] without '/' is a fixture. */
static UNUSED_OK struct victim victim_start_with(struct bench *bench, char *const *argv, char *const *environment)
{
    struct victim victim;
    char path[PATH_MAX + 64];
    int in[2], out[2];

    if (strchr(argv[0], '/'))
        snprintf(path, sizeof(path), "%s", argv[0]);
    else
        snprintf(path, sizeof(path), "%s/tests/fixtures/%s", bench->build, argv[0]);
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    victim.pid = fork();
    if (victim.pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execve(path, argv, environment);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    victim.in = in[1];
    victim.out = out[0];
    return victim;
}

static UNUSED_OK struct victim victim_start_argv(struct bench *bench, char *const *argv)
{
    char **environment = preload_environment(environ, bench->library, page_path(bench->page));
    struct victim victim = victim_start_with(bench, argv, environment);

    free(environment);
    return victim;
}

#define victim_start(bench, ...) victim_start_argv(bench, (char *[]){ __VA_ARGS__, NULL })

/* Everything it says until it says `word` (to the end when NULL), within the deadline. */
static UNUSED_OK void victim_hear(struct victim *victim, const char *word, char *text, size_t size)
{
    size_t length = 0;

    text[0] = '\0';
    while (!word || !strstr(text, word)) {
        struct pollfd ready = { .fd = victim->out, .events = POLLIN };
        ssize_t got;

        if (poll(&ready, 1, deadline_ms()) <= 0)
            fail_msg("the victim said '%s' and then nothing", text);
        got = read(victim->out, text + length, size - 1 - length);
        assert_true(got >= 0);
        if (!got)
            break;
        length += (size_t)got;
        text[length] = '\0';
    }
    if (word && !strstr(text, word))
        fail_msg("expected '%s', heard '%s'", word, text);
}

/* Ends its input, hears it out, and returns its exit status (128 + signal). */
static UNUSED_OK int victim_end(struct victim *victim, char *text, size_t size)
{
    char room[4096];
    int status;

    if (victim->in >= 0)
        close(victim->in);
    victim_hear(victim, NULL, text ? text : room, text ? size : sizeof(room));
    close(victim->out);
    assert_int_equal(waitpid(victim->pid, &status, 0), victim->pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static UNUSED_OK struct rule_status bench_status(struct bench *bench, size_t index)
{
    static struct rule_status list[PLAN_RULES_MAX];

    assert_true(page_status(bench->page, list, PLAN_RULES_MAX) > index);
    return list[index];
}

/* Waits until so many calls of the first rule are held up. */
static UNUSED_OK void bench_await_in_flight(struct bench *bench, uint64_t count)
{
    uint64_t end_ns = clock_now_ns() + (uint64_t)deadline_ms() * NS_PER_MS;

    while (bench_status(bench, 0).in_flight != count) {
        assert_true(clock_now_ns() < end_ns);
        sched_yield();
    }
}

#endif
