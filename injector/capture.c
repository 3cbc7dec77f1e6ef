/* Captured connections. */
#include "injector/capture.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/vocab/message.h"

#include <errno.h>
#include <linux/filter.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <unistd.h>

enum { BACKLOG = 4096, ORIGINAL_DESTINATION = 80 }; /* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST; their headers clash with libc's */

/* Passes what came by a loopback device. Accepted sockets inherit it until capture_destination takes it off. */
static int only_loopback(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_HATYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARPHRD_LOOPBACK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static int bind_any(int fd, int family)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    if (family == AF_INET)
        return bind(fd, (const struct sockaddr *)&in, sizeof(in)) < 0 ? -errno : 0;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 }, sizeof(int)) < 0 || bind(fd, (const struct sockaddr *)&in6, sizeof(in6)) < 0)
        return -errno;
    return 0;
}

static int listen_family(int family, int *ret_fd)
{
    AUTO_CLOSE int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result;

    if (fd < 0)
        return -errno;
    result = capture_mark(fd); /* may we? What is accepted would inherit it */
    if (result < 0)
        return result;
    (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &(uint32_t){ 0 }, sizeof(uint32_t));
    result = only_loopback(fd);
    if (result == 0)
        result = bind_any(fd, family);
    if (result < 0)
        return result;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int capture_listen(int *ret_fd, uint16_t *ret_port)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    int fd, result = listen_family(AF_INET6, &fd);

    if (result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL)
        result = listen_family(AF_INET, &fd);
    if (result < 0)
        return result;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        result = -errno;
        close(fd);
        return result;
    }
    *ret_fd = fd;
    *ret_port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port : ((struct sockaddr_in *)&address)->sin_port);
    return 0;
}

static bool is_ours(const struct sockaddr_storage *address, uint16_t port)
{
    const struct sockaddr_in *in = (const void *)address;
    const struct sockaddr_in6 *in6 = (const void *)address;

    if (address->ss_family == AF_INET)
        return in->sin_port == htons(port) && ntohl(in->sin_addr.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
    return in6->sin6_port == htons(port) && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

int capture_destination(int fd, uint16_t port, struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t size = sizeof(struct sockaddr_in);

    (void)setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int));
    if (getsockopt(fd, IPPROTO_IP, ORIGINAL_DESTINATION, &address, &size) < 0) {
        size = sizeof(struct sockaddr_in6);
        if (getsockopt(fd, IPPROTO_IPV6, ORIGINAL_DESTINATION, &address, &size) < 0)
            return -ENOENT;
    }
    if (is_ours(&address, port))
        return -ENOENT;
    *ret_address = address;
    *ret_size = size;
    return 0;
}

int capture_mark(int fd)
{
    return setsockopt(fd, SOL_SOCKET, SO_MARK, &(uint32_t){ CAPTURE_MARK }, sizeof(uint32_t)) < 0 ? -errno : 0;
}
