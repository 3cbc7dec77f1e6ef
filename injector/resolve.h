/* "HOST:PORT" to a socket address. Control thread: a name may block on the resolver. */
#ifndef PERTURB_INJECTOR_RESOLVE_H
#define PERTURB_INJECTOR_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* "127.0.0.1:0", "[::1]:80", "localhost:6379", ":80" (to listen on: any address). Numeric forms never touch the resolver; of a
 * name's addresses an IPv4 one is preferred. 0; -EINVAL malformed; -ENOENT no such name or service; -EAGAIN the resolver failed. */
int resolve_address(const char *text, bool listen, struct sockaddr_storage *ret_address, socklen_t *ret_size);

/* Prints "127.0.0.1:80" or "[::1]:80"; returns `text`. */
char *resolve_print(const struct sockaddr *address, char *text, size_t size);

#endif
