/* Connections of loads whose request is some bytes and whose reply has an end (stream.h).
 * 1. A connection whose request was given up is closed: its answer would be taken for the next one's.
 * 2. Descriptors are watched edge-triggered for everything at once, so each event is answered by writing and reading until
 *    nothing is left to do.
 *
 *   CLOSED --send--> CONNECTING --writable--> BUSY --answer--> IDLE --send--> BUSY        any --error, FIN, cancel--> CLOSED */
#include "controller/load/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MAX = 1024 * 1024, READ_BYTES = 65536 };

static void connection_close(struct stream_connection *connection)
{
    if (connection->state != STREAM_CLOSED)
        close(connection->fd);
    connection->state = STREAM_CLOSED;
}

static void fail(struct load *load, uint32_t number, enum load_outcome outcome)
{
    struct stream *stream = load->backend_data;
    bool had_request = stream->connections[number].state != STREAM_IDLE;

    connection_close(&stream->connections[number]);
    if (had_request)
        load_finish(load, number, outcome, 0);
}

static enum load_outcome connect_outcome(int error)
{
    return error == ECONNREFUSED ? LOAD_REFUSED : LOAD_CONNECT_FAILED;
}

/* The request, as far as the socket takes it; false when the connection failed. */
static bool write_request(struct load *load, uint32_t number)
{
    struct stream *stream = load->backend_data;
    struct stream_connection *connection = &stream->connections[number];

    const struct buf *request = &stream->requests[load->slots[number].variant];

    while (connection->written < request->length) {
        ssize_t sent = send(connection->fd, request->data + connection->written, request->length - connection->written, MSG_NOSIGNAL);
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

static void finish_reply(struct load *load, uint32_t number, bool good)
{
    struct stream *stream = load->backend_data;

    stream->connections[number].state = STREAM_IDLE;
    if (!stream->framing->keeps(load))
        connection_close(&stream->connections[number]);
    load_finish(load, number, good && load_reply_is_good(load, number) ? LOAD_OK : LOAD_WRONG_REPLY, 0);
}

static void take_reply(struct load *load, uint32_t number, const char *bytes, size_t length)
{
    struct stream *stream = load->backend_data;
    size_t used;
    enum stream_reply reply = stream->framing->feed(load, number, &stream->connections[number].progress, bytes, length, &used);

    if (reply != STREAM_MORE && used < length)
        fail(load, number, LOAD_WRONG_REPLY);
    else if (reply != STREAM_MORE)
        finish_reply(load, number, reply == STREAM_GOOD);
}

/* The peer has ended the connection: that may be the end of the reply, too. */
static void take_end(struct load *load, uint32_t number)
{
    struct stream *stream = load->backend_data;
    struct stream_connection *connection = &stream->connections[number];
    enum stream_reply reply = STREAM_MORE;

    if (connection->state == STREAM_BUSY)
        reply = stream->framing->end(load, number, &connection->progress);
    if (reply == STREAM_MORE)
        fail(load, number, LOAD_RESET);
    else
        finish_reply(load, number, reply == STREAM_GOOD);
}

/* `ending`: the peer's FIN or RST was announced together with these bytes and will not be announced again. */
static void read_reply(struct load *load, uint32_t number, bool ending)
{
    struct stream *stream = load->backend_data;
    struct stream_connection *connection = &stream->connections[number];
    char bytes[READ_BYTES];

    while (connection->state == STREAM_BUSY || connection->state == STREAM_IDLE) {
        ssize_t got = recv(connection->fd, bytes, sizeof(bytes), 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got == 0) {
            take_end(load, number);
            return;
        }
        if (got < 0 || connection->state == STREAM_IDLE) { /* bytes nobody asked for end an idle connection too */
            fail(load, number, LOAD_RESET);
            return;
        }
        take_reply(load, number, bytes, (size_t)got);
        if (connection->state == STREAM_IDLE && (size_t)got < sizeof(bytes) && !ending)
            return;
    }
}

static void connect_begin(struct load *load, uint32_t number)
{
    const int on = 1;
    struct stream *stream = load->backend_data;
    struct stream_connection *connection = &stream->connections[number];
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = number };

    connection->fd = socket(stream->address.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        load_finish(load, number, LOAD_CONNECT_FAILED, 0);
        return;
    }
    load_count(&load->counts.connects, 1);
    connection->state = STREAM_CONNECTING;
    (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if ((connect(connection->fd, (const struct sockaddr *)&stream->address.address, stream->address.length) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        fail(load, number, connect_outcome(errno));
}

void stream_send(struct load *load, uint32_t number)
{
    struct stream *stream = load->backend_data;
    struct stream_connection *connection = &stream->connections[number];

    connection->written = 0;
    memset(&connection->progress, 0, sizeof(connection->progress));
    if (connection->state == STREAM_CLOSED) {
        connect_begin(load, number);
        return;
    }
    connection->state = STREAM_BUSY;
    (void)write_request(load, number);
}

void stream_cancel(struct load *load, uint32_t number)
{
    struct stream *stream = load->backend_data;

    connection_close(&stream->connections[number]);
}

void stream_event(struct load *load, uint64_t key, uint32_t events)
{
    struct stream *stream = load->backend_data;
    uint32_t number = (uint32_t)key;
    struct stream_connection *connection = &stream->connections[number];

    if (connection->state == STREAM_CLOSED)
        return;
    if (connection->state == STREAM_CONNECTING) {
        int error = 0;
        socklen_t length = sizeof(error);
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error != 0) {
            fail(load, number, connect_outcome(error));
            return;
        }
        connection->state = STREAM_BUSY;
    }
    if (connection->state == STREAM_BUSY && !write_request(load, number))
        return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
        read_reply(load, number, (events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) != 0);
}

int stream_open(struct load *load, const struct stream_framing *framing, struct errs *errs, struct stream **ret_stream)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    load->backend_data = stream;
    if (stream) {
        stream->framing = framing;
        stream->connections = calloc(load->spec.connections_max, sizeof(*stream->connections));
        stream->requests = calloc(load->spec.mix_count, sizeof(*stream->requests));
    }
    if (!stream || !stream->connections || !stream->requests) {
        errs_add(errs, ERR_WORLD, "load", "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < load->spec.mix_count; i++)
        buf_init(&stream->requests[i], REQUEST_MAX);
    *ret_stream = stream;
    return 0;
}

void stream_close(struct load *load)
{
    struct stream *stream = load->backend_data;

    if (!stream)
        return;
    for (uint32_t i = 0; stream->connections && i < load->spec.connections_max; i++)
        connection_close(&stream->connections[i]);
    for (size_t i = 0; stream->requests && i < load->spec.mix_count; i++)
        buf_done(&stream->requests[i]);
    free(stream->connections);
    free(stream->requests);
    free(stream->until);
    free(stream);
}
