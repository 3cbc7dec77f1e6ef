/* Sockets of the sample system: addresses, listening, connecting and waiting, all with a deadline.
 * A deadline is a CLOCK_MONOTONIC instant in ns; 0 means "wait for ever" (the naive form). */
#ifndef PERTURB_PLAYBOOKS_SAMPLE_NET_H
#define PERTURB_PLAYBOOKS_SAMPLE_NET_H

#include <stdint.h>
#include <sys/socket.h>

struct net_address {
    struct sockaddr_storage storage;
    socklen_t length;
};

/* "HOST:PORT", "[IPV6]:PORT". Resolves once. 0, -EINVAL (no such form), -EHOSTUNREACH (unknown name). */
int net_address_parse(const char *text, struct net_address *ret_address);

/* A non-blocking listening TCP socket; port 0 picks one. The caller owns *ret_fd. 0 or -errno. */
int net_listen(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port);

/* Starts a non-blocking connect with TCP_NODELAY; it may still be under way (wait for POLLOUT, then net_connect_result). */
int net_connect_begin(const struct net_address *address, int *ret_fd);
int net_connect_result(int fd);

/* Waits for `events` (poll) by the deadline. 0, -ETIMEDOUT. */
int net_wait(int fd, short events, uint64_t deadline_ns);

/* Lifts RLIMIT_NOFILE's soft limit to its hard one. */
void net_raise_descriptor_limit(void);

#endif
