/* The epoll backend: for where the kernel refuses io_uring. One epoll, one thread; a system call is made where the ring would queue.
 *
 * 1. Attempt first: a request tries its system call once (MSG_DONTWAIT), a send or connect as it is asked for, the others in the
 *    next wait; only one that would block has its descriptor registered. So nothing that came before the registration is missed.
 * 2. Registrations are edge-triggered and stay until the descriptor is closed; for writing they are widened when a send first
 *    blocks. What is known of a descriptor is forgotten with its last request, as its number may then be another socket's.
 * 3. An edge without EPOLLRDHUP lets a short receive stand for "drained": an end that comes later is an edge of its own. All other
 *    attempts go on until the kernel says EAGAIN.
 * 4. A request is freed by its own last completion, and after it was taken out of every table: the callback may ask for the same tag
 *    again. One that is queued is served by the queue alone.
 * 5. Tables are set aside as address space and touched as needed: no request fails for want of memory here.
 * Ground: epoll(7), epoll_ctl(2), epoll_pwait2(2), connect(2), unix(7). */
#include "injector/io.h"

#include "scenarios/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <unistd.h>

enum {
    REQUESTS_MAX = 1 << 21, /* 262,144 connections with eight each */
    WATCHES_MAX = 1 << 22,  /* descriptor numbers; fs.nr_open is 1 << 20 unless changed */
    BUCKETS = 1 << 16,      /* of the table of tags */
    EVENTS_MAX = 256,
    RECEIVES_MAX = 32, /* chunks received in one turn, as many as the ring would have */
    RECEIVES_EACH_MAX = 8,
    ACCEPTS_MAX = 64, /* of a listener in one turn */
};

#define DIAL_RETRY_NS (1 * NS_PER_MS) /* a Unix listener whose backlog is full tells nobody when it has room */
#define EDGES_IN (EPOLLIN | EPOLLRDHUP | EPOLLET)
#define EDGES_END (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

enum kind { KIND_ACCEPT, KIND_RECV, KIND_SEND, KIND_CONNECT, KIND_POLL };

struct request {
    uint64_t tag;
    int fd;
    int32_t result; /* of a finished one */
    uint32_t events; /* what it waits for */
    uint8_t kind;
    bool repeat, queued, finished, linked;
    bool short_is_drained; /* its last edge told of no end */
    struct request *next_queued, *next_of_fd, *next_of_tag;
    struct dial *dial; /* owned: of a connect to be tried again; else NULL */
};

struct dial {
    socklen_t size;
    struct sockaddr_storage address;
};

/* What is known of a descriptor number; nothing (zeros) while it has no request. */
struct watch {
    struct request *first;
    uint32_t registered; /* events */
};

struct io {
    int fd;
    bool without_pwait2;
    bool skipped; /* the last wait did not look at the descriptors */
    struct pool *pool;
    struct request *requests, *free;
    struct watch *watches;
    struct request **tags; /* BUCKETS chains of the linked ones */
    uint32_t requests_used;
    uint32_t dials_waiting;
    uint32_t receives_left; /* of this turn */
    struct request *queue_first, *queue_last; /* to be attempted, or finished and to be told */
    io_complete *complete; /* of the wait under way */
    void *context;
    struct epoll_event events[EVENTS_MAX];
};

/* ---- tables ----------------------------------------------------------------------------------------------------------- */

static void *set_aside(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void epoll_close(struct io *io)
{
    if (!io)
        return;
    for (uint32_t i = 0; io->requests && i < io->requests_used; i++)
        free(io->requests[i].dial);
    if (io->fd >= 0)
        close(io->fd);
    if (io->requests)
        munmap(io->requests, REQUESTS_MAX * sizeof(*io->requests));
    if (io->watches)
        munmap(io->watches, WATCHES_MAX * sizeof(*io->watches));
    free(io->tags);
    free(io);
}

static int epoll_open(struct pool *pool, struct io **ret_io)
{
    struct io *io = calloc(1, sizeof(*io));
    int result = 0;

    if (!io)
        return -ENOMEM;
    io->pool = pool;
    io->fd = epoll_create1(EPOLL_CLOEXEC);
    if (io->fd < 0)
        result = -errno;
    io->requests = set_aside(REQUESTS_MAX * sizeof(*io->requests));
    io->watches = set_aside(WATCHES_MAX * sizeof(*io->watches));
    io->tags = calloc(BUCKETS, sizeof(*io->tags));
    if (!result && (!io->requests || !io->watches || !io->tags))
        result = -ENOMEM;
    if (result < 0) {
        epoll_close(io);
        return result;
    }
    *ret_io = io;
    return 0;
}

static struct request *request_new(struct io *io, enum kind kind, uint64_t tag, int fd)
{
    struct request *request = io->free;

    if (request) {
        io->free = request->next_queued;
    } else {
        assert(io->requests_used < REQUESTS_MAX);
        request = &io->requests[io->requests_used++];
    }
    *request = (struct request){ .tag = tag, .fd = fd, .kind = (uint8_t)kind };
    return request;
}

static void queue_add(struct io *io, struct request *request)
{
    if (request->queued)
        return;
    request->queued = true;
    request->next_queued = NULL;
    if (io->queue_last)
        io->queue_last->next_queued = request;
    else
        io->queue_first = request;
    io->queue_last = request;
}

static void finish_later(struct io *io, struct request *request, int result)
{
    request->result = result;
    request->finished = true;
    queue_add(io, request);
}

static struct request **bucket_of(const struct io *io, uint64_t tag)
{
    return &io->tags[tag * UINT64_C(0x9E3779B97F4A7C15) >> 48];
}

/* From here on it can be cancelled and hears of its descriptor. */
static void link_request(struct io *io, struct request *request)
{
    struct request **bucket = bucket_of(io, request->tag);
    struct watch *watch = &io->watches[request->fd];

    request->next_of_tag = *bucket;
    *bucket = request;
    request->next_of_fd = watch->first;
    watch->first = request;
    request->linked = true;
}

static void unlink_request(struct io *io, struct request *request)
{
    struct watch *watch = &io->watches[request->fd];
    struct request **at = bucket_of(io, request->tag);

    if (!request->linked)
        return;
    while (*at != request)
        at = &(*at)->next_of_tag;
    *at = request->next_of_tag;
    for (at = &watch->first; *at != request; at = &(*at)->next_of_fd)
        ;
    *at = request->next_of_fd;
    if (!watch->first)
        watch->registered = 0;
}

static void tell(const struct io *io, uint64_t tag, int result, bool more, struct chunk *chunk)
{
    struct io_completion completion = { .tag = tag, .result = result, .more = more, .chunk = chunk };

    io->complete(io->context, &completion);
}

static void finish(struct io *io, struct request *request, int result, struct chunk *chunk)
{
    uint64_t tag = request->tag;

    unlink_request(io, request);
    if (request->dial)
        io->dials_waiting--;
    free(request->dial);
    request->dial = NULL;
    request->next_queued = io->free;
    io->free = request;
    tell(io, tag, result, false, chunk);
}

/* The descriptor is to wake us for `events` and for what it does already. Errors come as a completion. */
static void wait_for(struct io *io, struct request *request, uint32_t events)
{
    struct watch *watch = &io->watches[request->fd];
    struct epoll_event event = { .events = watch->registered | events | EDGES_IN, .data.fd = request->fd };

    request->events = events;
    if (watch->registered == event.events)
        return;
    if (epoll_ctl(io->fd, watch->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, request->fd, &event) < 0 &&
        (errno != EEXIST || epoll_ctl(io->fd, EPOLL_CTL_MOD, request->fd, &event) < 0)) {
        finish_later(io, request, -errno);
        return;
    }
    watch->registered = event.events;
}

/* ---- attempts --------------------------------------------------------------------------------------------------------- */

static void attempt_accept(struct io *io, struct request *request)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(request->fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0 && errno == EAGAIN) {
            wait_for(io, request, EPOLLIN);
            return;
        }
        if (fd < 0) {
            finish(io, request, -errno, NULL);
            return;
        }
        tell(io, request->tag, fd, true, NULL);
        if (request->finished)
            return;
    }
    queue_add(io, request);
}

/* One receive. True: go on, there may be more. */
static bool receive_once(struct io *io, struct request *request)
{
    struct chunk *chunk = pool_chunk(io->pool);
    ssize_t got;

    if (!chunk) {
        finish(io, request, -ENOBUFS, NULL);
        return false;
    }
    got = recv(request->fd, chunk->bytes, CHUNK_BYTES, MSG_DONTWAIT);
    if (got > 0) {
        io->receives_left--;
        chunk->filled = (uint32_t)got;
        if (!request->repeat) {
            finish(io, request, (int)got, chunk);
            return false;
        }
        tell(io, request->tag, (int)got, true, chunk);
        return !request->finished && !(request->short_is_drained && got < CHUNK_BYTES);
    }
    pool_unref(io->pool, chunk);
    if (got < 0 && errno == EAGAIN)
        wait_for(io, request, EPOLLIN);
    else
        finish(io, request, got < 0 ? -errno : 0, NULL);
    return false;
}

static void attempt_recv(struct io *io, struct request *request)
{
    for (int i = 0; i < RECEIVES_EACH_MAX && io->receives_left; i++)
        if (!receive_once(io, request))
            return;
    queue_add(io, request);
}

static void attempt_poll(struct io *io, struct request *request)
{
    struct pollfd polled = { .fd = request->fd, .events = (short)request->events };
    int ready = poll(&polled, 1, 0);

    if (ready <= 0)
        wait_for(io, request, request->events);
    else if (!request->repeat)
        finish(io, request, polled.revents, NULL);
    else
        tell(io, request->tag, polled.revents, true, NULL);
    if (ready > 0 && request->repeat && !request->finished)
        wait_for(io, request, request->events);
}

/* 0, or -EINPROGRESS, or -EAGAIN of a Unix listener without room, or why not. The socket is in blocking mode before and after. */
static int dial(int fd, const struct sockaddr *address, socklen_t size)
{
    int result;

    if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        return -errno;
    result = connect(fd, address, size) < 0 ? -errno : 0;
    (void)fcntl(fd, F_SETFL, O_RDWR);
    return result;
}

static void attempt_connect(struct io *io, struct request *request)
{
    struct pollfd polled = { .fd = request->fd, .events = POLLOUT };
    int failure = 0;
    socklen_t size = sizeof(failure);

    if (request->dial) {
        failure = dial(request->fd, (const struct sockaddr *)&request->dial->address, request->dial->size);
        if (failure != -EAGAIN)
            finish(io, request, failure, NULL);
        return;
    }
    if (poll(&polled, 1, 0) <= 0)
        return;
    if (getsockopt(request->fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
        failure = errno;
    finish(io, request, -failure, NULL);
}

static void attempt(struct io *io, struct request *request)
{
    if (request->kind == KIND_ACCEPT)
        attempt_accept(io, request);
    else if (request->kind == KIND_RECV)
        attempt_recv(io, request);
    else if (request->kind == KIND_POLL)
        attempt_poll(io, request);
    else
        attempt_connect(io, request);
}

/* The descriptor changed. */
static void serve(struct io *io, struct request *request, uint32_t events)
{
    uint32_t ends = request->events & EPOLLIN ? EDGES_END : EPOLLHUP | EPOLLERR;

    if (request->queued)
        request->short_is_drained &= !(events & EDGES_END); /* the end is not to be missed when its turn comes */
    if (request->queued || !(events & (request->events | ends)))
        return;
    request->short_is_drained = !(events & EDGES_END);
    if (request->kind == KIND_RECV)
        attempt_recv(io, request);
    else if (request->kind == KIND_SEND)
        finish(io, request, -EAGAIN, NULL); /* its owner has the bytes still and asks again */
    else if (request->kind == KIND_POLL && !request->repeat)
        finish(io, request, (int)events, NULL);
    else if (request->kind == KIND_POLL)
        tell(io, request->tag, (int)events, true, NULL);
    else
        attempt(io, request);
}

/* ---- requests --------------------------------------------------------------------------------------------------------- */

/* To be attempted in the next wait. */
static struct request *request_queue(struct io *io, enum kind kind, uint64_t tag, int fd)
{
    struct request *request = request_new(io, kind, tag, fd);

    assert(fd >= 0 && fd < WATCHES_MAX);
    link_request(io, request);
    queue_add(io, request);
    return request;
}

static void epoll_accept(struct io *io, uint64_t tag, int fd)
{
    int flags = fcntl(fd, F_GETFL);

    (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK); /* the only descriptor whose mode is ours: there is no MSG_DONTWAIT for it */
    (void)request_queue(io, KIND_ACCEPT, tag, fd);
}

static void epoll_recv(struct io *io, uint64_t tag, int fd, bool repeat)
{
    request_queue(io, KIND_RECV, tag, fd)->repeat = repeat;
}

static void epoll_send(struct io *io, uint64_t tag, int fd, const struct iovec *parts, uint32_t count)
{
    struct request *request = request_new(io, KIND_SEND, tag, fd);
    ssize_t sent;

    assert(count && count <= IO_PARTS_MAX && fd >= 0 && fd < WATCHES_MAX);
    if (count == 1) {
        sent = send(fd, parts->iov_base, parts->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        struct msghdr head = { .msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = count };

        sent = sendmsg(fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (sent < 0 && errno == EAGAIN) {
        link_request(io, request);
        wait_for(io, request, EPOLLOUT);
    } else {
        finish_later(io, request, sent < 0 ? -errno : (int)sent);
    }
}

static void epoll_connect(struct io *io, uint64_t tag, int fd, const struct sockaddr *address, socklen_t size)
{
    struct request *request = request_new(io, KIND_CONNECT, tag, fd);
    int result = dial(fd, address, size);

    assert(fd >= 0 && fd < WATCHES_MAX && size <= sizeof(request->dial->address));
    if (result == -EAGAIN && address->sa_family == AF_UNIX)
        request->dial = calloc(1, sizeof(*request->dial));
    if (result != -EINPROGRESS && !request->dial) {
        finish_later(io, request, result);
        return;
    }
    link_request(io, request);
    if (request->dial) {
        memcpy(&request->dial->address, address, size);
        request->dial->size = size;
        io->dials_waiting++;
        queue_add(io, request);
    } else {
        wait_for(io, request, EPOLLOUT);
    }
}

static void epoll_readable(struct io *io, uint64_t tag, int fd)
{
    struct request *request = request_queue(io, KIND_POLL, tag, fd);

    request->events = EPOLLIN;
    request->repeat = true;
}

static void epoll_poll(struct io *io, uint64_t tag, int fd, short events)
{
    request_queue(io, KIND_POLL, tag, fd)->events = (uint32_t)events;
}

static void epoll_cancel(struct io *io, uint64_t tag)
{
    struct request *request = *bucket_of(io, tag);

    while (request && request->tag != tag)
        request = request->next_of_tag;
    if (request && !request->finished)
        finish_later(io, request, -ECANCELED);
}

/* ---- the wait --------------------------------------------------------------------------------------------------------- */

/* What is queued now, not what that queues. True when there was something besides dials that wait. */
static bool run_queue(struct io *io)
{
    struct request *request = io->queue_first, *next;
    bool came = false;

    io->queue_first = io->queue_last = NULL;
    for (; request; request = next) {
        next = request->next_queued;
        request->queued = false;
        came = came || request->finished || !request->dial;
        if (request->finished)
            finish(io, request, request->result, NULL);
        else
            attempt(io, request);
    }
    return came;
}

static int wait_events(struct io *io, uint64_t timeout_ns)
{
    struct timespec timeout = { .tv_sec = (time_t)(timeout_ns / NS_PER_S), .tv_nsec = (long)(timeout_ns % NS_PER_S) };
    int count;

    if (!timeout_ns || timeout_ns == UINT64_MAX)
        return epoll_wait(io->fd, io->events, EVENTS_MAX, timeout_ns ? -1 : 0);
    if (!io->without_pwait2) {
        count = epoll_pwait2(io->fd, io->events, EVENTS_MAX, &timeout, NULL);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM))
            return count;
        io->without_pwait2 = true; /* Linux 5.11; and profiles that do not know it refuse it */
    }
    (void)ppoll(&(struct pollfd){ .fd = io->fd, .events = POLLIN }, 1, &timeout, NULL);
    return epoll_wait(io->fd, io->events, EVENTS_MAX, 0);
}

static void retry_dials(struct io *io)
{
    for (uint32_t i = 0, left = io->dials_waiting; left && i < io->requests_used; i++)
        if (io->requests[i].dial) {
            left--;
            queue_add(io, &io->requests[i]);
        }
}

static int epoll_wait_turn(struct io *io, uint64_t timeout_ns, io_complete *complete, void *context)
{
    bool came;
    int count;

    io->complete = complete;
    io->context = context;
    io->receives_left = RECEIVES_MAX;
    came = run_queue(io);
    if (came && !io->skipped && !io->queue_first) {
        io->skipped = true; /* mostly told of sends: what comes of that is done first, the descriptors are next turn's */
        return 0;
    }
    io->skipped = false;
    if (io->dials_waiting)
        timeout_ns = MIN(timeout_ns, DIAL_RETRY_NS);
    count = wait_events(io, came || io->queue_first ? 0 : timeout_ns);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        struct request *request = io->watches[io->events[i].data.fd].first, *next;

        for (; request; request = next) {
            next = request->next_of_fd;
            serve(io, request, io->events[i].events);
        }
    }
    if (io->dials_waiting)
        retry_dials(io);
    return 0;
}

static bool epoll_can_recv(const struct io *io)
{
    return pool_bytes_free(io->pool) > 0;
}

const struct io_ops io_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_close,
    .accept = epoll_accept,
    .recv = epoll_recv,
    .send = epoll_send,
    .connect = epoll_connect,
    .readable = epoll_readable,
    .poll = epoll_poll,
    .cancel = epoll_cancel,
    .wait = epoll_wait_turn,
    .can_recv = epoll_can_recv,
};
