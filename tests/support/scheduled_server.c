/* A TCP server whose answers follow a schedule. */
#include "tests/support/scheduled_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "scenarios/base/clock.h"

static const char *answer_text(const struct scheduled_server *server)
{
    enum scheduled_mode mode = atomic_load(&server->mode);

    if (mode == GARBAGE)
        return "??? what is this\r\n\r\n";
    if (mode == HALF_ANSWER)
        return server->resp ? "$10\r\nhal" : "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal";
    if (server->resp)
        return mode == ANSWER_ERROR ? "-ERR no\r\n" : "+PONG\r\n";
    return mode == ANSWER_500 ? "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\noops\n"
                              : "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
}

static void drop_connection(struct scheduled_server *server, size_t i)
{
    close(server->fds[i].fd);
    server->count--;
    server->fds[i] = server->fds[server->count];
    memcpy(server->in[i], server->in[server->count], SCHEDULED_REQUEST_MAX);
    server->in_length[i] = server->in_length[server->count];
    server->owed[i] = server->owed[server->count];
    server->answered[i] = server->answered[server->count];
}

/* False when the connection is gone. */
static bool answer_one(struct scheduled_server *server, size_t i)
{
    const struct linger at_once = { .l_onoff = 1 };
    const char *text = answer_text(server);
    enum scheduled_mode mode = atomic_load(&server->mode);

    if (mode == HANG)
        return true;
    server->owed[i] = false;
    if (mode == RESET_THEM || (mode == ANSWER_THEN_RESET && server->answered[i])) {
        (void)setsockopt(server->fds[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        drop_connection(server, i);
        return false;
    }
    (void)!send(server->fds[i].fd, text, strlen(text), MSG_NOSIGNAL);
    server->answered[i] = true;
    if (mode == ANSWER_AND_CLOSE || mode == HALF_ANSWER || mode == GARBAGE) {
        drop_connection(server, i);
        return false;
    }
    return true;
}

static bool has_request(const struct scheduled_server *server, size_t i)
{
    const char *end = server->resp ? "PING\r\n" : "\r\n\r\n";

    return server->in_length[i] > 0 && (atomic_load(&server->mode) == GARBAGE || strstr(server->in[i], end));
}

static void serve_connection(struct scheduled_server *server, size_t i)
{
    size_t room = SCHEDULED_REQUEST_MAX - 1 - server->in_length[i];
    ssize_t got = recv(server->fds[i].fd, server->in[i] + server->in_length[i], room, MSG_DONTWAIT);

    if (got <= 0) {
        drop_connection(server, i);
        return;
    }
    server->in_length[i] += (size_t)got;
    server->in[i][server->in_length[i]] = '\0';
    if (!has_request(server, i))
        return;
    memcpy(server->last_request, server->in[i], SCHEDULED_REQUEST_MAX);
    server->in_length[i] = 0;
    server->owed[i] = true;
    atomic_fetch_add(&server->requests, 1);
    uint64_t now_ns = clock_now_ns();
    if (now_ns < atomic_load(&server->stall_from_ns) || now_ns >= atomic_load(&server->stall_until_ns))
        (void)answer_one(server, i);
}

static void accept_one(struct scheduled_server *server)
{
    const int on = 1;
    int fd = server->count <= SCHEDULED_CONNECTIONS_MAX ? accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC) : -1;

    if (fd < 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    server->in_length[server->count] = 0;
    server->owed[server->count] = server->answered[server->count] = false;
    server->fds[server->count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

static void *serve(void *argument)
{
    struct scheduled_server *server = argument;

    while (!atomic_load(&server->stopping)) {
        (void)poll(server->fds, server->count, 1);
        for (size_t i = server->count; i-- > 1;)
            if (server->fds[i].revents)
                serve_connection(server, i);
        if (server->fds[0].revents)
            accept_one(server);
        uint64_t now_ns = clock_now_ns();
        bool stalled = now_ns >= atomic_load(&server->stall_from_ns) && now_ns < atomic_load(&server->stall_until_ns);
        for (size_t i = server->count; !stalled && i-- > 1;)
            if (server->owed[i])
                (void)answer_one(server, i);
    }
    return NULL;
}

int scheduled_listen(uint16_t *ret_port, int backlog)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

struct scheduled_server *scheduled_server_start(bool resp, enum scheduled_mode mode)
{
    struct scheduled_server *server = calloc(1, sizeof(*server));

    assert_non_null(server);
    server->resp = resp;
    atomic_store(&server->mode, mode);
    server->listen_fd = scheduled_listen(&server->port, 1024);
    server->fds[server->count++] = (struct pollfd){ .fd = server->listen_fd, .events = POLLIN };
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    return server;
}

void scheduled_server_stop(struct scheduled_server *server)
{
    atomic_store(&server->stopping, true);
    pthread_join(server->thread, NULL);
    while (server->count > 1)
        drop_connection(server, 1);
    close(server->listen_fd);
}
