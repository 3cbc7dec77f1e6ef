/* Captured connections. */
#include "injector/capture.h"

#include "injector/proxy.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/vocab/detour.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
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

static int mark(int fd, uint32_t value)
{
    return setsockopt(fd, SOL_SOCKET, SO_MARK, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int bind_any(int fd, int family)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    struct sockaddr_in in = { .sin_family = AF_INET };

    if (family == AF_INET)
        return bind(fd, (const struct sockaddr *)&in, sizeof(in)) < 0 ? -errno : 0;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 }, sizeof(int)) < 0 || bind(fd, (const struct sockaddr *)&in6, sizeof(in6)) < 0)
        return -errno;
    return 0;
}

/* Nothing from beyond this machine. The shim's connects come from loopback or from an address of ours, over IPv4: for them the
 * device does, which an ordinary user may ask for; a filter he may be refused. */
static int keep_inside(int fd, bool by_kernel)
{
    if (by_kernel)
        return only_loopback(fd);
    return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof("lo")) < 0 ? -errno : 0;
}

static int listen_family(int family, bool by_kernel, int *ret_fd)
{
    AUTO_CLOSE int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result;

    if (fd < 0)
        return -errno;
    result = by_kernel ? mark(fd, CAPTURE_MARK) : 0;
    if (result < 0)
        return result;
    if (by_kernel)
        (void)mark(fd, 0); /* it was only asked: what is accepted would inherit it */
    result = keep_inside(fd, by_kernel);
    if (result == 0)
        result = bind_any(fd, family);
    if (result < 0)
        return result;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int capture_listen(struct proxy *proxy)
{
    bool by_kernel = proxy->spec.flags & PROXY_CAPTURES;
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    AUTO_CLOSE int fd = -1;
    int result = by_kernel ? listen_family(AF_INET6, true, &fd) : -EAFNOSUPPORT;

    if (result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL)
        result = listen_family(AF_INET, by_kernel, &fd);
    if (result < 0)
        return result;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return -errno;
    proxy->capture_port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                              : ((struct sockaddr_in *)&address)->sin_port);
    snprintf(proxy->spec.listen, sizeof(proxy->spec.listen), "127.0.0.1:%u", proxy->capture_port);
    proxy->listen_fd = TAKE_FD(fd);
    return 0;
}

static bool is_ours(const struct sockaddr_storage *address, uint16_t port)
{
    const struct sockaddr_in *in = (const void *)address;
    const struct sockaddr_in6 *in6 = (const void *)address;

    if (address->ss_family == AF_INET)
        return in->sin_port == htons(port) && ntohl(in->sin_addr.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        return in6->sin6_port == htons(port) && in6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET;
    return in6->sin6_port == htons(port) && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static int ask_kernel(int fd, struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    socklen_t size = sizeof(struct sockaddr_in);

    if (getsockopt(fd, IPPROTO_IP, ORIGINAL_DESTINATION, ret_address, &size) < 0) {
        size = sizeof(struct sockaddr_in6);
        if (getsockopt(fd, IPPROTO_IPV6, ORIGINAL_DESTINATION, ret_address, &size) < 0)
            return -ENOENT;
    }
    *ret_size = size;
    return 0;
}

static int read_detour(const struct proxy_spec *spec, uint32_t index, struct detour *ret_detour)
{
    AUTO_CLOSE int fd = open(spec->detours, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    off_t offset = (off_t)(spec->detours_offset + index * sizeof(*ret_detour));

    if (fd < 0)
        return -errno;
    return pread(fd, ret_detour, sizeof(*ret_detour), offset) == (ssize_t)sizeof(*ret_detour) ? 0 : -EIO;
}

/* The address that was connected to is the index. */
static int ask_shim(const struct proxy *proxy, int fd, struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    struct sockaddr_in own = { .sin_family = AF_UNSPEC };
    socklen_t size = sizeof(own);
    struct detour detour;
    uint32_t index;
    int result;

    if (getsockname(fd, (struct sockaddr *)&own, &size) < 0 || own.sin_family != AF_INET)
        return -ENOENT;
    index = ntohl(own.sin_addr.s_addr) - DETOUR_NETWORK;
    if (index >= DETOURS_MAX)
        return -ENOENT;
    result = read_detour(&proxy->spec, index, &detour);
    if (result < 0)
        return result;
    if (detour.state != DETOUR_READY || detour.listen_port != proxy->capture_port || !detour.port)
        return -ENOENT;
    if (detour.family == AF_INET) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = detour.port };

        memcpy(&in.sin_addr, detour.address, sizeof(in.sin_addr));
        memcpy(ret_address, &in, sizeof(in));
        *ret_size = sizeof(in);
    } else if (detour.family == AF_INET6) {
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = detour.port, .sin6_scope_id = detour.scope };

        memcpy(&in6.sin6_addr, detour.address, sizeof(in6.sin6_addr));
        memcpy(ret_address, &in6, sizeof(in6));
        *ret_size = sizeof(in6);
    } else {
        return -ENOENT;
    }
    return 0;
}

int capture_destination(const struct proxy *proxy, int fd, struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t size;
    int result;

    (void)setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int));
    result = proxy->spec.flags & PROXY_CAPTURES ? ask_kernel(fd, &address, &size) : ask_shim(proxy, fd, &address, &size);
    if (result < 0)
        return result;
    if (is_ours(&address, proxy->capture_port))
        return -ENOENT;
    *ret_address = address;
    *ret_size = size;
    return 0;
}

int capture_mark(const struct proxy *proxy, int fd)
{
    return proxy->spec.flags & PROXY_CAPTURES ? mark(fd, CAPTURE_MARK) : 0;
}
