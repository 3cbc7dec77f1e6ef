/* Both ends of a UDP proxy for the tests of injector/datagram: an upstream that notes and answers, and clients.
 * Waits have the deadline of wire_timeout_ms(); nothing sleeps to be in step. */
#ifndef PERTURB_TESTS_UDP_PEER_H
#define PERTURB_TESTS_UDP_PEER_H

#include "tests/support/wire_peer.h"

enum { UDP_NOTES_MAX = 131072 };

/* What a datagram of the tests says: who sent it and its number. Longer ones go on with the test stream of `number`. */
struct udp_mark {
    uint32_t client, number;
};

struct udp_note {
    struct udp_mark mark; /* 0 when it was shorter */
    uint32_t size;
    uint64_t hash; /* wire_hash of the bytes */
    uint64_t ns;
};

/* A server on one socket: notes every datagram, and echoes it unless told not to. */
struct udp_server;

struct udp_server *udp_server_start(const char *address, bool echoes); /* "127.0.0.1:0", "[::1]:0"; asserts */
const char *udp_server_address(const struct udp_server *server);
size_t udp_server_count(const struct udp_server *server);
size_t udp_server_wait(const struct udp_server *server, size_t count); /* until so many came, or the deadline: how many did */
const struct udp_note *udp_server_notes(const struct udp_server *server);
void udp_server_stop(struct udp_server *server);

/* A connected non-blocking client. */
int udp_connect(const char *address);
int udp_send_mark(int fd, uint32_t client, uint32_t number, size_t size); /* size: 8 and above; 0, -errno */
ssize_t udp_receive(int fd, void *bytes, size_t size, int timeout_ms); /* -ETIMEDOUT, -errno */
bool udp_receive_mark(int fd, int timeout_ms, struct udp_mark *ret_mark);

void udp_open_proxy(struct wire_executor *executor, const char *name, const char *listen, const char *upstream, uint64_t idle_ns, char *ret_listen, size_t size);

/* Waits until nothing is on its way, and then every datagram has to be accounted for: passed, dropped, no room, failed. */
void udp_assert_accounts(struct wire_executor *executor, const char *proxy);
struct plan_rule udp_rule(enum fault_id fault, const char *name);

#endif
