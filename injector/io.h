/* The event backend under a loop: asks the kernel, tells what came of it. io_uring (ring.c) is one, epoll (epoll.c) the other, for
 * where the first is refused.
 *
 * 1. Every request but cancel is answered by one or more completions that repeat its tag; the last one has `more` false. The
 *    owner counts requests in flight and frees nothing before that.
 * 2. A tag is the owner's: operation, slot and generation, never a pointer. Tag 0 is the backend's own.
 * 3. Sockets are in blocking mode; the backend never blocks on one.
 * 4. Used by one thread, the one that opened it. */
#ifndef PERTURB_INJECTOR_IO_H
#define PERTURB_INJECTOR_IO_H

#include "injector/pool.h"

#include <sys/socket.h>
#include <sys/uio.h>

enum { IO_PARTS_MAX = 16 }; /* of one send */

struct io_completion {
    uint64_t tag;
    int32_t result;      /* as the system call's: a count, a descriptor, 0, a negative errno */
    bool more;           /* the request stays and will complete again */
    struct chunk *chunk; /* recv: `result` bytes at its front; its one reference goes to the receiver. Else NULL */
};

typedef void io_complete(void *context, const struct io_completion *completion);

struct io;

struct io_ops {
    const char *name;

    /* Returns new; `pool` is borrowed, received bytes lie in its chunks. 0, -errno (-EPERM, -ENOSYS where refused). */
    int (*open)(struct pool *pool, struct io **ret_io);
    void (*close)(struct io *io);

    void (*accept)(struct io *io, uint64_t tag, int fd); /* repeats: each result is a new descriptor */
    /* 0 is the end, -ENOBUFS: no chunk was left. `repeat`: completes for every chunk that comes, else for one. */
    void (*recv)(struct io *io, uint64_t tag, int fd, bool repeat);
    /* The same for a direction that brings messages: its chunks may be of the small kind. NULL: `recv` serves it. */
    void (*recv_small)(struct io *io, uint64_t tag, int fd, bool repeat);
    /* parts: borrowed for the call; bytes: until completion. The count may be short, -EAGAIN may come once there is room again: the
     * owner sends the rest. */
    void (*send)(struct io *io, uint64_t tag, int fd, const struct iovec *parts, uint32_t count);
    void (*connect)(struct io *io, uint64_t tag, int fd, const struct sockaddr *address, socklen_t size); /* borrowed for the call */
    void (*readable)(struct io *io, uint64_t tag, int fd);                                               /* repeats */
    void (*poll)(struct io *io, uint64_t tag, int fd, short events); /* once: POLLIN or POLLOUT of poll(2) */
    void (*cancel)(struct io *io, uint64_t tag); /* the request of that tag ends soon, with -ECANCELED or by itself */

    /* Submits, waits at most until `timeout_ns` from now (UINT64_MAX: for ever), and hands over what completed. 0, -errno. */
    int (*wait)(struct io *io, uint64_t timeout_ns, io_complete *complete, void *context);

    bool (*can_recv)(const struct io *io); /* chunks are at hand: a recv would not end with -ENOBUFS at once */
};

extern const struct io_ops io_ring;
extern const struct io_ops io_epoll;

/* Does the backend do here what the loops ask of it, repeated receives into chunks of the pool above all? 0, -errno. */
int io_probe(const struct io_ops *ops);

#endif
