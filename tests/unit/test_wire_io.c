/* What injector/io.h promises, asked of each backend: completions and their last, ends, errors, cancelling, memory that is out,
 * two requests on one descriptor. No loop and no connection: the tests are the owner. */
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

static uint64_t timeout_ns(void)
{
    const char *text = getenv("PERTURB_TEST_TIMEOUT_MS");

    return (text ? strtoull(text, NULL, 10) : 10000) * NS_PER_MS;
}

static int set_up_with(void **state, const struct io_ops *ops)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    bench->ops = ops;
    assert_int_equal(pool_new((uint64_t)CHUNKS * CHUNK_BYTES, &bench->pool), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bench->ends), 0);
    *state = bench;
    return ops->open(bench->pool, &bench->io) < 0 ? -1 : 0;
}

static int set_up_ring(void **state)
{
    return set_up_with(state, &io_ring);
}

static int set_up_epoll(void **state)
{
    return set_up_with(state, &io_epoll);
}

static void forget(struct bench *bench)
{
    for (size_t i = 0; i < bench->count; i++)
        pool_unref(bench->pool, bench->list[i].chunk);
    bench->count = 0;
}

static int tear_down(void **state)
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

static void note(void *context, const struct io_completion *completion)
{
    struct bench *bench = context;

    assert_true(bench->count < COMPLETIONS_MAX);
    assert_int_not_equal(completion->tag, 0);
    assert_true((completion->chunk != NULL) == (completion->chunk && completion->result > 0));
    bench->list[bench->count++] = *completion;
}

static void turn(struct bench *bench, uint64_t wait_ns)
{
    assert_int_equal(bench->ops->wait(bench->io, wait_ns, note, bench), 0);
}

/* Waits until `count` completions have come. */
static void await(struct bench *bench, size_t count)
{
    uint64_t deadline_ns = clock_now_ns() + timeout_ns();

    while (bench->count < count && clock_now_ns() < deadline_ns)
        turn(bench, 100 * NS_PER_MS);
    assert_int_equal(bench->count, count);
}

/* And no more of them for some turns. */
static void await_just(struct bench *bench, size_t count)
{
    await(bench, count);
    for (int i = 0; i < 3; i++)
        turn(bench, 2 * NS_PER_MS);
    assert_int_equal(bench->count, count);
}

static void expect(const struct bench *bench, size_t index, uint64_t tag, int result, bool more)
{
    assert_int_equal(bench->list[index].tag, tag);
    assert_int_equal(bench->list[index].result, result);
    assert_int_equal(bench->list[index].more, more);
}

static void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* ---- receiving -------------------------------------------------------------------------------------------------------- */

static void test_a_repeated_receive_goes_on_to_the_end(void **state)
{
    struct bench *bench = *state;

    put(bench->ends[1], "before");
    bench->ops->recv(bench->io, 7, bench->ends[0], true);
    assert_int_equal(bench->count, 0); /* from wait only */
    await(bench, 1);
    expect(bench, 0, 7, 6, true);
    assert_memory_equal(bench->list[0].chunk->bytes, "before", 6);
    assert_int_equal(bench->list[0].chunk->filled, 6);
    for (int i = 1; i < 20; i++) {
        put(bench->ends[1], "x");
        await(bench, (size_t)i + 1);
        expect(bench, (size_t)i, 7, 1, true);
    }
    put(bench->ends[1], "last");
    (void)shutdown(bench->ends[1], SHUT_WR); /* bytes and the end at once; no EPOLLHUP while it still reads */
    await_just(bench, 22);
    expect(bench, 20, 7, 4, true);
    expect(bench, 21, 7, 0, false);
}

static void test_one_receive_takes_one_chunk(void **state)
{
    struct bench *bench = *state;

    put(bench->ends[1], "abc");
    bench->ops->recv(bench->io, 1, bench->ends[0], false);
    await_just(bench, 1);
    expect(bench, 0, 1, 3, false);
    put(bench->ends[1], "de");
    for (int i = 0; i < 3; i++)
        turn(bench, NS_PER_MS);
    assert_int_equal(bench->count, 1);
    bench->ops->recv(bench->io, 1, bench->ends[0], false); /* the same tag again */
    await_just(bench, 2);
    expect(bench, 1, 1, 2, false);
}

static void test_an_end_that_lies_ready(void **state)
{
    struct bench *bench = *state;

    close(bench->ends[1]);
    bench->ends[1] = -1;
    bench->ops->recv(bench->io, 1, bench->ends[0], true);
    await_just(bench, 1);
    expect(bench, 0, 1, 0, false);
}

/* Chunks run out; what was not received lies in the socket still, in order. */
static void test_no_chunk_is_an_error_that_passes(void **state)
{
    struct bench *bench = *state;
    struct chunk *taken[CHUNKS];
    size_t count = 0;

    turn(bench, 0);
    while (count < CHUNKS && (taken[count] = pool_chunk(bench->pool)))
        count++;
    for (int i = 0; i < 40; i++) { /* what a backend has set aside for itself is used up too */
        put(bench->ends[1], "m");
        bench->ops->recv(bench->io, 1, bench->ends[0], false);
        await(bench, (size_t)i + 1);
        if (bench->list[i].result < 0)
            break;
    }
    expect(bench, bench->count - 1, 1, -ENOBUFS, false);
    assert_false(bench->ops->can_recv(bench->io));
    while (count)
        pool_unref(bench->pool, taken[--count]);
    forget(bench);
    turn(bench, 0);
    assert_true(bench->ops->can_recv(bench->io));
    bench->ops->recv(bench->io, 1, bench->ends[0], true);
    await_just(bench, 1);
    expect(bench, 0, 1, 1, true);
    assert_int_equal(bench->list[0].chunk->bytes[0], 'm');
}

/* More than a turn's worth, with nothing to wake up for afterwards. */
static void test_a_large_backlog_comes_whole(void **state)
{
    struct bench *bench = *state;
    static char bytes[CHUNK_BYTES];
    uint64_t sent = 0, got = 0, deadline_ns = clock_now_ns() + timeout_ns();
    ssize_t more;

    (void)setsockopt(bench->ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &(int){ 8 << 20 }, sizeof(int));
    while ((more = send(bench->ends[1], bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        sent += (uint64_t)more;
    bench->ops->recv(bench->io, 1, bench->ends[0], true);
    while (got < sent && clock_now_ns() < deadline_ns) {
        turn(bench, 100 * NS_PER_MS);
        for (size_t i = 0; i < bench->count; i++) {
            if (bench->list[i].result == -ENOBUFS)
                bench->ops->recv(bench->io, 1, bench->ends[0], true);
            else
                got += (uint64_t)bench->list[i].result;
        }
        forget(bench);
    }
    assert_int_equal(got, sent);
}

/* ---- cancelling ------------------------------------------------------------------------------------------------------- */

static void test_a_cancelled_request_ends_once(void **state)
{
    struct bench *bench = *state;

    bench->ops->recv(bench->io, 1, bench->ends[0], true);
    turn(bench, 0);
    bench->ops->cancel(bench->io, 1);
    bench->ops->cancel(bench->io, 1);
    bench->ops->cancel(bench->io, 99); /* of nobody */
    await_just(bench, 1);
    expect(bench, 0, 1, -ECANCELED, false);
    put(bench->ends[1], "x");
    bench->ops->recv(bench->io, 1, bench->ends[0], true);
    await_just(bench, 2);
    expect(bench, 1, 1, 1, true);
}

static void test_cancelled_before_it_was_tried(void **state)
{
    struct bench *bench = *state;

    bench->ops->recv(bench->io, 1, bench->ends[0], false);
    bench->ops->cancel(bench->io, 1);
    await_just(bench, 1);
    expect(bench, 0, 1, -ECANCELED, false);
    bench->ops->poll(bench->io, 2, bench->ends[0], POLLIN);
    bench->ops->recv(bench->io, 3, bench->ends[0], true);
    turn(bench, 0);
    bench->ops->cancel(bench->io, 2);
    await_just(bench, 2);
    expect(bench, 1, 2, -ECANCELED, false);
    put(bench->ends[1], "x");
    await_just(bench, 3);
    expect(bench, 2, 3, 1, true);
}

/* ---- sending ---------------------------------------------------------------------------------------------------------- */

static void fill(int fd)
{
    static const char bytes[4096];

    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

static uint64_t drain(int fd)
{
    static char bytes[65536];
    uint64_t sum = 0;
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        sum += (uint64_t)got;
    return sum;
}

static void test_parts_are_sent_in_order(void **state)
{
    struct bench *bench = *state;
    struct iovec parts[] = { { (char[]){ "one " }, 4 }, { (char[]){ "two " }, 4 }, { (char[]){ "three" }, 5 } };
    char got[16] = "";

    bench->ops->send(bench->io, 5, bench->ends[0], parts, 3);
    memset(parts, 0, sizeof(parts)); /* borrowed for the call only */
    await_just(bench, 1);
    expect(bench, 0, 5, 13, false);
    assert_int_equal(read(bench->ends[1], got, sizeof(got)), 13);
    assert_string_equal(got, "one two three");
}

/* Does not block, ends when there is room; the other direction goes on meanwhile. */
static void test_a_send_waits_for_room(void **state)
{
    struct bench *bench = *state;
    static char large[1 << 20];
    struct iovec part = { large, sizeof(large) };
    uint64_t sent = 0, got = 0, deadline_ns = clock_now_ns() + timeout_ns();
    size_t seen = 0;

    fill(bench->ends[0]);
    bench->ops->recv(bench->io, 2, bench->ends[0], true);
    bench->ops->send(bench->io, 1, bench->ends[0], &part, 1);
    for (int i = 0; i < 3; i++)
        turn(bench, NS_PER_MS);
    assert_int_equal(bench->count, 0);
    put(bench->ends[1], "x");
    await(bench, 1);
    expect(bench, 0, 2, 1, true);
    (void)drain(bench->ends[1]);
    for (seen = 1; sent < sizeof(large) && clock_now_ns() < deadline_ns;) {
        turn(bench, 5 * NS_PER_MS);
        for (; seen < bench->count; seen++) {
            assert_int_equal(bench->list[seen].tag, 1);
            assert_true(bench->list[seen].result > 0 || bench->list[seen].result == -EAGAIN);
            sent += (uint64_t)MAX(bench->list[seen].result, 0);
            part = (struct iovec){ large + sent, sizeof(large) - sent };
            if (part.iov_len)
                bench->ops->send(bench->io, 1, bench->ends[0], &part, 1);
        }
        got += drain(bench->ends[1]);
    }
    got += drain(bench->ends[1]);
    assert_int_equal(sent, sizeof(large));
    assert_true(got >= sent);
}

static void test_a_send_to_nobody(void **state)
{
    struct bench *bench = *state;
    struct iovec part = { (char[]){ "x" }, 1 };

    close(bench->ends[1]);
    bench->ends[1] = -1;
    bench->ops->send(bench->io, 1, bench->ends[0], &part, 1); /* and no SIGPIPE */
    await_just(bench, 1);
    expect(bench, 0, 1, -EPIPE, false);
}

static void test_a_send_that_waits_hears_of_the_end(void **state)
{
    struct bench *bench = *state;
    struct iovec part = { (char[]){ "x" }, 1 };

    fill(bench->ends[0]);
    bench->ops->send(bench->io, 1, bench->ends[0], &part, 1);
    turn(bench, 0);
    close(bench->ends[1]);
    bench->ends[1] = -1;
    await(bench, 1);
    if (bench->list[0].result == -EAGAIN) {
        bench->ops->send(bench->io, 1, bench->ends[0], &part, 1);
        await(bench, 2);
    }
    assert_true(bench->list[bench->count - 1].result == -EPIPE || bench->list[bench->count - 1].result == -ECONNRESET);
    assert_false(bench->list[bench->count - 1].more);
}

/* ---- accepting and connecting ----------------------------------------------------------------------------------------- */

static int listener(struct sockaddr_in *address, int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(*address);

    *address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(bind(fd, (struct sockaddr *)address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
    if (backlog)
        assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static bool is_blocking(int fd)
{
    return !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void test_accepts_and_connects(void **state)
{
    struct bench *bench = *state;
    struct sockaddr_in address;
    int listen_fd = listener(&address, 16), fds[3];

    bench->ops->accept(bench->io, 1, listen_fd);
    turn(bench, 0);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bench->ops->connect(bench->io, 10 + i, fds[i], (struct sockaddr *)&address, sizeof(address));
    }
    await_just(bench, 6);
    for (size_t i = 0; i < 6; i++) {
        const struct io_completion *completion = &bench->list[i];

        assert_int_equal(completion->more, completion->tag == 1);
        assert_true(completion->tag == 1 ? completion->result > 2 : completion->result == 0);
        if (completion->tag != 1)
            continue;
        assert_true(is_blocking(completion->result));
        assert_true(fcntl(completion->result, F_GETFD) & FD_CLOEXEC);
        close(completion->result);
    }
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        assert_true(is_blocking(fds[i]));
        close(fds[i]);
    }
    bench->ops->cancel(bench->io, 1);
    await_just(bench, 7);
    expect(bench, 6, 1, -ECANCELED, false);
    close(listen_fd);
}

static void test_a_listener_that_is_shut_down(void **state)
{
    struct bench *bench = *state;
    struct sockaddr_in address;
    int listen_fd = listener(&address, 16);

    bench->ops->accept(bench->io, 1, listen_fd);
    turn(bench, 0);
    (void)shutdown(listen_fd, SHUT_RDWR);
    await_just(bench, 1);
    assert_true(bench->list[0].result < 0);
    assert_false(bench->list[0].more);
    close(listen_fd);
}

static void test_a_refused_connect(void **state)
{
    struct bench *bench = *state;
    struct sockaddr_in address;
    int bound_fd = listener(&address, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    bench->ops->connect(bench->io, 1, fd, (struct sockaddr *)&address, sizeof(address));
    await_just(bench, 1);
    expect(bench, 0, 1, -ECONNREFUSED, false);
    close(fd);
    close(bound_fd);
}

/* A listener whose queue is full answers no SYN: the connect neither blocks nor ends, until it is cancelled. */
static void test_a_connect_nobody_answers(void **state)
{
    struct bench *bench = *state;
    struct sockaddr_in address;
    int listen_fd = listener(&address, 1), fds[8];

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bench->ops->connect(bench->io, 1 + i, fds[i], (struct sockaddr *)&address, sizeof(address));
        turn(bench, 20 * NS_PER_MS);
    }
    assert_true(bench->count < ARRAY_SIZE(fds));
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        bench->ops->cancel(bench->io, 1 + i);
    await_just(bench, ARRAY_SIZE(fds));
    expect(bench, ARRAY_SIZE(fds) - 1, bench->list[ARRAY_SIZE(fds) - 1].tag, -ECANCELED, false);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    close(listen_fd);
}

/* The same over a Unix socket, where connect(2) says EAGAIN and no event tells of room. */
static void test_a_full_unix_backlog(void **state)
{
    struct bench *bench = *state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t size = sizeof(sa_family_t);
    int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fds[4];
    size_t before;

    assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, size), 0); /* unix(7), autobind */
    size = sizeof(address);
    assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listen(listen_fd, 0), 0);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bench->ops->connect(bench->io, 1 + i, fds[i], (struct sockaddr *)&address, size);
    }
    for (int i = 0; i < 5; i++)
        turn(bench, 5 * NS_PER_MS);
    before = bench->count;
    assert_true(before < ARRAY_SIZE(fds));
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        int fd = accept(listen_fd, NULL, NULL);

        assert_true(fd >= 0);
        close(fd);
        turn(bench, 5 * NS_PER_MS);
    }
    await_just(bench, ARRAY_SIZE(fds));
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        assert_int_equal(bench->list[i].result, 0);
        close(fds[i]);
    }
    close(listen_fd);
}

/* ---- waiting ---------------------------------------------------------------------------------------------------------- */

static void test_readable_repeats(void **state)
{
    struct bench *bench = *state;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t drained;

    bench->ops->readable(bench->io, 9, fd);
    turn(bench, 0);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(write(fd, &(uint64_t){ 1 }, 8), 8);
        await(bench, i + 1);
        assert_true(bench->list[i].result & POLLIN);
        assert_true(bench->list[i].more);
        assert_int_equal(read(fd, &drained, 8), 8);
    }
    close(bench->ends[0]);
    bench->ends[0] = fd;
}

static void test_polls_of_both_sides(void **state)
{
    struct bench *bench = *state;

    bench->ops->poll(bench->io, 1, bench->ends[0], POLLIN);
    bench->ops->poll(bench->io, 2, bench->ends[0], POLLOUT);
    await_just(bench, 1);
    assert_int_equal(bench->list[0].tag, 2);
    assert_true(bench->list[0].result & POLLOUT);
    assert_false(bench->list[0].more);
    put(bench->ends[1], "x");
    await_just(bench, 2);
    assert_int_equal(bench->list[1].tag, 1);
    assert_true(bench->list[1].result & POLLIN);
    fill(bench->ends[0]);
    bench->ops->poll(bench->io, 3, bench->ends[0], POLLOUT);
    for (int i = 0; i < 3; i++)
        turn(bench, NS_PER_MS);
    assert_int_equal(bench->count, 2);
    (void)drain(bench->ends[1]);
    await_just(bench, 3);
    assert_true(bench->list[2].result & POLLOUT);
}

static void test_a_wait_ends_in_time(void **state)
{
    struct bench *bench = *state;
    uint64_t begun_ns, took_ns;

    bench->ops->recv(bench->io, 1, bench->ends[0], true);
    turn(bench, 0);
    turn(bench, 0);
    begun_ns = clock_now_ns();
    turn(bench, 3 * NS_PER_MS);
    took_ns = clock_now_ns() - begun_ns;
    assert_true(took_ns >= 3 * NS_PER_MS - NS_PER_MS / 10);
    begun_ns = clock_now_ns();
    for (int i = 0; i < 1000; i++)
        turn(bench, 0);
    assert_true(clock_now_ns() - begun_ns < timeout_ns());
    assert_int_equal(bench->count, 0);
}

/* A number that is closed and comes back is another socket. */
static void test_descriptor_numbers_come_back(void **state)
{
    struct bench *bench = *state;

    for (int i = 0; i < 200; i++) {
        int fd = bench->ends[0];

        bench->ops->recv(bench->io, 1, fd, true);
        turn(bench, 0);
        put(bench->ends[1], "x");
        await(bench, 1);
        bench->ops->cancel(bench->io, 1);
        await(bench, 2);
        expect(bench, 0, 1, 1, true);
        expect(bench, 1, 1, -ECANCELED, false);
        forget(bench);
        close(bench->ends[0]);
        close(bench->ends[1]);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bench->ends), 0);
        assert_int_equal(bench->ends[0], fd);
    }
}

static void test_the_probe(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(io_probe(bench->ops), 0);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_the_probe),
        cmocka_unit_test(test_a_repeated_receive_goes_on_to_the_end),
        cmocka_unit_test(test_one_receive_takes_one_chunk),
        cmocka_unit_test(test_an_end_that_lies_ready),
        cmocka_unit_test(test_no_chunk_is_an_error_that_passes),
        cmocka_unit_test(test_a_large_backlog_comes_whole),
        cmocka_unit_test(test_a_cancelled_request_ends_once),
        cmocka_unit_test(test_cancelled_before_it_was_tried),
        cmocka_unit_test(test_parts_are_sent_in_order),
        cmocka_unit_test(test_a_send_waits_for_room),
        cmocka_unit_test(test_a_send_to_nobody),
        cmocka_unit_test(test_a_send_that_waits_hears_of_the_end),
        cmocka_unit_test(test_accepts_and_connects),
        cmocka_unit_test(test_a_listener_that_is_shut_down),
        cmocka_unit_test(test_a_refused_connect),
        cmocka_unit_test(test_a_connect_nobody_answers),
        cmocka_unit_test(test_a_full_unix_backlog),
        cmocka_unit_test(test_readable_repeats),
        cmocka_unit_test(test_polls_of_both_sides),
        cmocka_unit_test(test_a_wait_ends_in_time),
        cmocka_unit_test(test_descriptor_numbers_come_back),
    };
    const CMFixtureFunction set_ups[] = { set_up_epoll, set_up_ring };
    static struct CMUnitTest tests[2 * ARRAY_SIZE(cases)];
    static char names[2 * ARRAY_SIZE(cases)][80];
    size_t backends = io_probe(&io_ring) < 0 ? 1 : 2; /* where io_uring is refused the loops have but one, and that is tested */

    for (size_t i = 0; i < backends * ARRAY_SIZE(cases); i++) {
        const struct CMUnitTest *one = &cases[i % ARRAY_SIZE(cases)];

        snprintf(names[i], sizeof(names[i]), "%s[%s]", one->name, i < ARRAY_SIZE(cases) ? "epoll" : "io_uring");
        tests[i] = (struct CMUnitTest){ names[i], one->test_func, set_ups[i / ARRAY_SIZE(cases)], tear_down, NULL };
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return _cmocka_run_group_tests("io", tests, backends * ARRAY_SIZE(cases), NULL, NULL);
}
