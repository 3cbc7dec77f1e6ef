/* What a ruling does to descriptors and vectors. */
#include "shims/preload/shim.h"

#include "scenarios/vocab/decide.h"

#include <arpa/inet.h>
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

static void local_address(int family, uint32_t address, uint32_t port, struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
    memset(ret_address, 0, sizeof(*ret_address));
    if (family == AF_INET) {
        struct sockaddr_in *in = (void *)ret_address;

        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        in->sin_addr.s_addr = htonl(address);
        *ret_length = sizeof(*in);
    } else {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
        uint32_t last = htonl(address);
        struct sockaddr_in6 *in6 = (void *)ret_address;

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        memcpy(&in6->sin6_addr, mapped, sizeof(mapped));
        memcpy((uint8_t *)&in6->sin6_addr + sizeof(mapped), &last, sizeof(last));
        *ret_length = sizeof(*in6);
    }
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
    const struct control_rules *rules = &shim_page.rules;
    uint32_t generation = __atomic_load_n(&rules->generation, __ATOMIC_ACQUIRE);
    const struct control_image *image = &rules->image[generation & 1];
    uint32_t count = image->redirect_count < CONTROL_REDIRECTS_MAX ? image->redirect_count : CONTROL_REDIRECTS_MAX;
    struct sockaddr_storage copy = { .ss_family = AF_UNSPEC };
    uint32_t place = INADDR_LOOPBACK;

    if (!(__atomic_load_n(&rules->armed, __ATOMIC_ACQUIRE) & CONTROL_REDIRECT) || !address ||
        length < sizeof(struct sockaddr_in) || length > sizeof(copy) ||
        shim_now_ns() >= __atomic_load_n(&rules->lease_ns, __ATOMIC_ACQUIRE) || shim_fd_kind(fd) != KIND_TCP)
        return false;
    memcpy(&copy, address, length);
    if (copy.ss_family == AF_INET6 && (length < sizeof(struct sockaddr_in6) || takes_six_only(fd)))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct control_redirect redirect = image->redirects[i];

        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&rules->generation, __ATOMIC_RELAXED) != generation)
            return false;
        if (!redirect.match.present || redirect.match.prefix_bits > 128 ||
            !address_matches(&redirect.match, (struct sockaddr *)&copy))
            continue;
        if (redirect.detours && !shim_detour(&copy, redirect.port, &place))
            return false;
        local_address(copy.ss_family, place, redirect.port, ret_address, ret_length);
        return true;
    }
    return false;
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
