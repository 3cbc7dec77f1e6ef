/* RESP2 requests: one non-blocking connection a slot, one command in flight on it.
 * 1. A connection whose command was given up is closed: its answer would be taken for the next command's.
 * 2. Descriptors are watched edge-triggered for everything at once, so each event is answered by writing and reading until
 *    nothing is left to do.
 *
 *   CLOSED --send--> CONNECTING --writable--> BUSY --answer--> IDLE --send--> BUSY        any --error, FIN, cancel--> CLOSED */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/load/load_priv.h"
#include "controller/load/resp_reader.h"
#include "scenarios/base/buf.h"

enum { COMMAND_MAX = 1024 * 1024, HOST_SIZE = 256, PORT_SIZE = 6, READ_BYTES = 65536 };

#define DEFAULT_PORT "6379"

enum state { CLOSED, CONNECTING, IDLE, BUSY };

struct connection {
    enum state state;
    int fd;
    size_t written; /* of the command */
    struct resp_reader reader;
};

struct resp {
    struct sockaddr_storage address;
    socklen_t address_length;
    struct buf command;
    struct connection *connections;
};

static void connection_close(struct connection *connection)
{
    if (connection->state != CLOSED)
        close(connection->fd);
    connection->state = CLOSED;
}

static void fail(struct load *load, uint32_t number, enum load_outcome outcome)
{
    struct resp *resp = load->backend_data;
    bool had_request = resp->connections[number].state != IDLE;

    connection_close(&resp->connections[number]);
    if (had_request)
        load_finish(load, number, outcome, 0);
}

static enum load_outcome connect_outcome(int error)
{
    return error == ECONNREFUSED ? LOAD_REFUSED : LOAD_CONNECT_FAILED;
}

/* The command, as far as the socket takes it; false when the connection failed. */
static bool write_command(struct load *load, uint32_t number)
{
    struct resp *resp = load->backend_data;
    struct connection *connection = &resp->connections[number];

    while (connection->written < resp->command.length) {
        ssize_t sent = send(connection->fd, resp->command.data + connection->written, resp->command.length - connection->written,
                            MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return true;
        if (sent < 0) {
            fail(load, number, LOAD_RESET);
            return false;
        }
        connection->written += (size_t)sent;
    }
    return true;
}

static void take_reply(struct load *load, uint32_t number, const char *bytes, size_t length)
{
    struct resp *resp = load->backend_data;
    struct connection *connection = &resp->connections[number];
    size_t used;
    enum resp_status status = resp_reader_feed(&connection->reader, bytes, length, &used);

    load_take_bytes(load, number, bytes, used);
    if (status == RESP_BAD || (status == RESP_DONE && used < length)) {
        fail(load, number, LOAD_WRONG_REPLY);
    } else if (status == RESP_DONE) {
        bool good = !connection->reader.is_error && load_has_expected(load, number);
        connection->state = IDLE;
        load_finish(load, number, good ? LOAD_OK : LOAD_WRONG_REPLY, 0);
    }
}

/* `ending`: the peer's FIN or RST was announced together with these bytes and will not be announced again. */
static void read_reply(struct load *load, uint32_t number, bool ending)
{
    struct resp *resp = load->backend_data;
    struct connection *connection = &resp->connections[number];
    char bytes[READ_BYTES];

    while (connection->state == BUSY || connection->state == IDLE) {
        ssize_t got = recv(connection->fd, bytes, sizeof(bytes), 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0 || connection->state == IDLE) { /* bytes nobody asked for end an idle connection too */
            fail(load, number, LOAD_RESET);
            return;
        }
        take_reply(load, number, bytes, (size_t)got);
        if (connection->state == IDLE && (size_t)got < sizeof(bytes) && !ending)
            return;
    }
}

static void connect_begin(struct load *load, uint32_t number)
{
    const int on = 1;
    struct resp *resp = load->backend_data;
    struct connection *connection = &resp->connections[number];
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = number };

    connection->fd = socket(resp->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        load_finish(load, number, LOAD_CONNECT_FAILED, 0);
        return;
    }
    load_count(&load->counts.connects, 1);
    connection->state = CONNECTING;
    (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if ((connect(connection->fd, (const struct sockaddr *)&resp->address, resp->address_length) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        fail(load, number, connect_outcome(errno));
}

static void resp_send(struct load *load, uint32_t number)
{
    struct resp *resp = load->backend_data;
    struct connection *connection = &resp->connections[number];

    connection->written = 0;
    connection->reader = (struct resp_reader){ 0 };
    if (connection->state == CLOSED) {
        connect_begin(load, number);
        return;
    }
    connection->state = BUSY;
    (void)write_command(load, number);
}

static void resp_cancel(struct load *load, uint32_t number)
{
    struct resp *resp = load->backend_data;

    connection_close(&resp->connections[number]);
}

static void resp_event(struct load *load, uint64_t key, uint32_t events)
{
    struct resp *resp = load->backend_data;
    uint32_t number = (uint32_t)key;
    struct connection *connection = &resp->connections[number];

    if (connection->state == CLOSED)
        return;
    if (connection->state == CONNECTING) {
        int error = 0;
        socklen_t length = sizeof(error);
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error != 0) {
            fail(load, number, connect_outcome(error));
            return;
        }
        connection->state = BUSY;
    }
    if (connection->state == BUSY && !write_command(load, number))
        return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
        read_reply(load, number, (events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) != 0);
}

static uint64_t resp_timer_ns(const struct load *load)
{
    (void)load;
    return UINT64_MAX;
}

static void resp_timer(struct load *load)
{
    (void)load;
}

/* "redis://HOST[:PORT][/]" -> host and port; false for any other form (user, password and database are not supported). */
static bool split_url(const char *url, char host[HOST_SIZE], char port[PORT_SIZE])
{
    const char *begin = url + strlen("redis://");
    const char *end = *begin == '[' ? strchr(begin, ']') : begin + strcspn(begin, ":/?#@");

    if (!end)
        return false;
    const char *rest = *begin == '[' ? end + 1 : end;
    begin += *begin == '[';
    if (end == begin || (size_t)(end - begin) >= HOST_SIZE)
        return false;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    snprintf(port, PORT_SIZE, "%s", DEFAULT_PORT);
    if (*rest == ':') {
        size_t digits = strspn(++rest, "0123456789");
        if (digits == 0 || digits >= PORT_SIZE)
            return false;
        snprintf(port, PORT_SIZE, "%.*s", (int)digits, rest);
        rest += digits;
    }
    return *rest == '\0' || strcmp(rest, "/") == 0;
}

/* Of several addresses the first IPv4 one, else the first: "localhost" means 127.0.0.1 to most servers. */
static int resolve(struct resp *resp, const char *host, const char *port)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *found;

    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -EHOSTUNREACH;
    const struct addrinfo *chosen = found;
    for (const struct addrinfo *one = found; one; one = one->ai_next)
        if (one->ai_family == AF_INET) {
            chosen = one;
            break;
        }
    memcpy(&resp->address, chosen->ai_addr, chosen->ai_addrlen);
    resp->address_length = chosen->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int encode_command(struct buf *command, const struct load_spec *spec)
{
    static const char *const ping[] = { "PING", NULL };
    const char *const *words = spec->command ? spec->command : ping;
    size_t count = 0;

    if (spec->command_inline)
        return buf_printf(command, "%s\r\n", spec->command_inline);
    while (words[count])
        count++;
    buf_printf(command, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        buf_printf(command, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    return command->failed ? -E2BIG : 0;
}

static int resp_open(struct load *load, struct errs *errs)
{
    struct resp *resp = calloc(1, sizeof(*resp));
    char host[HOST_SIZE];
    char port[PORT_SIZE];

    load->backend_data = resp;
    if (resp)
        buf_init(&resp->command, COMMAND_MAX);
    if (!resp || !(resp->connections = calloc(load->spec.connections_max, sizeof(*resp->connections)))) {
        errs_add(errs, ERR_WORLD, "load", "out of memory");
        return -ENOMEM;
    }
    if (!split_url(load->spec.url, host, port)) {
        errs_add(errs, ERR_INPUT, "url", "found '%s', expected redis://HOST:PORT", load->spec.url);
        return -EINVAL;
    }
    int rc = resolve(resp, host, port);
    if (rc < 0) {
        errs_add(errs, ERR_WORLD, "url", "'%s' names a host that cannot be resolved", load->spec.url);
        return rc;
    }
    rc = encode_command(&resp->command, &load->spec);
    if (rc < 0)
        errs_add(errs, ERR_INPUT, "command", "is larger than 1 MiB");
    return rc;
}

static void resp_close(struct load *load)
{
    struct resp *resp = load->backend_data;

    if (!resp)
        return;
    for (uint32_t i = 0; resp->connections && i < load->spec.connections_max; i++)
        connection_close(&resp->connections[i]);
    free(resp->connections);
    buf_done(&resp->command);
    free(resp);
}

const struct load_backend load_resp_backend = {
    .open = resp_open, .send = resp_send, .cancel = resp_cancel, .on_event = resp_event, .timer_ns = resp_timer_ns,
    .on_timer = resp_timer, .close = resp_close,
};
