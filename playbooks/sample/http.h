/* A small HTTP/1.1 keep-alive server: one loop thread reads, parses and writes; answers may come from any thread.
 *
 * 1. At most one request of a connection is in the handler's hands at a time; pipelined ones wait in the connection's buffer.
 * 2. A ticket names a request for ever: once its client has gone, answers to it are dropped, and http_is_abandoned says so.
 * 3. Request heads are at most 8 KiB, bodies are read and ignored within the same bound, answers are at most 8 KiB. */
#ifndef PERTURB_PLAYBOOKS_SAMPLE_HTTP_H
#define PERTURB_PLAYBOOKS_SAMPLE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;

struct http_ticket {
    uint32_t slot;
    uint32_t generation;
};

struct http_request {
    struct http_ticket ticket;
    const char *method; /* borrowed until the handler returns */
    const char *path;
    uint64_t received_ns;
};

typedef void http_handler(void *context, const struct http_request *request);
typedef void http_watcher(void *context, uint32_t epoll_events);

/* Takes listen_fd. Returns new; 0 or -errno. */
int http_new(int listen_fd, http_handler *handler, void *context, struct http_server **ret_server);
struct http_server *http_free(struct http_server *server);

/* Lets the same loop watch another descriptor. At most 8; 0 or -errno. The watcher may unwatch itself. */
int http_watch(struct http_server *server, int fd, uint32_t epoll_events, http_watcher *watcher, void *context);
void http_unwatch(struct http_server *server, int fd);

/* Handles what is ready; waits for it until deadline_ns (monotonic; 0 = for ever). */
void http_step(struct http_server *server, uint64_t deadline_ns);

/* Answers a request: `headers` is "Name: value\r\n"..., `body` JSON or text. Both are copied. Any thread. */
void http_reply(struct http_server *server, struct http_ticket ticket, int status, const char *headers, const char *body);

/* True once the client of the request closed its connection. Any thread. */
bool http_is_abandoned(const struct http_server *server, struct http_ticket ticket);

#endif
