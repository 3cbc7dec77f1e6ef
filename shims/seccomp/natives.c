/* Each row of calls.def becomes a function that reads its roles from its parameters. A system call hands its parameters over in
 * the registers in which a function call does, all of them integers or pointers and at most six, so the function of a row whose
 * parameters are the kernel's is simply called with the registers. */
#include "shims/seccomp/natives.h"

#include "shims/include/calls.h"
#include "shims/seccomp/remote.h"
#include "shims/seccomp/supervisor.h"

#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define INSIDE(...) __VA_ARGS__

static __thread struct {
    struct occasion occasion;
    pid_t memory;
} filling;

static uint64_t product(size_t count, size_t size)
{
    return (uint64_t)count * size;
}

static uint64_t vector_size(const struct iovec *parts, int count)
{
    struct iovec copy[IOV_MAX];
    uint64_t size = 0;

    if (count <= 0 || count > IOV_MAX || remote_read(filling.memory, parts, copy, (size_t)count * sizeof(*copy)) < 0)
        return 0; /* the kernel will refuse it */
    for (int i = 0; i < count; i++)
        size += copy[i].iov_len;
    return size;
}

static uint64_t space(int mode, int64_t offset, int64_t size)
{
    return mode || offset < 0 || size < 0 ? 0 : (uint64_t)size;
}

/* Of library calls, which are no system calls. */
#define stream_fd(file) (-1)
#define mode_flags(mode) 0

/* Beside its size: control data travels once, and a datagram's sender is told with it, so such a call is never shortened. */
static uint64_t message_size(const struct msghdr *message)
{
    struct msghdr copy;

    if (remote_read(filling.memory, message, &copy, sizeof(copy)) < 0 || copy.msg_iovlen > IOV_MAX)
        return 0;
    filling.occasion.keeps_size = copy.msg_control && copy.msg_controllen;
    return vector_size(copy.msg_iov, (int)copy.msg_iovlen);
}

static const struct sockaddr *message_address(const struct msghdr *message)
{
    struct msghdr copy;

    return remote_read(filling.memory, message, &copy, sizeof(copy)) < 0 ? NULL : copy.msg_name;
}

static socklen_t message_length(const struct msghdr *message)
{
    struct msghdr copy;

    return remote_read(filling.memory, message, &copy, sizeof(copy)) < 0 ? 0 : copy.msg_namelen;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define CALL(type, name, parameters, arguments, failure, style, mask, roles, prepare, number)                                \
    enum { NUMBER_##name = (int)(number), POINTS_##name = (int)(uint32_t)(mask) };                                           \
    static __attribute__((unused)) void roles_##name parameters                                                              \
    {                                                                                                                        \
        bool keeps_size;                                                                                                     \
        struct occasion occasion = { INSIDE roles };                                                                         \
                                                                                                                             \
        keeps_size = filling.occasion.keeps_size;                                                                            \
        occasion.points = (uint32_t)(mask);                                                                                  \
        filling.occasion = occasion;                                                                                         \
        filling.occasion.keeps_size = keeps_size;                                                                            \
    }
#include "shims/include/calls.def"
#pragma GCC diagnostic pop

typedef void roles_function(void);

#define NATIVE(name) { NUMBER_##name, (uint32_t)POINTS_##name, (roles_function *)roles_##name }

const struct native natives[] = {
    NATIVE(open),   NATIVE(openat),  NATIVE(creat),    NATIVE(read),     NATIVE(readv),    NATIVE(pread64),         NATIVE(preadv),
    NATIVE(preadv2), NATIVE(write),  NATIVE(writev),   NATIVE(pwrite64), NATIVE(pwritev),  NATIVE(pwritev2),        NATIVE(sendfile),
    NATIVE(fsync),  NATIVE(fdatasync), NATIVE(close),  NATIVE(connect),  NATIVE(accept),   NATIVE(accept4),         NATIVE(sendto),
    NATIVE(sendmsg), NATIVE(sendmmsg), NATIVE(recvfrom), NATIVE(recvmsg), NATIVE(recvmmsg), NATIVE(copy_file_range),
    NATIVE(fallocate),
};

const size_t native_count = sizeof(natives) / sizeof(natives[0]);

static const struct native *find(int number)
{
    for (size_t i = 0; i < native_count; i++)
        if (natives[i].number == number)
            return &natives[i];
    return NULL;
}

uint32_t native_points(int number)
{
    const struct native *native = find(number);

    return native ? native->points : 0;
}

void native_occasion(const struct seccomp_data *data, pid_t memory, struct occasion *ret_occasion)
{
    const struct native *native = find(data->nr);
    void (*roles)(__u64, __u64, __u64, __u64, __u64, __u64);

    filling.memory = memory;
    filling.occasion = (struct occasion){ .fd = -1 };
    if (native) {
        roles = (void (*)(__u64, __u64, __u64, __u64, __u64, __u64))native->roles;
        roles(data->args[0], data->args[1], data->args[2], data->args[3], data->args[4], data->args[5]);
    }
    /* A descriptor cannot be closed from outside, so a close that fails would not close: it never fails. What copies between
     * two descriptors is not shortened. */
    if (data->nr == SYS_close)
        filling.occasion.keeps_result = true;
    if (data->nr == SYS_sendfile || data->nr == SYS_copy_file_range || data->nr == SYS_sendmmsg || data->nr == SYS_recvmmsg)
        filling.occasion.keeps_size = true;
    filling.occasion.by_hand_max = TRANSFER_MAX;
    *ret_occasion = filling.occasion;
}
