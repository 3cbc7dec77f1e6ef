/* TLS under the API's connections. Two files carry this header out: tls.c by OpenSSL, in `perturb`; tls_absent.c by refusing, in
 * perturb-proxy, which needs no such library unless it is built with TLS=1.
 *
 * 1. Nothing blocks: what would is EAGAIN, and tls_events tells what to wait for.
 * 2. TLS 1.2 and above. Clients are not asked for certificates. */
#ifndef PERTURB_TOXIPROXY_TLS_H
#define PERTURB_TOXIPROXY_TLS_H

#include "scenarios/base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tls; /* certificate and key */
struct tls_stream; /* one connection */

/* Reads both files (PEM). Returns new. 0; -ENOTSUP: this program has no TLS; -EINVAL: a file is not what it should be, or they do not
 * fit each other; -errno of reading. The reason in `why`, one sentence with the file in it. */
int tls_new(const char *cert_path, const char *key_path, struct tls **ret_tls, struct buf *why);
void tls_free(struct tls *tls); /* accepts NULL */

/* Returns new; the handshake is part of the first receives. `fd` is borrowed and not blocking. NULL when memory is out. */
struct tls_stream *tls_stream_new(struct tls *tls, int fd);
void tls_stream_free(struct tls_stream *stream); /* accepts NULL; no farewell */

/* As recv(2) and send(2). -1 with errno: EAGAIN; EPROTO: not TLS, or a client that gave up; ECONNRESET. */
ssize_t tls_receive(struct tls_stream *stream, void *bytes, size_t size);
ssize_t tls_send(struct tls_stream *stream, const void *bytes, size_t size);

uint32_t tls_events(const struct tls_stream *stream, uint32_t events); /* of epoll(7): what to wait for to go on with `events` */
bool tls_has_more(const struct tls_stream *stream); /* bytes have been received that tls_receive can hand out at once */
bool tls_was_plain(const struct tls_stream *stream); /* the client spoke plain HTTP */
void tls_farewell(struct tls_stream *stream); /* tells the client that nothing more comes */

#endif
