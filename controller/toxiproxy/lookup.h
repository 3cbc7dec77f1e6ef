/* A name turned into an address by a thread of its own, since getaddrinfo(3) knows no time limit. */
#ifndef PERTURB_TOXIPROXY_LOOKUP_H
#define PERTURB_TOXIPROXY_LOOKUP_H

#include "scenarios/base/buf.h"
#include "scenarios/vocab/message.h"

struct lookup;

/* Starts to look up "HOST:PORT" (host and service names allowed; a host is required). Returns new; NULL without memory or threads. */
struct lookup *lookup_begin(const char *address);

/* Waits at most timeout_ms. 0 and the numeric address ("127.0.0.1:80", "[::1]:80"); -EAGAIN: not known yet; -ENOENT: there is no
 * such name now; -EINVAL: no address at all. */
int lookup_await(struct lookup *lookup, int timeout_ms, char ret_address[ADDRESS_TEXT_MAX]);

/* Lets go of it, finished or not. Accepts NULL. */
void lookup_end(struct lookup *lookup);

/* Go's net.SplitHostPort. `host` and `port` hold ADDRESS_PART_MAX. 0; -EINVAL with its words in `why`. */
enum { ADDRESS_PART_MAX = 256 };
int address_split(const char *address, char *host, char *port, struct buf *why);

/* An address to listen on as a numeric one, by Go's rules: no host is every address of both families where there is IPv6. `strict`:
 * so is 0.0.0.0. 0; -EINVAL with the words of Go's net.Listen in `why`, "listen tcp: " not included. */
int address_to_listen(const char *address, bool strict, char ret_address[ADDRESS_TEXT_MAX], struct buf *why);

#endif
