/* A program without TLS: refuses it in clear words. */
#include "controller/toxiproxy/tls.h"

#include <errno.h>

int tls_new(const char *cert_path, const char *key_path, struct tls **ret_tls, struct buf *why)
{
    (void)cert_path;
    (void)key_path;
    (void)ret_tls;
    buf_puts(why, "this perturb-proxy was built without TLS; `perturb proxy` has it, and so has one built with TLS=1");
    return -ENOTSUP;
}

void tls_free(struct tls *tls)
{
    (void)tls;
}

struct tls_stream *tls_stream_new(struct tls *tls, int fd)
{
    (void)tls;
    (void)fd;
    return NULL;
}

void tls_stream_free(struct tls_stream *stream)
{
    (void)stream;
}

ssize_t tls_receive(struct tls_stream *stream, void *bytes, size_t size)
{
    (void)stream;
    (void)bytes;
    (void)size;
    errno = EPROTO;
    return -1;
}

ssize_t tls_send(struct tls_stream *stream, const void *bytes, size_t size)
{
    (void)stream;
    (void)bytes;
    (void)size;
    errno = EPROTO;
    return -1;
}

uint32_t tls_events(const struct tls_stream *stream, uint32_t events)
{
    (void)stream;
    return events;
}

bool tls_has_more(const struct tls_stream *stream)
{
    (void)stream;
    return false;
}

bool tls_was_plain(const struct tls_stream *stream)
{
    (void)stream;
    return false;
}

void tls_farewell(struct tls_stream *stream)
{
    (void)stream;
}
