/* What injector/io.h promises of connections and waits, asked of each backend: accepting, connecting, polls of both sides, time
 * limits, descriptor numbers that come back. */
#include "tests/unit/io_bench.h"

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

int main(void)
{
    static const struct CMUnitTest cases[] = {
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

    return run_on_backends(cases, ARRAY_SIZE(cases));
}
