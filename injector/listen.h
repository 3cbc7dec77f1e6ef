/* Listening sockets. Control thread. */
#ifndef PERTURB_INJECTOR_LISTEN_H
#define PERTURB_INJECTOR_LISTEN_H

#include <stddef.h>
#include <sys/socket.h>

/* A new listening socket; TCP_NODELAY is set and inherited by what it accepts (tcp(7)). 0, -errno of bind(2) and listen(2). */
int listen_at(const struct sockaddr_storage *address, socklen_t size, int *ret_fd);

/* The path that the bound address has in the file system, "" for none: to be removed when the listener ends. */
void listen_path(const struct sockaddr *address, char *text, size_t size);
void listen_remove(char *path); /* and empties it */

#endif
