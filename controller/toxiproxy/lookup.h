/* Addresses to listen on, by the rules and in the words of Go's net package. */
#ifndef PERTURB_TOXIPROXY_LOOKUP_H
#define PERTURB_TOXIPROXY_LOOKUP_H

#include "scenarios/base/buf.h"
#include "scenarios/vocab/message.h"

enum { ADDRESS_PART_MAX = 256 };

/* Go's net.SplitHostPort. `host` and `port` hold ADDRESS_PART_MAX. 0; -EINVAL with its words in `why`. */
int address_split(const char *address, char *host, char *port, struct buf *why);

/* An address to listen on as a numeric one, by Go's rules: no host is every address of both families where there is IPv6. `strict`:
 * so is 0.0.0.0. A name is looked up for less than a second. "unix:PATH" is left as it is. 0; -EINVAL with the words of Go's
 * net.Listen in `why`, "listen tcp: " not included. */
int address_to_listen(const char *address, bool strict, char ret_address[ADDRESS_TEXT_MAX], struct buf *why);

#endif
