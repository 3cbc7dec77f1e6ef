/* Tries a backend out: a kernel may know io_uring and not what is asked of it here, a profile may refuse a part of it. */
#include "injector/io.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <unistd.h>

#define PROBE_NS (1 * NS_PER_S)

enum { TAG_RECV = 1 };

struct probe {
    struct pool *pool;
    int result; /* of the first completion; -ETIMEDOUT before */
};

static void completed(void *context, const struct io_completion *completion)
{
    struct probe *probe = context;
    int result = completion->result;

    if (result >= 0 && (result != 1 || !completion->more || !completion->chunk || completion->chunk->bytes[0] != 'p'))
        result = -ENOTSUP;
    if (probe->result == -ETIMEDOUT)
        probe->result = result < 0 ? result : 0;
    pool_unref(probe->pool, completion->chunk);
}

static int receive(const struct io_ops *ops, struct io *io, struct probe *probe)
{
    int ends[2], result;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    ops->recv(io, TAG_RECV, ends[0], true);
    result = write(ends[1], "p", 1) == 1 ? 0 : -EIO;
    for (uint64_t end_ns = clock_now_ns() + PROBE_NS; result >= 0 && probe->result == -ETIMEDOUT && clock_now_ns() < end_ns;)
        result = ops->wait(io, PROBE_NS, completed, probe);
    close(ends[0]);
    close(ends[1]);
    return result < 0 ? result : probe->result;
}

int io_probe(const struct io_ops *ops)
{
    struct probe probe = { .result = -ETIMEDOUT };
    struct io *io;
    int result = pool_new(0, &probe.pool);

    if (result < 0)
        return result;
    result = ops->open(probe.pool, &io);
    if (result >= 0) {
        result = receive(ops, io, &probe);
        ops->close(io);
    }
    pool_free(probe.pool);
    return result;
}
