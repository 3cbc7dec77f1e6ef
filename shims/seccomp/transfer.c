/* A transfer of fewer bytes than asked for: the supervisor makes it, on a duplicate of the descriptor, between the target's
 * memory and its own. It never waits: what is not ready is tried again when it is (-EAGAIN). Errors other than that are left to
 * the kernel, which makes the whole call then (and raises SIGPIPE where it belongs).
 *
 * Between the transfer and the answer lie some microseconds, in which the target waits killably (supervisor.h rule 2). */
#include "shims/seccomp/supervisor.h"

#include "shims/seccomp/remote.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PARTS_MAX = 16 };

struct plan_of_transfer {
    bool is_out, is_socket, is_message, is_addressed;
    int flags; /* of send and recv */
    int64_t offset; /* -1: at the descriptor's place */
    struct iovec parts[PARTS_MAX]; /* in the target, clipped */
    size_t part_count, size;
};

static void clip(struct plan_of_transfer *plan, const struct iovec *parts, size_t count, uint64_t size_max)
{
    plan->part_count = plan->size = 0;
    for (size_t i = 0; i < count && plan->part_count < PARTS_MAX && plan->size < size_max; i++) {
        struct iovec *part = &plan->parts[plan->part_count++];

        *part = parts[i];
        if (part->iov_len > size_max - plan->size)
            part->iov_len = (size_t)(size_max - plan->size);
        plan->size += part->iov_len;
    }
}

static bool clip_vector(struct plan_of_transfer *plan, pid_t pid, uint64_t address, uint64_t count, uint64_t size_max)
{
    struct iovec parts[PARTS_MAX];
    size_t wanted = count < PARTS_MAX ? (size_t)count : PARTS_MAX;

    if (remote_read(pid, (const void *)(uintptr_t)address, parts, wanted * sizeof(*parts)) < 0)
        return false;
    clip(plan, parts, wanted, size_max);
    return true;
}

static bool clip_message(struct plan_of_transfer *plan, pid_t pid, uint64_t address, uint64_t size_max)
{
    struct msghdr message;

    if (remote_read(pid, (const void *)(uintptr_t)address, &message, sizeof(message)) < 0 || (message.msg_control && message.msg_controllen))
        return false;
    plan->is_addressed = message.msg_name != NULL;
    return clip_vector(plan, pid, (uintptr_t)message.msg_iov, message.msg_iovlen, size_max);
}

static bool read_plan(const struct call *call, uint64_t size_max, struct plan_of_transfer *plan)
{
    const __u64 *args = call->data.args;
    pid_t pid = call->thread->process->pid;
    struct iovec whole = { (void *)(uintptr_t)args[1], args[2] };

    *plan = (struct plan_of_transfer){ .offset = -1, .is_socket = call->occasion.kind >= KIND_PACKETS };
    switch (call->data.nr) {
    case SYS_pwrite64:
    case SYS_pread64:
        plan->offset = (int64_t)args[3];
        plan->is_out = call->data.nr == SYS_pwrite64;
        clip(plan, &whole, 1, size_max);
        return plan->offset >= 0;
    case SYS_write:
    case SYS_read:
        plan->is_out = call->data.nr == SYS_write;
        clip(plan, &whole, 1, size_max);
        return true;
    case SYS_sendto:
    case SYS_recvfrom:
        plan->is_out = call->data.nr == SYS_sendto;
        plan->flags = (int)args[3];
        plan->is_addressed = args[4] != 0;
        clip(plan, &whole, 1, size_max);
        return true;
    case SYS_preadv2:
    case SYS_pwritev2:
    case SYS_preadv:
    case SYS_pwritev:
        plan->offset = (int64_t)args[3];
        plan->is_out = call->data.nr == SYS_pwritev || call->data.nr == SYS_pwritev2;
        return clip_vector(plan, pid, args[1], args[2], size_max);
    case SYS_readv:
    case SYS_writev:
        plan->is_out = call->data.nr == SYS_writev;
        return clip_vector(plan, pid, args[1], args[2], size_max);
    case SYS_sendmsg:
    case SYS_recvmsg:
        plan->is_out = call->data.nr == SYS_sendmsg;
        plan->is_message = true;
        plan->flags = (int)args[2];
        return clip_message(plan, pid, args[1], size_max);
    default:
        return false;
    }
}

/* A pipe or terminal that says it is ready is not waited for, unless another reader is faster. */
static int64_t move_bytes(int fd, const struct plan_of_transfer *plan, void *data)
{
    struct iovec part = { data, plan->size };
    struct pollfd ready = { .fd = fd, .events = plan->is_out ? POLLOUT : POLLIN };
    struct stat status;
    ssize_t count = -1;

    if (plan->offset >= 0) {
        count = plan->is_out ? pwrite(fd, data, plan->size, plan->offset) : pread(fd, data, plan->size, plan->offset);
        return count < 0 ? -errno : count;
    }
    if (poll(&ready, 1, 0) == 0)
        return -EAGAIN;
    errno = EOPNOTSUPP;
    if (!fstat(fd, &status) && !S_ISREG(status.st_mode))
        count = plan->is_out ? pwritev2(fd, &part, 1, -1, RWF_NOWAIT) : preadv2(fd, &part, 1, -1, RWF_NOWAIT);
    if (count < 0 && errno == EOPNOTSUPP)
        count = plan->is_out ? write(fd, data, plan->size) : read(fd, data, plan->size);
    return count < 0 ? -errno : count;
}

static int64_t move_packets(int fd, const struct plan_of_transfer *plan, void *data)
{
    int flags = (plan->flags & ~MSG_WAITALL) | MSG_DONTWAIT;
    ssize_t count = plan->is_out ? send(fd, data, plan->size, flags | MSG_NOSIGNAL) : recv(fd, data, plan->size, flags);

    return count < 0 ? -errno : count;
}

/* Writes what was read into the target's parts. */
static bool put(pid_t pid, const struct plan_of_transfer *plan, char *data, size_t size)
{
    for (size_t i = 0; i < plan->part_count && size; i++) {
        size_t part = plan->parts[i].iov_len < size ? plan->parts[i].iov_len : size;

        if (remote_write(pid, plan->parts[i].iov_base, data, part) < 0)
            return false;
        data += part;
        size -= part;
    }
    return true;
}

static bool get(pid_t pid, const struct plan_of_transfer *plan, char *data)
{
    for (size_t i = 0; i < plan->part_count; data += plan->parts[i].iov_len, i++)
        if (remote_read(pid, plan->parts[i].iov_base, data, plan->parts[i].iov_len) < 0)
            return false;
    return true;
}

/* What the kernel would have told of a TCP peer's address beside the bytes: nothing. */
static void put_no_address(const struct call *call, const struct plan_of_transfer *plan)
{
    const socklen_t none = 0;
    pid_t pid = call->thread->process->pid;
    char *message = (char *)(uintptr_t)call->data.args[1];

    if (!plan->is_message) {
        if (plan->is_addressed)
            (void)remote_write(pid, (void *)(uintptr_t)call->data.args[5], &none, sizeof(none));
        return;
    }
    (void)remote_write(pid, message + offsetof(struct msghdr, msg_namelen), &none, sizeof(none));
    (void)remote_write(pid, message + offsetof(struct msghdr, msg_flags), &none, sizeof(none));
}

static int64_t tear(const struct call *call, const struct plan_of_transfer *plan, char *data)
{
    const struct iovec part = { data, plan->size };

    if (plan->size < call->occasion.size)
        return -EOPNOTSUPP; /* of too many parts */
    return disk_tear(call->fd, &call->ruling.torn, call->occasion.place, &part, 1, plan->size);
}

/* Nothing changed after all: of that firing, and of no other, the count is taken back. */
static void rot(const struct call *call, char *data, uint64_t size)
{
    const struct ruling undone = { .rot.count = call->ruling.rot.count };
    const struct iovec part = { data, size };

    if (!disk_rot(&call->ruling.rot, &part, 1, size))
        judge_take_back(&undone);
}

int64_t transfer(struct call *call, uint32_t *ret_events)
{
    uint64_t size_max = call->ruling.size_max < TRANSFER_MAX ? call->ruling.size_max : TRANSFER_MAX;
    pid_t pid = call->thread->process->pid;
    struct plan_of_transfer plan;
    int64_t count = -EOPNOTSUPP;
    char *data;

    if (!read_plan(call, size_max, &plan) || !plan.size || (plan.is_addressed && call->occasion.kind != KIND_TCP) ||
        (plan.flags & (MSG_OOB | MSG_ERRQUEUE)))
        return -EOPNOTSUPP;
    data = malloc(plan.size);
    if (!data)
        return -EOPNOTSUPP;
    *ret_events = plan.is_out ? POLLOUT : POLLIN;
    if (!plan.is_out || get(pid, &plan, data))
        count = call->ruling.torn.count ? tear(call, &plan, data) : plan.is_socket ? move_packets(call->fd, &plan, data) : move_bytes(call->fd, &plan, data);
    if (count > 0 && call->ruling.rot.count)
        rot(call, data, (uint64_t)count);
    if (count > 0 && !plan.is_out && !put(pid, &plan, data, (size_t)count))
        count = -EFAULT;
    if (count >= 0 && !plan.is_out && plan.is_socket)
        put_no_address(call, &plan);
    free(data);
    return count;
}
