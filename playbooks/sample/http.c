/* A small HTTP/1.1 keep-alive server. Connection states: READING -> BUSY (the handler has the request) -> WRITING -> READING. */
#include "playbooks/sample/http.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "playbooks/sample/net.h"
#include "scenarios/base/clock.h"

enum { CONNECTIONS_MAX = 8192, BUFFER_BYTES = 8192, WATCHES_MAX = 8, EVENTS_MAX = 128, ACCEPTS_PER_STEP = 64 };
/* Low half of an epoll key: a connection's slot, or one of these; high half: the connection's generation, so that an event of a
 * dead connection in the same batch never reaches the next one in its slot. */
enum { KEY_LISTEN = CONNECTIONS_MAX, KEY_WAKE, KEY_WATCH };

enum state { FREE, READING, BUSY, WRITING };

struct connection {
    atomic_uint generation; /* raised when the connection ends; the only field other threads read */
    int fd;
    enum state state;
    bool closing; /* close once the answer is out */
    size_t in_length, out_length, out_sent;
    char in[BUFFER_BYTES + 1];
    char out[BUFFER_BYTES];
};

struct answer {
    struct answer *next;
    struct http_ticket ticket;
    size_t length;
    char text[];
};

struct watch {
    int fd; /* -1: free */
    http_watcher *watcher;
    void *context;
};

struct http_server {
    int listen_fd, epoll_fd, wake_fd;
    http_handler *handler;
    void *context;
    struct watch watches[WATCHES_MAX];
    _Atomic(struct connection *) connections[CONNECTIONS_MAX]; /* made on first use, kept until http_free */
    uint32_t free_slots[CONNECTIONS_MAX];
    size_t free_count;
    pthread_mutex_t lock; /* guards the answers */
    struct answer *first, **last;
};

static int watch_fd(const struct http_server *server, int operation, int fd, uint32_t events, uint64_t key)
{
    struct epoll_event event = { .events = events, .data.u64 = key };

    return epoll_ctl(server->epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

int http_new(int listen_fd, http_handler *handler, void *context, struct http_server **ret_server)
{
    struct http_server *server = calloc(1, sizeof(*server));

    if (!server)
        return -ENOMEM;
    *server = (struct http_server){ .listen_fd = listen_fd, .handler = handler, .context = context, .free_count = CONNECTIONS_MAX };
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++)
        server->free_slots[i] = CONNECTIONS_MAX - 1 - i;
    for (size_t i = 0; i < WATCHES_MAX; i++)
        server->watches[i].fd = -1;
    server->last = &server->first;
    pthread_mutex_init(&server->lock, NULL);
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (server->epoll_fd < 0 || server->wake_fd < 0 || watch_fd(server, EPOLL_CTL_ADD, listen_fd, EPOLLIN, KEY_LISTEN) < 0 ||
        watch_fd(server, EPOLL_CTL_ADD, server->wake_fd, EPOLLIN, KEY_WAKE) < 0) {
        int rc = -errno;
        http_free(server);
        return rc;
    }
    *ret_server = server;
    return 0;
}

static struct connection *connection_at(const struct http_server *server, uint32_t slot)
{
    return slot < CONNECTIONS_MAX ? atomic_load(&server->connections[slot]) : NULL;
}

static uint64_t connection_key(const struct connection *connection, uint32_t slot)
{
    return (uint64_t)atomic_load(&connection->generation) << 32 | slot;
}

struct http_server *http_free(struct http_server *server)
{
    if (!server)
        return NULL;
    for (uint32_t slot = 0; slot < CONNECTIONS_MAX; slot++) {
        struct connection *connection = connection_at(server, slot);
        if (connection && connection->state != FREE)
            close(connection->fd);
        free(connection);
    }
    while (server->first) {
        struct answer *next = server->first->next;
        free(server->first);
        server->first = next;
    }
    pthread_mutex_destroy(&server->lock);
    if (server->epoll_fd >= 0)
        close(server->epoll_fd);
    if (server->wake_fd >= 0)
        close(server->wake_fd);
    close(server->listen_fd);
    free(server);
    return NULL;
}

int http_watch(struct http_server *server, int fd, uint32_t epoll_events, http_watcher *watcher, void *context)
{
    for (size_t i = 0; i < WATCHES_MAX; i++)
        if (server->watches[i].fd < 0) {
            int rc = watch_fd(server, EPOLL_CTL_ADD, fd, epoll_events, KEY_WATCH + i);
            if (rc == 0)
                server->watches[i] = (struct watch){ fd, watcher, context };
            return rc;
        }
    return -ENOSPC;
}

void http_unwatch(struct http_server *server, int fd)
{
    for (size_t i = 0; i < WATCHES_MAX; i++)
        if (server->watches[i].fd == fd) {
            (void)watch_fd(server, EPOLL_CTL_DEL, fd, 0, 0);
            server->watches[i].fd = -1;
        }
}

bool http_is_abandoned(const struct http_server *server, struct http_ticket ticket)
{
    const struct connection *connection = connection_at(server, ticket.slot);

    return !connection || atomic_load(&connection->generation) != ticket.generation;
}

static void connection_end(struct http_server *server, uint32_t slot, struct connection *connection)
{
    close(connection->fd);
    connection->state = FREE;
    atomic_fetch_add(&connection->generation, 1);
    server->free_slots[server->free_count++] = slot;
}

static void accept_all(struct http_server *server)
{
    const int on = 1;

    for (int i = 0; i < ACCEPTS_PER_STEP; i++) {
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        uint32_t slot = server->free_count > 0 ? server->free_slots[server->free_count - 1] : CONNECTIONS_MAX;
        struct connection *connection = connection_at(server, slot);
        if (!connection && slot < CONNECTIONS_MAX) {
            connection = calloc(1, sizeof(*connection));
            atomic_store(&server->connections[slot], connection);
        }
        if (!connection || watch_fd(server, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, connection_key(connection, slot)) < 0) {
            close(fd);
            continue;
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        server->free_count--;
        connection->fd = fd;
        connection->state = READING;
        connection->closing = false;
        connection->in_length = connection->out_length = connection->out_sent = 0;
    }
}

static const char *reason(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    default: return "Service Unavailable";
    }
}

/* The value of a header, case-insensitively, or NULL; it ends at the line's end. */
static const char *header_value(const char *head, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, " \t");
    }
    return NULL;
}

/* Looks for one whole request in the buffer. Returns its bytes, 0 when more are needed, -1 when it can never be one. */
static int request_parse(struct connection *connection, const char **ret_method, const char **ret_path)
{
    char *end = memmem(connection->in, connection->in_length, "\r\n\r\n", 4);

    if (!end)
        return connection->in_length == BUFFER_BYTES ? -1 : 0;
    end[2] = '\0'; /* the head as a string; restored when the body is not there yet */
    const char *text = header_value(connection->in, "Content-Length");
    unsigned long body_bytes = text ? strtoul(text, NULL, 10) : 0;
    size_t total = (size_t)(end + 4 - connection->in) + body_bytes;
    if (body_bytes > BUFFER_BYTES || total > BUFFER_BYTES || header_value(connection->in, "Transfer-Encoding"))
        return -1;
    if (total > connection->in_length) {
        end[2] = '\r';
        return 0;
    }
    text = header_value(connection->in, "Connection");
    char *space = strchr(connection->in, ' ');
    char *space2 = space ? strchr(space + 1, ' ') : NULL;
    if (!space2 || space2 > strstr(connection->in, "\r\n") || space[1] != '/')
        return -1;
    connection->closing = strncmp(space2 + 1, "HTTP/1.1", 8) != 0 || (text && strncasecmp(text, "close", 5) == 0);
    *space = *space2 = '\0';
    *ret_method = connection->in;
    *ret_path = space + 1;
    return (int)total;
}

static int answer_print(char *text, size_t size, int status, const char *headers, const char *body)
{
    return snprintf(text, size, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s", status,
                    reason(status), strlen(body), headers, body);
}

static void connection_write(struct http_server *server, uint32_t slot, struct connection *connection);

static void connection_process(struct http_server *server, uint32_t slot, struct connection *connection)
{
    while (connection->state == READING && connection->in_length > 0) {
        const char *method, *path;
        int used = request_parse(connection, &method, &path);
        if (used == 0)
            return;
        if (used < 0) {
            connection->closing = true;
            connection->in_length = 0;
            connection->state = WRITING;
            connection->out_length = (size_t)answer_print(connection->out, BUFFER_BYTES, 400, "", "{\"error\":\"bad request\"}\n");
            connection_write(server, slot, connection);
            return;
        }
        const struct http_request request = {
            .ticket = { slot, atomic_load(&connection->generation) }, .method = method, .path = path, .received_ns = clock_now_ns()
        };
        connection->state = BUSY;
        server->handler(server->context, &request);
        connection->in_length -= (size_t)used;
        memmove(connection->in, connection->in + used, connection->in_length);
    }
}

static void connection_write(struct http_server *server, uint32_t slot, struct connection *connection)
{
    while (connection->out_sent < connection->out_length) {
        ssize_t sent = send(connection->fd, connection->out + connection->out_sent, connection->out_length - connection->out_sent,
                            MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            (void)watch_fd(server, EPOLL_CTL_MOD, connection->fd, EPOLLOUT, connection_key(connection, slot));
            return;
        }
        if (sent < 0) {
            connection_end(server, slot, connection);
            return;
        }
        connection->out_sent += (size_t)sent;
    }
    if (connection->closing) {
        connection_end(server, slot, connection);
        return;
    }
    connection->state = READING;
    connection->out_length = connection->out_sent = 0;
    (void)watch_fd(server, EPOLL_CTL_MOD, connection->fd, EPOLLIN | EPOLLRDHUP, connection_key(connection, slot));
}

static void connection_event(struct http_server *server, uint64_t key, uint32_t events)
{
    uint32_t slot = (uint32_t)key;
    struct connection *connection = connection_at(server, slot);

    if (!connection || connection->state == FREE || connection_key(connection, slot) != key)
        return;
    if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
        connection_end(server, slot, connection);
        return;
    }
    if (connection->state == WRITING) {
        connection_write(server, slot, connection);
    } else if (connection->in_length < BUFFER_BYTES) {
        ssize_t got = recv(connection->fd, connection->in + connection->in_length, BUFFER_BYTES - connection->in_length, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            connection_end(server, slot, connection);
            return;
        }
        connection->in_length += got > 0 ? (size_t)got : 0;
        connection->in[connection->in_length] = '\0';
    } else { /* a full buffer behind a busy request: stop reading until it is answered */
        (void)watch_fd(server, EPOLL_CTL_MOD, connection->fd, EPOLLRDHUP, connection_key(connection, slot));
    }
    connection_process(server, slot, connection);
}

static void answers_write(struct http_server *server)
{
    uint64_t count;
    (void)!read(server->wake_fd, &count, sizeof(count));
    pthread_mutex_lock(&server->lock);
    struct answer *answer = server->first;
    server->first = NULL;
    server->last = &server->first;
    pthread_mutex_unlock(&server->lock);

    while (answer) {
        struct answer *next = answer->next;
        struct connection *connection = connection_at(server, answer->ticket.slot);
        if (connection && connection->state == BUSY && !http_is_abandoned(server, answer->ticket)) {
            memcpy(connection->out, answer->text, answer->length);
            connection->out_length = answer->length;
            connection->state = WRITING;
            connection_write(server, answer->ticket.slot, connection);
            connection_process(server, answer->ticket.slot, connection);
        }
        free(answer);
        answer = next;
    }
}

void http_reply(struct http_server *server, struct http_ticket ticket, int status, const char *headers, const char *body)
{
    const uint64_t one = 1;
    struct answer *answer = malloc(sizeof(*answer) + BUFFER_BYTES);

    if (!answer)
        return;
    int length = answer_print(answer->text, BUFFER_BYTES, status, headers, body);
    *answer = (struct answer){ .ticket = ticket, .length = length < BUFFER_BYTES ? (size_t)length : BUFFER_BYTES - 1 };
    pthread_mutex_lock(&server->lock);
    bool was_empty = server->first == NULL;
    *server->last = answer;
    server->last = &answer->next;
    pthread_mutex_unlock(&server->lock);
    if (was_empty)
        (void)!write(server->wake_fd, &one, sizeof(one));
}

void http_step(struct http_server *server, uint64_t deadline_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now_ns = clock_now_ns();
    struct timespec left = ns_timespec(deadline_ns > now_ns ? deadline_ns - now_ns : 0);
    int count = epoll_pwait2(server->epoll_fd, events, EVENTS_MAX, deadline_ns ? &left : NULL, NULL);

    for (int i = 0; i < count; i++) {
        uint32_t key = (uint32_t)events[i].data.u64;
        if (key < CONNECTIONS_MAX) {
            connection_event(server, events[i].data.u64, events[i].events);
        } else if (key == KEY_LISTEN) {
            accept_all(server);
        } else if (key == KEY_WAKE) {
            answers_write(server);
        } else if (server->watches[key - KEY_WATCH].fd >= 0) {
            const struct watch *watch = &server->watches[key - KEY_WATCH];
            watch->watcher(watch->context, events[i].events);
        }
    }
}
