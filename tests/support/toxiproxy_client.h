/* The server of controller/toxiproxy as a child process, and a raw HTTP client for it. */
#ifndef PERTURB_TESTS_TOXIPROXY_CLIENT_H
#define PERTURB_TESTS_TOXIPROXY_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct toxi {
    pid_t pid;
    uint16_t port;
    int log_fd;
    pthread_t drain;
};

struct toxi_answer {
    int status;
    char *head; /* owned by the answer: the status line and headers */
    char *body; /* and the body, NUL-terminated */
    size_t size;
    bool closed; /* the server ended the connection */
};

/* Starts the server on a free port of the loopback; `args` are further flags, ended by NULL. Asserts. */
void toxi_start(struct toxi *toxi, const char *const *args);
int toxi_stop(struct toxi *toxi); /* SIGTERM: the exit status; -1 when it had to be killed */

int toxi_connect(const struct toxi *toxi);

/* Sends bytes as they are and reads one answer. False when none came whole. */
bool toxi_raw(int fd, const char *bytes, size_t size, struct toxi_answer *ret_answer);
bool toxi_read(int fd, struct toxi_answer *ret_answer);
void toxi_answer_done(struct toxi_answer *answer);

/* One request on a connection of its own; `body` may be NULL. Asserts that an answer came; the caller ends it. */
struct toxi_answer toxi_ask(const struct toxi *toxi, const char *method, const char *path, const char *body);

/* The same, for its status alone; and with the value of a field of the answered object as text, "" when absent. */
int toxi_do(const struct toxi *toxi, const char *method, const char *path, const char *body);
int toxi_get(const struct toxi *toxi, const char *path, const char *field, char *text, size_t size);

#endif
