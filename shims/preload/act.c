/* What a ruling does to descriptors and vectors. */
#include "shims/preload/shim.h"

#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* connect(2) to AF_UNSPEC dissolves the association; of a TCP connection in a synchronised state Linux resets the peer
 * (tcp_disconnect). By system call: the program's connect() is ours. */
bool shim_drop(int fd)
{
    struct sockaddr nobody = { .sa_family = AF_UNSPEC };

    return syscall(SYS_connect, fd, &nobody, sizeof(nobody)) == 0;
}

/* Such a socket cannot go to a mapped address. */
static bool takes_six_only(int fd)
{
    int only = 0;
    socklen_t length = sizeof(only);

    return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length) == 0 && only;
}

bool shim_redirect(int fd, const struct sockaddr *address, socklen_t length, struct sockaddr_storage *ret_address,
                   socklen_t *ret_length)
{
    struct sockaddr_storage copy = { .ss_family = AF_UNSPEC };
    const struct judge judge = shim_judge();

    if (!SHIM_ARMED(CONTROL_REDIRECT) || !address || length > sizeof(copy) || judge_fd_kind(fd) != KIND_TCP)
        return false;
    memcpy(&copy, address, length);
    if (copy.ss_family == AF_INET6 && takes_six_only(fd))
        return false;
    return judge_redirect(&judge, &copy, length, ret_address, ret_length);
}

int shim_clip(const struct iovec *parts, size_t count, uint64_t size_max, struct iovec clipped[CLIP_PARTS_MAX])
{
    int used = 0;

    for (size_t i = 0; i < count && used < CLIP_PARTS_MAX && size_max; i++) {
        clipped[used] = parts[i];
        if (clipped[used].iov_len > size_max)
            clipped[used].iov_len = (size_t)size_max;
        size_max -= clipped[used].iov_len;
        used++;
    }
    return used;
}

uint64_t vector_size(const struct iovec *parts, int count)
{
    uint64_t size = 0;

    if (!parts || count < 0 || count > IOV_MAX)
        return 0; /* the kernel will refuse it */
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    return size;
}

uint64_t message_size(const struct msghdr *message)
{
    return message && message->msg_iovlen <= IOV_MAX ? vector_size(message->msg_iov, (int)message->msg_iovlen) : 0;
}

const struct sockaddr *message_address(const struct msghdr *message)
{
    return message ? message->msg_name : NULL;
}

socklen_t message_length(const struct msghdr *message)
{
    return message ? message->msg_namelen : 0;
}
