/* What injector/io.h promises of bytes, asked of each backend: completions and their last, ends, errors, memory that is out,
 * cancelling. No loop and no connection: the tests are the owner. */
#include "tests/unit/io_bench.h"

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
    struct chunk *taken[8 * CHUNKS];
    size_t count = 0;

    turn(bench, 0);
    while (count < ARRAY_SIZE(taken) && ((taken[count] = pool_chunk(bench->pool)) || (taken[count] = pool_chunk_small(bench->pool))))
        count++;
    for (int i = 0; i < 200; i++) { /* what a backend has set aside for itself is used up too */
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
    };

    return run_on_backends(cases, ARRAY_SIZE(cases));
}
