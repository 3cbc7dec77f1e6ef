/* An owner of requests, for the tests of the event backends: it notes what completes. */
#ifndef PERTURB_TESTS_IO_BENCH_H
#define PERTURB_TESTS_IO_BENCH_H

#include "injector/io.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/param.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { COMPLETIONS_MAX = 4096, CHUNKS = 64 };

struct bench {
    const struct io_ops *ops;
    struct pool *pool;
    struct io *io;
    int ends[2]; /* a connected pair, blocking */
    struct io_completion list[COMPLETIONS_MAX];
    size_t count;
};

static inline uint64_t timeout_ns(void)
{
    const char *text = getenv("PERTURB_TEST_TIMEOUT_MS");

    return (text ? strtoull(text, NULL, 10) : 10000) * NS_PER_MS;
}

static inline int set_up_with(void **state, const struct io_ops *ops)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    bench->ops = ops;
    assert_int_equal(pool_new((uint64_t)CHUNKS * CHUNK_BYTES, &bench->pool), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bench->ends), 0);
    *state = bench;
    return ops->open(bench->pool, &bench->io) < 0 ? -1 : 0;
}

static inline int set_up_ring(void **state)
{
    return set_up_with(state, &io_ring);
}

static inline int set_up_epoll(void **state)
{
    return set_up_with(state, &io_epoll);
}

static inline void forget(struct bench *bench)
{
    for (size_t i = 0; i < bench->count; i++)
        pool_unref(bench->pool, bench->list[i].chunk);
    bench->count = 0;
}

static inline int tear_down(void **state)
{
    struct bench *bench = *state;

    forget(bench);
    bench->ops->close(bench->io);
    pool_free(bench->pool);
    for (int i = 0; i < 2; i++)
        if (bench->ends[i] >= 0)
            close(bench->ends[i]);
    free(bench);
    return 0;
}

static inline void note(void *context, const struct io_completion *completion)
{
    struct bench *bench = context;

    assert_true(bench->count < COMPLETIONS_MAX);
    assert_int_not_equal(completion->tag, 0);
    assert_true((completion->chunk != NULL) == (completion->chunk && completion->result > 0));
    bench->list[bench->count++] = *completion;
}

static inline void turn(struct bench *bench, uint64_t wait_ns)
{
    assert_int_equal(bench->ops->wait(bench->io, wait_ns, note, bench), 0);
}

/* Waits until `count` completions have come. */
static inline void await(struct bench *bench, size_t count)
{
    uint64_t deadline_ns = clock_now_ns() + timeout_ns();

    while (bench->count < count && clock_now_ns() < deadline_ns)
        turn(bench, 100 * NS_PER_MS);
    assert_int_equal(bench->count, count);
}

/* And no more of them for some turns. */
static inline void await_just(struct bench *bench, size_t count)
{
    await(bench, count);
    for (int i = 0; i < 3; i++)
        turn(bench, 2 * NS_PER_MS);
    assert_int_equal(bench->count, count);
}

static inline void expect(const struct bench *bench, size_t index, uint64_t tag, int result, bool more)
{
    assert_int_equal(bench->list[index].tag, tag);
    assert_int_equal(bench->list[index].result, result);
    assert_int_equal(bench->list[index].more, more);
}

static inline void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static inline void fill(int fd)
{
    static const char bytes[4096];

    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

static inline uint64_t drain(int fd)
{
    static char bytes[65536];
    uint64_t sum = 0;
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        sum += (uint64_t)got;
    return sum;
}

/* Runs the cases on each backend that there is; where io_uring is refused the loops have but one, and that is tested. */
static inline int run_on_backends(const struct CMUnitTest *cases, size_t count)
{
    enum { TESTS_MAX = 64 };
    const CMFixtureFunction set_ups[] = { set_up_epoll, set_up_ring };
    static struct CMUnitTest tests[TESTS_MAX];
    static char names[TESTS_MAX][80];
    size_t backends = io_probe(&io_ring) < 0 ? 1 : 2;

    assert_true(backends * count <= TESTS_MAX);
    for (size_t i = 0; i < backends * count; i++) {
        const struct CMUnitTest *one = &cases[i % count];

        snprintf(names[i], sizeof(names[i]), "%s[%s]", one->name, i < count ? "epoll" : "io_uring");
        tests[i] = (struct CMUnitTest){ names[i], one->test_func, set_ups[i / count], tear_down, NULL };
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return _cmocka_run_group_tests("io", tests, backends * count, NULL, NULL);
}

#endif
