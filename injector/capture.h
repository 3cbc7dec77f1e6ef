/* Captured connections: the kernel redirected them here (nftables, `redirect` in the output hook), each is dialled on to where it
 * was going.
 *
 * 1. No loop: what is dialled on carries CAPTURE_MARK, which the rules let pass; where the mark cannot be set nothing is dialled.
 *    A connection that was not redirected (somebody found the port) has no other destination than ourselves, and is refused.
 * 2. Nothing beyond this machine reaches the listener, though it is bound to any address (a redirected IPv6 connection keeps a
 *    global source, which a listener bound to the loopback device could not answer): a filter drops what came by another device.
 * Source: netfilter, nf_nat_redirect.c (output: to loopback), SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST. */
#ifndef PERTURB_INJECTOR_CAPTURE_H
#define PERTURB_INJECTOR_CAPTURE_H

#include <stdint.h>
#include <sys/socket.h>

/* A free port on both families, or on IPv4 alone where there is no IPv6. 0; -EPERM without CAP_NET_ADMIN; errors of socket(2)
 * and bind(2). */
int capture_listen(int *ret_fd, uint16_t *ret_port);

/* Where the accepted connection was going. 0; -ENOENT: it was not redirected, or to us. `port` is the listener's own. */
int capture_destination(int fd, uint16_t port, struct sockaddr_storage *ret_address, socklen_t *ret_size);

/* To be called on a socket before it dials on. 0, -EPERM. */
int capture_mark(int fd);

#endif
