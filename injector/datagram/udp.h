/* The UDP proxies of a loop: sockets, sessions, timers. The rulings are flow.h's.
 *
 *   client --datagram--> listening socket --> session of (client, address it spoke to) --> its own connected socket --> upstream
 *
 * 1. A UDP proxy lives on one loop, the one its index falls to: its sessions and what its rules remember need no lock.
 * 2. One connected socket a session, so that upstream's answers and ICMP errors find their client by themselves. An answer goes out
 *    from the address that the client spoke to.
 * 3. A session ends when it was not used for the proxy's idle time and nothing of it is held. When there is no place or no descriptor
 *    for a new one, the proxy's longest unused one is ended early, and counted.
 * 4. Nothing here waits: a datagram that the socket does not take is lost and counted, as on any UDP hop.
 * 5. Received bytes lie in buffers set aside at start and go out from there; only what is held or doubled is copied.
 * 6. All sockets hang in one epoll set, itself watched by the loop's event backend as one descriptor.
 * Ground: udp(7), ip(7) IP_PKTINFO, ipv6(7), recvmmsg(2), sendmmsg(2), epoll(7). On the loop's thread but where it is said. */
#ifndef PERTURB_INJECTOR_DATAGRAM_UDP_H
#define PERTURB_INJECTOR_DATAGRAM_UDP_H

#include "injector/armed.h"
#include "injector/proxy.h"
#include "injector/resolve.h"

struct loop;
struct udp;

/* Returns new; `loop` is borrowed. Control thread, as udp_free, after the loop's thread has ended. 0, -ENOMEM, -errno. */
int udp_new(struct loop *loop, struct udp **ret_udp);
void udp_free(struct udp *udp); /* closes everything; accepts NULL */

/* Binds. Control thread. 0, -errno of bind(2); -EINVAL for a Unix socket. */
int udp_bind(const struct sockaddr_storage *address, socklen_t size, int *ret_fd);

/* Begins to serve (takes one reference, also when it fails): 0, -ENOMEM, -errno. Ends: what is held goes on first. Another loop's proxy is
 * none of its business. */
int udp_open(struct udp *udp, struct proxy *proxy);
void udp_close(struct udp *udp, const struct proxy *proxy);

void udp_adopt(struct udp *udp, struct armed *armed); /* NULL: none */
void udp_consider(struct udp *udp);                   /* a window's edge has passed */

void udp_ready(struct udp *udp, bool more); /* the epoll set became readable; `more`: and the backend goes on watching it */
void udp_resolved(struct udp *udp, const struct resolved *resolved);

void udp_turn(struct udp *udp);                /* receives, runs what is due, sends, ends idle sessions */
uint64_t udp_next_ns(const struct udp *udp);   /* when to call udp_turn again at the latest; 0 for at once */

/* Adds a loop's counts to a proxy's. Control thread. */
void udp_add_counts(struct proxy_status *status, const struct proxy_share *share);

#endif
