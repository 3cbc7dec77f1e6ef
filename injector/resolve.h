/* Addresses in words: "HOST:PORT" and "unix:PATH" to socket addresses and back; names looked up by helpers, so that a loop never
 * waits for one. */
#ifndef PERTURB_INJECTOR_RESOLVE_H
#define PERTURB_INJECTOR_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* "127.0.0.1:0", "[::1]:80", "localhost:6379", ":80" (to listen on: any address), "unix:/run/a.sock" (unix(7); "unix:@name" is an
 * abstract one). A name may block on the resolver; other forms never touch it. Of a name's addresses an IPv4 one is preferred.
 * 0; -EINVAL malformed, or a path too long; -ENOENT no such name or service; -EAGAIN the resolver failed. */
int resolve_address(const char *text, bool listen, struct sockaddr_storage *ret_address, socklen_t *ret_size);

/* As resolve_address to connect to, without ever asking the resolver: a name is only checked for its shape and service, and
 * *ret_size is 0 then. */
int resolve_without_names(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_size);

/* Prints "127.0.0.1:80", "[::1]:80" or "unix:/run/a.sock"; returns `text`. */
char *resolve_print(const struct sockaddr *address, char *text, size_t size);

/* ---- names, by the way ---- */

/* Looks names up on threads of its own, made when needed. One thread asks and takes. */
struct resolver;

struct resolved {
    uint64_t tag;
    int result; /* of resolve_address */
    struct sockaddr_storage address;
    socklen_t size;
};

/* Returns new. `wake_fd` is an eventfd, borrowed until resolver_free returns: written to when an answer is there. 0, -ENOMEM. */
int resolver_new(int wake_fd, struct resolver **ret_resolver);

/* Forgets what was asked; a look-up under way ends by itself, unheard. Accepts NULL. */
void resolver_free(struct resolver *resolver);

/* 0; -EINVAL, -ENOMEM, -EAGAIN without a thread: no answer will come. */
int resolver_ask(struct resolver *resolver, uint64_t tag, const char *text);

/* An answer, in any order; false when none is there. */
bool resolver_take(struct resolver *resolver, struct resolved *ret_resolved);

#endif
