/* The socket of the service. */
#ifndef PERTURB_SERVE_LISTEN_H
#define PERTURB_SERVE_LISTEN_H

#include "scenarios/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct listening {
    int fd;
    bool loopback, is_unix;
    uint16_t port;     /* 0 of a Unix socket */
    char address[160]; /* "127.0.0.1:8470", "[::1]:8470", "unix:/run/x" */
};

/* Opens a listening socket at "ADDRESS:PORT" (a number, or "localhost") or "unix:PATH" (0600; a socket nobody listens at is replaced).
 * 0; negative with an error added. The caller closes `fd`. */
int listen_open(const char *text, struct listening *ret_listening, struct errs *errs);

#endif
