/* Captured connections: the kernel redirected them here (nftables, `redirect` in the output hook), or the preload shim did
 * (scenarios/vocab/detour.h); each is dialled on to where it was going.
 *
 * 1. No loop: what is dialled on from the kernel's captures carries CAPTURE_MARK, which the rules let pass; where the mark cannot
 *    be set nothing is dialled. (Nobody loads a shim into the executor.) A connection that was not led here (somebody found the
 *    port) has no other destination than ourselves, and is refused.
 * 2. Nothing beyond this machine reaches the listener, though it is bound to any address (a redirected IPv6 connection keeps a
 *    global source, which a listener bound to the loopback device could not answer): a filter drops what came by another device. Those
 *    of the shim's captures are bound to that device.
 * Source: netfilter, nf_nat_redirect.c (output: to loopback), SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST. */
#ifndef PERTURB_INJECTOR_CAPTURE_H
#define PERTURB_INJECTOR_CAPTURE_H

#include <sys/socket.h>

struct proxy;

/* Binds the proxy's listener to a free port (of both families, or of IPv4 alone where there is no IPv6, or for the shim) and fills
 * listen_fd, capture_port and the address in its spec. 0; -EPERM: the kernel's captures need CAP_NET_ADMIN; errors of socket(2) and
 * bind(2). */
int capture_listen(struct proxy *proxy);

/* Where the accepted connection was going. 0; -ENOENT: it was not led here, or to us; errors of reading the detours. */
int capture_destination(const struct proxy *proxy, int fd, struct sockaddr_storage *ret_address, socklen_t *ret_size);

/* To be called on a socket before it dials on. 0, -EPERM. */
int capture_mark(const struct proxy *proxy, int fd);

#endif
