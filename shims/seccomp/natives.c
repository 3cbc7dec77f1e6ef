/* calls.def, seen from the kernel's side (shims/judge/roles.def): what it points to lies in the target's memory. */
#include "shims/seccomp/natives.h"

#include "shims/include/call_headers.h"
#include "shims/seccomp/remote.h"
#include "shims/seccomp/supervisor.h"

static __thread struct {
    pid_t memory;
    bool keeps_size;
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
    filling.keeps_size = copy.msg_control && copy.msg_controllen;
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

#include "shims/judge/roles.def"

uint32_t native_points(int number)
{
    const struct native *native = native_find(number);

    return native ? native->points : 0;
}

/* What moves bytes between two descriptors, or many messages at once, is not shortened. */
static bool keeps_size(int number)
{
    switch (number) {
    case SYS_sendfile:
    case SYS_copy_file_range:
    case SYS_sendmmsg:
    case SYS_recvmmsg:
    case SYS_splice:
    case SYS_tee:
    case SYS_vmsplice:
        return true;
    default:
        return false;
    }
}

void native_occasion(const struct seccomp_data *data, pid_t memory, struct occasion *ret_occasion)
{
    const struct native *native = native_find(data->nr);
    uint64_t registers[6];

    for (size_t i = 0; i < 6; i++)
        registers[i] = data->args[i];
    filling.memory = memory;
    filling.keeps_size = false;
    *ret_occasion = (struct occasion){ .fd = -1 };
    if (native)
        native_fill(native, registers, ret_occasion);
    ret_occasion->keeps_size = filling.keeps_size || keeps_size(data->nr);
    if (data->nr == SYS_close) /* a descriptor cannot be closed from outside, so a close that fails would not close: it never fails */
        ret_occasion->keeps_result = true;
    ret_occasion->by_hand_max = TRANSFER_MAX;
}
