/* TLS by OpenSSL. */
#include "controller/toxiproxy/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/param.h>
#include <unistd.h>

struct tls {
    SSL_CTX *context;
};

struct tls_stream {
    SSL *ssl;
    int wants; /* SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE; SSL_ERROR_NONE */
    bool was_plain;
    bool broken; /* no farewell after a fatal error */
};

/* ---- files ------------------------------------------------------------------------------------------------------------ */

/* A key behind a passphrase is refused: nobody is asked at a terminal. */
static int no_passphrase(char *text, int size, int is_writing, void *context)
{
    (void)text;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

static int refuse(struct buf *why, const char *path, const char *what)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;

    buf_printf(why, "%s: %s%s%s%s", path, what, reason ? " (" : "", reason ? reason : "", reason ? ")" : "");
    ERR_clear_error();
    return -EINVAL;
}

static int check_readable(const char *path, struct buf *why)
{
    if (!access(path, R_OK))
        return 0;
    buf_printf(why, "%s: %s", path, strerror(errno));
    return -errno;
}

static int load(SSL_CTX *context, const char *cert_path, const char *key_path, struct buf *why)
{
    int result = check_readable(cert_path, why);

    if (result >= 0)
        result = check_readable(key_path, why);
    if (result < 0)
        return result;
    if (SSL_CTX_use_certificate_chain_file(context, cert_path) != 1)
        return refuse(why, cert_path, "this is no certificate in PEM form");
    if (SSL_CTX_use_PrivateKey_file(context, key_path, SSL_FILETYPE_PEM) != 1) {
        bool is_other = ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509; /* a key, but not this certificate's */

        return refuse(why, key_path, is_other ? "this key does not belong to the certificate" :
                                                "this is no private key in PEM form without a passphrase");
    }
    if (SSL_CTX_check_private_key(context) != 1)
        return refuse(why, key_path, "this key does not belong to the certificate");
    return 0;
}

int tls_new(const char *cert_path, const char *key_path, struct tls **ret_tls, struct buf *why)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    int result = -ENOMEM;

    if (tls)
        tls->context = SSL_CTX_new(TLS_server_method());
    if (tls && tls->context) {
        SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
        SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_default_passwd_cb(tls->context, no_passphrase);
        result = load(tls->context, cert_path, key_path, why);
    } else {
        buf_puts(why, "TLS could not be set up: out of memory");
    }
    if (result < 0) {
        tls_free(tls);
        return result;
    }
    *ret_tls = tls;
    return 0;
}

void tls_free(struct tls *tls)
{
    if (tls)
        SSL_CTX_free(tls->context);
    free(tls);
}

/* ---- streams ---------------------------------------------------------------------------------------------------------- */

struct tls_stream *tls_stream_new(struct tls *tls, int fd)
{
    struct tls_stream *stream = calloc(1, sizeof(*stream));

    if (stream)
        stream->ssl = SSL_new(tls->context);
    if (!stream || !stream->ssl || !SSL_set_fd(stream->ssl, fd)) {
        tls_stream_free(stream);
        return NULL;
    }
    SSL_set_accept_state(stream->ssl);
    return stream;
}

void tls_stream_free(struct tls_stream *stream)
{
    if (stream)
        SSL_free(stream->ssl);
    free(stream);
}

/* What a call that moved nothing means, as recv(2) and send(2) say it. */
static ssize_t explain(struct tls_stream *stream, int returned)
{
    int error = errno, kind = SSL_get_error(stream->ssl, returned);

    if (kind == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
        stream->wants = kind;
        errno = EAGAIN;
        return -1;
    }
    stream->broken = true;
    stream->was_plain = kind == SSL_ERROR_SSL && ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
    ERR_clear_error();
    errno = kind == SSL_ERROR_SYSCALL && error ? error : EPROTO;
    return -1;
}

ssize_t tls_receive(struct tls_stream *stream, void *bytes, size_t size)
{
    int got;

    ERR_clear_error();
    errno = 0;
    stream->wants = SSL_ERROR_NONE;
    got = SSL_read(stream->ssl, bytes, (int)MIN(size, (size_t)INT_MAX));
    return got > 0 ? got : explain(stream, got);
}

ssize_t tls_send(struct tls_stream *stream, const void *bytes, size_t size)
{
    int sent;

    ERR_clear_error();
    errno = 0;
    stream->wants = SSL_ERROR_NONE;
    sent = SSL_write(stream->ssl, bytes, (int)MIN(size, (size_t)INT_MAX));
    return sent > 0 ? sent : explain(stream, sent);
}

uint32_t tls_events(const struct tls_stream *stream, uint32_t events)
{
    if (!stream || stream->wants == SSL_ERROR_NONE)
        return events;
    return stream->wants == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT;
}

bool tls_has_more(const struct tls_stream *stream)
{
    return stream && SSL_pending(stream->ssl) > 0;
}

bool tls_was_plain(const struct tls_stream *stream)
{
    return stream->was_plain;
}

void tls_farewell(struct tls_stream *stream)
{
    if (stream->broken)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(stream->ssl);
    ERR_clear_error();
}
