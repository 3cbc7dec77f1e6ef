/* Connections of the API. */
#include "controller/toxiproxy/http_server.h"

#include "controller/toxiproxy/log.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/param.h>
#include <sys/socket.h>

enum { CONNECTIONS_MAX = 512, EVENTS_MAX = 64, READ_BYTES = 16 << 10, ANSWER_BYTES_MAX = 64 << 20, REQUESTS_A_TURN = 16, TLS_HANDSHAKE = 0x16 };

#define REQUEST_LIMIT_NS (15 * NS_PER_S)
#define ANSWER_LIMIT_NS (30 * NS_PER_S)
#define IDLE_LIMIT_NS (60 * NS_PER_S)
#define LINGER_LIMIT_NS (2 * NS_PER_S)
#define ACCEPT_RETRY_NS (20 * NS_PER_MS) /* out of descriptors: try again */

enum state { READING, WRITING, LINGERING };

struct connection {
    int fd; /* -1: free */
    struct tls_stream *tls; /* owned; NULL: plain */
    enum state state;
    uint64_t deadline_ns;
    struct http_reader reader;
    struct buf in; /* came, not read yet */
    struct buf out;
    size_t sent;
    bool closes; /* after the answer */
    bool ended; /* the client sends no more */
};

struct http_server {
    int listen_fd, epoll_fd;
    bool accepting;
    uint64_t accept_at_ns; /* when to try again; 0 for nothing */
    struct tls *tls; /* borrowed; NULL: plain */
    bool told_of_tls; /* that a client spoke TLS to a plain server: once is enough */
    http_answer *answer;
    void *context;
    struct connection connections[CONNECTIONS_MAX];
};

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        { 100, "Continue" },
        { 200, "OK" },
        { 201, "Created" },
        { 204, "No Content" },
        { 301, "Moved Permanently" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 413, "Content Too Large" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 503, "Service Unavailable" },
        { 505, "HTTP Version Not Supported" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

/* ---- life of a connection --------------------------------------------------------------------------------------------- */

static void watch(struct http_server *server, struct connection *connection, uint32_t events)
{
    struct epoll_event event = { .events = tls_events(connection->tls, events), .data.ptr = connection };

    (void)epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event);
}

static void watch_listener(struct http_server *server, bool accepting)
{
    struct epoll_event event = { .events = accepting ? EPOLLIN : 0, .data.ptr = NULL };

    if (server->accepting == accepting)
        return;
    server->accepting = accepting;
    (void)epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, server->listen_fd, &event);
}

static void end(struct http_server *server, struct connection *connection)
{
    if (connection->fd < 0)
        return;
    tls_stream_free(connection->tls);
    connection->tls = NULL;
    close(connection->fd);
    connection->fd = -1;
    http_reader_done(&connection->reader);
    buf_done(&connection->in);
    buf_done(&connection->out);
    if (server->listen_fd >= 0)
        watch_listener(server, true);
}

static void begin_request(struct connection *connection)
{
    http_reader_reset(&connection->reader);
    buf_done(&connection->out);
    buf_init(&connection->out, ANSWER_BYTES_MAX);
    connection->sent = 0;
    connection->state = READING;
    connection->deadline_ns = clock_now_ns() + IDLE_LIMIT_NS;
}

static void accept_all(struct http_server *server)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *connection = &server->connections[i];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };
        int fd;

        if (connection->fd >= 0)
            continue;
        fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
            continue;
        if (fd < 0 && errno != EAGAIN) {
            watch_listener(server, false);
            server->accept_at_ns = clock_now_ns() + ACCEPT_RETRY_NS;
        }
        if (fd < 0)
            return;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        *connection = (struct connection){ .fd = -1, .tls = server->tls ? tls_stream_new(server->tls, fd) : NULL };
        if ((server->tls && !connection->tls) || epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
            tls_stream_free(connection->tls);
            close(fd);
            return;
        }
        connection->fd = fd;
        http_reader_init(&connection->reader);
        buf_init(&connection->in, READ_BYTES);
        buf_init(&connection->out, ANSWER_BYTES_MAX);
        begin_request(connection);
    }
    watch_listener(server, false); /* full: until one ends */
}

static ssize_t send_some(struct connection *connection, const void *bytes, size_t size)
{
    return connection->tls ? tls_send(connection->tls, bytes, size) : send(connection->fd, bytes, size, MSG_NOSIGNAL);
}

/* ---- answers ---------------------------------------------------------------------------------------------------------- */

static void linger(struct http_server *server, struct connection *connection)
{
    if (connection->tls)
        tls_farewell(connection->tls);
    (void)shutdown(connection->fd, SHUT_WR);
    connection->state = LINGERING;
    connection->deadline_ns = clock_now_ns() + LINGER_LIMIT_NS;
    if (connection->ended)
        end(server, connection);
    else
        watch(server, connection, EPOLLIN);
}

/* Sends what is left; true when all of it is out and the connection goes on. */
static bool write_answer(struct http_server *server, struct connection *connection)
{
    while (connection->sent < connection->out.length) {
        ssize_t sent = send_some(connection, connection->out.data + connection->sent, connection->out.length - connection->sent);

        if (sent < 0 && errno == EAGAIN) {
            watch(server, connection, EPOLLOUT);
            return false;
        }
        if (sent < 0 && errno != EINTR) {
            end(server, connection);
            return false;
        }
        connection->sent += sent > 0 ? (size_t)sent : 0;
    }
    if (connection->closes) {
        linger(server, connection);
        return false;
    }
    begin_request(connection);
    watch(server, connection, EPOLLIN);
    return true;
}

static void put_answer(struct connection *connection, const struct http_response *response, bool keep_alive)
{
    bool has_body = response->status != 204 && strcmp(connection->reader.request.method, "HEAD") != 0;
    struct buf *out = &connection->out;

    buf_printf(out, "HTTP/1.1 %d %s\r\n", response->status, http_reason(response->status));
    if (response->content_type)
        buf_printf(out, "Content-Type: %s\r\n", response->content_type);
    if (response->status != 204)
        buf_printf(out, "Content-Length: %zu\r\n", response->body.length);
    buf_printf(out, "%s%s\r\n", response->extra, keep_alive ? "" : "Connection: close\r\n");
    if (has_body)
        buf_append(out, response->body.data, response->body.length);
    connection->closes = !keep_alive;
    connection->state = WRITING;
    connection->deadline_ns = clock_now_ns() + ANSWER_LIMIT_NS;
}

static void answer_failure(struct connection *connection, int status, const char *text)
{
    struct http_response response = { .status = status, .content_type = "application/json" };

    buf_init(&response.body, 256);
    buf_printf(&response.body, "{\"error\":\"%s\",\"status\":%d}\n", text, status);
    put_answer(connection, &response, false);
    buf_done(&response.body);
}

static void answer_request(struct http_server *server, struct connection *connection)
{
    struct http_response response = { .status = 200 };

    buf_init(&response.body, ANSWER_BYTES_MAX / 2);
    server->answer(server->context, &connection->reader.request, &response);
    if (response.body.failed)
        answer_failure(connection, 500, http_reason(500));
    else
        put_answer(connection, &response, connection->reader.request.keep_alive && server->listen_fd >= 0);
    buf_done(&response.body);
}

/* ---- requests --------------------------------------------------------------------------------------------------------- */

/* A client that speaks TLS to a plain server cannot read why it is refused: whoever started the server is told. */
static bool refuse_tls(struct http_server *server, struct connection *connection)
{
    if (connection->tls || !http_reader_is_empty(&connection->reader) || (unsigned char)connection->in.data[0] != TLS_HANDSHAKE)
        return false;
    if (!server->told_of_tls)
        log_line(LOG_LEVEL_WARN, "A client spoke TLS to the API, which is plain HTTP: it needs http://, or this server -tls-cert and -tls-key",
                 NULL);
    server->told_of_tls = true;
    answer_failure(connection, 400, "TLS was sent to a plain HTTP port: use http://");
    return true;
}

/* Hands what came to the reader. True when there is an answer to be written. */
static bool read_request(struct http_server *server, struct connection *connection)
{
    bool was_empty = http_reader_is_empty(&connection->reader);
    struct buf *in = &connection->in;
    size_t taken;
    int result;

    if (refuse_tls(server, connection))
        return true;
    result = http_reader_feed(&connection->reader, in->data, in->length, &taken);

    memmove(in->data, in->data + taken, in->length - taken + 1);
    in->length -= taken;
    if (was_empty && !http_reader_is_empty(&connection->reader))
        connection->deadline_ns = clock_now_ns() + REQUEST_LIMIT_NS;
    if (result < 0) {
        answer_failure(connection, -result, http_reason(-result));
        return true;
    }
    if (connection->reader.wants_continue && connection->reader.phase != HTTP_HEAD && !result) {
        connection->reader.wants_continue = false;
        (void)!send_some(connection, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    if (result == 1)
        answer_request(server, connection);
    return result == 1;
}

/* What OpenSSL has read of the request is gone, and the client waits for a plain answer. */
static void answer_plainly(struct http_server *server, struct connection *connection)
{
    tls_stream_free(connection->tls);
    connection->tls = NULL;
    answer_failure(connection, 400, "plain HTTP was sent to an HTTPS port: use https://");
    (void)write_answer(server, connection);
}

/* Receives into `in`. False when the connection has ended. */
static bool receive(struct http_server *server, struct connection *connection)
{
    char bytes[READ_BYTES];
    size_t room = sizeof(bytes) - connection->in.length;
    ssize_t got;

    if (!room)
        return true;
    got = connection->tls ? tls_receive(connection->tls, bytes, room) : recv(connection->fd, bytes, room, 0);
    if (got < 0 && connection->tls && tls_was_plain(connection->tls)) {
        answer_plainly(server, connection);
        return false;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0) {
        connection->ended = true;
        if (got < 0 || connection->state != WRITING)
            end(server, connection);
        return connection->fd >= 0;
    }
    if (connection->state == READING)
        buf_append(&connection->in, bytes, (size_t)got);
    return true;
}

static void serve(struct http_server *server, struct connection *connection, uint32_t events)
{
    if (connection->fd < 0)
        return;
    if (connection->state == WRITING) {
        if (events & (EPOLLERR | EPOLLHUP) && !(events & EPOLLOUT)) {
            end(server, connection);
            return;
        }
        if (!write_answer(server, connection))
            return;
    } else if (!receive(server, connection)) {
        return;
    }
    for (int i = 0; i < REQUESTS_A_TURN && connection->fd >= 0 && connection->state == READING && connection->in.length; i++)
        if (read_request(server, connection) && !write_answer(server, connection))
            return;
    if (connection->fd >= 0 && connection->state == READING && (connection->in.length || tls_has_more(connection->tls)))
        watch(server, connection, EPOLLIN | EPOLLOUT); /* there is a rest: come back after the others */
    else if (connection->fd >= 0 && connection->state == READING)
        watch(server, connection, EPOLLIN);
}

static void look_at_time(struct http_server *server)
{
    uint64_t now_ns = clock_now_ns();

    if (server->accept_at_ns && now_ns >= server->accept_at_ns) {
        server->accept_at_ns = 0;
        if (server->listen_fd >= 0)
            watch_listener(server, true);
    }
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *connection = &server->connections[i];

        if (connection->fd < 0 || now_ns < connection->deadline_ns)
            continue;
        if (connection->state != READING || http_reader_is_empty(&connection->reader)) {
            end(server, connection);
            continue;
        }
        answer_failure(connection, 408, http_reason(408));
        (void)write_answer(server, connection);
    }
}

void http_server_turn(struct http_server *server)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(server->epoll_fd, events, EVENTS_MAX, 0);

    for (int i = 0; i < count; i++)
        if (events[i].data.ptr)
            serve(server, events[i].data.ptr, events[i].events);
        else
            accept_all(server);
    look_at_time(server);
}

uint64_t http_server_next_ns(const struct http_server *server)
{
    uint64_t next_ns = server->accept_at_ns ? server->accept_at_ns : UINT64_MAX;

    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (server->connections[i].fd >= 0)
            next_ns = MIN(next_ns, server->connections[i].deadline_ns);
    return next_ns;
}

/* ---- life of the server ----------------------------------------------------------------------------------------------- */

int http_server_fd(const struct http_server *server)
{
    return server->epoll_fd;
}

int http_server_new(int listen_fd, struct tls *tls, http_answer *answer, void *context, struct http_server **ret_server)
{
    struct http_server *server = calloc(1, sizeof(*server));
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

    if (!server) {
        close(listen_fd);
        return -ENOMEM;
    }
    server->listen_fd = listen_fd;
    server->tls = tls;
    server->answer = answer;
    server->context = context;
    server->accepting = true;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        server->connections[i].fd = -1;
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (server->epoll_fd < 0 || epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) < 0) {
        int error = errno;

        http_server_free(server);
        return -error;
    }
    *ret_server = server;
    return 0;
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    server->listen_fd = -1;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        end(server, &server->connections[i]);
    if (server->epoll_fd >= 0)
        close(server->epoll_fd);
    free(server);
}

bool http_server_drain(struct http_server *server)
{
    bool done = true;

    if (server->listen_fd >= 0)
        close(server->listen_fd);
    server->listen_fd = -1;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *connection = &server->connections[i];

        if (connection->fd >= 0 && connection->state == READING && http_reader_is_empty(&connection->reader))
            end(server, connection);
        done = done && connection->fd < 0;
    }
    return done;
}
