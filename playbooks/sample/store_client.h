/* The store's client protocol (RESP2), as much as the shop needs. Source: the Redis protocol specification. */
#ifndef PERTURB_PLAYBOOKS_SAMPLE_STORE_CLIENT_H
#define PERTURB_PLAYBOOKS_SAMPLE_STORE_CLIENT_H

#include <stddef.h>
#include <stdint.h>

/* GET key by the deadline (0 = for ever). `value` is cut to size - 1; an unknown key gives "".
 * 0; -ETIMEDOUT, -ECONNRESET (ended early), -EPROTO (an error reply, or no RESP). After an error the connection is spoilt. */
int store_get(int fd, const char *key, uint64_t deadline_ns, char *value, size_t size);

#endif
