/* The io_uring backend: one ring, one thread, one enter a turn.
 *
 * 1. There are two provided-buffer rings, of large chunks and of small ones: of the first a few, that stay in the cache; of the second
 *    as many as there are messages at a time (they double when they did not suffice), so that a burst of small messages over many
 *    connections neither finds no buffer nor wanders through large ones. A buffer that was handed on is replaced by another chunk of the
 *    pool, so that held bytes do not starve a ring before the pool is empty.
 * 2. msghdr, iovec and addresses live until the next submission only: the kernel copies them then (IORING_FEAT_SUBMIT_STABLE).
 * Ground: io_uring_enter(2), io_uring_setup(2), io_uring_register(2); kernel 6.0 for multishot receive. */
#include "injector/io.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/param.h>

enum {
    SQ_ENTRIES = 1024,
    CQ_ENTRIES = 16384,
    LARGE_BUFFERS = 32, /* of CHUNK_BYTES: 1 MiB, half the second-level cache of a core */
    SMALL_BUFFERS_FIRST = 64,
    SMALL_BUFFERS_MAX = 1024, /* of CHUNK_SMALL_BYTES: 2 MiB */
    SLOTS = LARGE_BUFFERS + SMALL_BUFFERS_MAX,
    BATCH_MAX = 32, /* completions handled in one turn: deadlines and the lease are looked at between */
};

struct message_slot {
    struct msghdr head;
    struct iovec parts[IO_PARTS_MAX];
};

enum { GROUP_LARGE, GROUP_SMALL, GROUPS };

/* A ring of buffers. A buffer's number is its slot, the groups' slots lie one behind the other. */
struct group {
    struct io_uring_buf_ring *buffers;
    uint32_t capacity, wanted, held; /* entries; how many the kernel should have, and has */
    uint16_t free[SMALL_BUFFERS_MAX]; /* slots at rest: capacity - held of them */
};

struct io {
    struct io_uring ring;
    struct group groups[GROUPS];
    struct chunk *slots[SLOTS];
    struct pool *pool;
    struct message_slot *messages; /* SQ_ENTRIES of them */
    uint32_t messages_used;
    bool fell_short; /* of buffers, in this turn */
};

static const unsigned setup_flags[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQSIZE,
    IORING_SETUP_CQSIZE,
};

static int open_ring(struct io_uring *ring)
{
    int result = -EINVAL;

    for (size_t i = 0; i < ARRAY_SIZE(setup_flags) && result == -EINVAL; i++) {
        struct io_uring_params params = { .flags = setup_flags[i], .cq_entries = CQ_ENTRIES };

        result = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
    }
    return result;
}

/* Hands chunks to the kernel until it has as many as wanted or the pool is empty. */
static void top_up_group(struct io *io, int index)
{
    struct group *group = &io->groups[index];
    int added = 0;

    while (group->held < group->wanted) {
        struct chunk *chunk = index == GROUP_SMALL ? pool_chunk_small(io->pool) : pool_chunk(io->pool);
        uint16_t slot;

        if (!chunk)
            break;
        slot = group->free[group->capacity - ++group->held];
        io->slots[slot] = chunk;
        io_uring_buf_ring_add(group->buffers, chunk->bytes, chunk->capacity, slot, io_uring_buf_ring_mask(group->capacity), added++);
    }
    if (added)
        io_uring_buf_ring_advance(group->buffers, added);
}

static void top_up(struct io *io)
{
    for (int index = 0; index < GROUPS; index++)
        top_up_group(io, index);
}

/* The chunk of a slot that the kernel has filled or not: the slot is at rest again. */
static struct chunk *take_back(struct io *io, uint32_t slot)
{
    struct group *group = &io->groups[slot < LARGE_BUFFERS ? GROUP_LARGE : GROUP_SMALL];

    assert(slot < SLOTS && group->held);
    group->free[group->capacity - group->held--] = (uint16_t)slot;
    return io->slots[slot];
}

static int open_group(struct io *io, int index, uint32_t capacity, uint32_t wanted, uint32_t first_slot)
{
    struct io_uring_buf_reg request = { .ring_entries = capacity, .bgid = (uint16_t)index };
    struct group *group = &io->groups[index];
    void *memory;
    int result = posix_memalign(&memory, 4096, capacity * sizeof(struct io_uring_buf));

    if (result)
        return -result;
    group->buffers = memory;
    group->capacity = capacity;
    group->wanted = wanted;
    for (uint32_t i = 0; i < capacity; i++)
        group->free[i] = (uint16_t)(first_slot + i);
    io_uring_buf_ring_init(group->buffers);
    request.ring_addr = (uint64_t)(uintptr_t)memory;
    result = io_uring_register_buf_ring(&io->ring, &request, 0);
    if (result < 0)
        return result;
    top_up_group(io, index);
    return 0;
}

static int open_buffers(struct io *io)
{
    int result = open_group(io, GROUP_LARGE, LARGE_BUFFERS, LARGE_BUFFERS, 0);

    return result < 0 ? result : open_group(io, GROUP_SMALL, SMALL_BUFFERS_MAX, SMALL_BUFFERS_FIRST, LARGE_BUFFERS);
}

static void ring_close(struct io *io)
{
    if (!io)
        return;
    io_uring_queue_exit(&io->ring);
    for (int index = 0; index < GROUPS; index++)
        free(io->groups[index].buffers);
    free(io->messages);
    free(io);
}

static int ring_open(struct pool *pool, struct io **ret_io)
{
    struct io *io = calloc(1, sizeof(*io));
    int result;

    if (!io)
        return -ENOMEM;
    io->pool = pool;
    result = open_ring(&io->ring);
    if (result < 0) {
        free(io);
        return result;
    }
    io->messages = calloc(SQ_ENTRIES, sizeof(*io->messages));
    result = io->messages ? open_buffers(io) : -ENOMEM;
    if (result < 0) {
        ring_close(io);
        return result;
    }
    (void)io_uring_register_ring_fd(&io->ring); /* saves a lookup an enter; refused is fine */
    *ret_io = io;
    return 0;
}

static struct io_uring_sqe *get_sqe(struct io *io, uint64_t tag)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);

    if (!sqe) {
        (void)io_uring_submit(&io->ring);
        io->messages_used = 0;
        sqe = io_uring_get_sqe(&io->ring);
        assert(sqe);
    }
    io_uring_sqe_set_data64(sqe, tag);
    return sqe;
}

static void ring_accept(struct io *io, uint64_t tag, int fd)
{
    struct io_uring_sqe *sqe = get_sqe(io, tag);

    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, tag);
}

/* From the group asked for, or from the other while that is empty. */
static void recv_from(struct io *io, uint64_t tag, int fd, bool repeat, int group)
{
    struct io_uring_sqe *sqe = get_sqe(io, tag);

    if (!io->groups[group].held)
        group = !group;
    if (repeat)
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    else
        io_uring_prep_recv(sqe, fd, NULL, group == GROUP_SMALL ? CHUNK_SMALL_BYTES : CHUNK_BYTES, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = (uint16_t)group;
    io_uring_sqe_set_data64(sqe, tag);
}

static void ring_recv(struct io *io, uint64_t tag, int fd, bool repeat)
{
    recv_from(io, tag, fd, repeat, GROUP_LARGE);
}

static void ring_recv_small(struct io *io, uint64_t tag, int fd, bool repeat)
{
    recv_from(io, tag, fd, repeat, GROUP_SMALL);
}

static void ring_send(struct io *io, uint64_t tag, int fd, const struct iovec *parts, uint32_t count)
{
    struct io_uring_sqe *sqe = get_sqe(io, tag);

    assert(count && count <= IO_PARTS_MAX);
    if (count == 1) {
        io_uring_prep_send(sqe, fd, parts->iov_base, parts->iov_len, MSG_WAITALL | MSG_NOSIGNAL);
    } else {
        struct message_slot *slot = &io->messages[io->messages_used++];

        memcpy(slot->parts, parts, count * sizeof(*parts));
        slot->head = (struct msghdr){ .msg_iov = slot->parts, .msg_iovlen = count };
        io_uring_prep_sendmsg(sqe, fd, &slot->head, MSG_WAITALL | MSG_NOSIGNAL);
    }
    io_uring_sqe_set_data64(sqe, tag);
}

static void ring_connect(struct io *io, uint64_t tag, int fd, const struct sockaddr *address, socklen_t size)
{
    struct io_uring_sqe *sqe = get_sqe(io, tag);
    struct message_slot *slot = &io->messages[io->messages_used++];

    _Static_assert(sizeof(slot->parts) >= sizeof(struct sockaddr_storage), "the address finds no room");
    memcpy(slot->parts, address, size);
    io_uring_prep_connect(sqe, fd, (const struct sockaddr *)(const void *)slot->parts, size);
    io_uring_sqe_set_data64(sqe, tag);
}

static void ring_readable(struct io *io, uint64_t tag, int fd)
{
    struct io_uring_sqe *sqe = get_sqe(io, tag);

    io_uring_prep_poll_multishot(sqe, fd, 1 /* POLLIN */);
    io_uring_sqe_set_data64(sqe, tag);
}

static void ring_poll(struct io *io, uint64_t tag, int fd, short events)
{
    struct io_uring_sqe *sqe = get_sqe(io, tag);

    io_uring_prep_poll_add(sqe, fd, (unsigned)events);
    io_uring_sqe_set_data64(sqe, tag);
}

static void ring_cancel(struct io *io, uint64_t tag)
{
    struct io_uring_sqe *sqe = get_sqe(io, 0);

    io_uring_prep_cancel64(sqe, tag, 0);
    io_uring_sqe_set_data64(sqe, 0);
}

static void hand_over(struct io *io, const struct io_uring_cqe *cqe, io_complete *complete, void *context)
{
    struct io_completion completion = {
        .tag = cqe->user_data,
        .result = cqe->res,
        .more = (cqe->flags & IORING_CQE_F_MORE) != 0,
    };

    if (!cqe->user_data)
        return;
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        completion.chunk = take_back(io, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        if (cqe->res <= 0) {
            pool_unref(io->pool, completion.chunk);
            completion.chunk = NULL;
        } else {
            completion.chunk->filled = (uint32_t)cqe->res;
        }
    }
    if (cqe->res == -ENOBUFS)
        io->fell_short = true;
    complete(context, &completion);
}

static int ring_wait(struct io *io, uint64_t timeout_ns, io_complete *complete, void *context)
{
    struct __kernel_timespec timeout = { .tv_sec = (int64_t)(timeout_ns / NS_PER_S), .tv_nsec = (long long)(timeout_ns % NS_PER_S) };
    struct io_uring_cqe *cqes[BATCH_MAX], *first;
    uint32_t count;
    int result;

    top_up(io);
    if (timeout_ns)
        result = io_uring_submit_and_wait_timeout(&io->ring, &first, 1, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);
    else
        result = io_uring_submit_and_get_events(&io->ring); /* a wait of nothing would sleep for some us all the same */
    io->messages_used = 0;
    if (result < 0 && result != -ETIME && result != -EINTR && result != -EAGAIN && result != -EBUSY)
        return result;
    count = io_uring_peek_batch_cqe(&io->ring, cqes, ARRAY_SIZE(cqes));
    for (uint32_t i = 0; i < count; i++)
        hand_over(io, cqes[i], complete, context);
    io_uring_cq_advance(&io->ring, count);
    if (io->fell_short && !io->groups[GROUP_SMALL].held)
        io->groups[GROUP_SMALL].wanted = MIN(2 * io->groups[GROUP_SMALL].wanted, (uint32_t)SMALL_BUFFERS_MAX);
    io->fell_short = false;
    top_up(io);
    return 0;
}

static bool ring_can_recv(const struct io *io)
{
    return io->groups[GROUP_LARGE].held > 0 || io->groups[GROUP_SMALL].held > 0;
}

const struct io_ops io_ring = {
    .name = "io_uring",
    .open = ring_open,
    .close = ring_close,
    .accept = ring_accept,
    .recv = ring_recv,
    .recv_small = ring_recv_small,
    .send = ring_send,
    .connect = ring_connect,
    .readable = ring_readable,
    .poll = ring_poll,
    .cancel = ring_cancel,
    .wait = ring_wait,
    .can_recv = ring_can_recv,
};
