/* Bytes over TCP, and a reply whose end is a length, a text, or the connection's. */
#include <errno.h>
#include <stdlib.h>

#include "controller/load/stream.h"

static bool is_framed(const struct load *load)
{
    return load->spec.reply_bytes || load->spec.reply_until;
}

/* How many of the bytes lie before the end of the text, that included; *state is match->length when it was found. */
static size_t find_end(const struct match *match, size_t *state, const char *bytes, size_t length)
{
    size_t used = 0;

    while (used < length && *state < match->length)
        *state = match_feed(match, *state, &bytes[used++], 1);
    return used;
}

static enum stream_reply tcp_feed(struct load *load, uint32_t slot, union stream_progress *progress, const char *bytes, size_t length,
                                  size_t *ret_used)
{
    const struct stream *stream = load->backend_data;
    uint64_t left = load->spec.reply_bytes ? load->spec.reply_bytes - progress->tcp.got : length;
    size_t used = left < length ? (size_t)left : length;
    bool done;

    if (load->spec.reply_until)
        used = find_end(stream->until, &progress->tcp.until_state, bytes, length);
    progress->tcp.got += used;
    load_take_bytes(load, slot, bytes, used);
    *ret_used = used;
    if (load->spec.reply_until)
        done = progress->tcp.until_state == stream->until->length;
    else if (load->spec.reply_bytes)
        done = progress->tcp.got == load->spec.reply_bytes;
    else
        done = load_request_of(load, slot)->expect_text && load_has_expected(load, slot);
    return done ? STREAM_GOOD : STREAM_MORE;
}

static enum stream_reply tcp_end(const struct load *load, uint32_t slot, const union stream_progress *progress)
{
    (void)slot;
    return is_framed(load) || !progress->tcp.got ? STREAM_MORE : STREAM_GOOD;
}

static int tcp_open(struct load *load, struct errs *errs)
{
    static const struct stream_framing framing = { .feed = tcp_feed, .end = tcp_end, .keeps = is_framed };
    struct stream *stream;
    int rc = stream_open(load, &framing, errs, &stream);

    if (rc == 0)
        rc = load_address_resolve(load->spec.url, "tcp", NULL, errs, &stream->address);
    for (size_t i = 0; rc == 0 && i < load->spec.mix_count; i++) {
        const struct load_request *request = &load->spec.mix[i];

        rc = request->body ? buf_append(&stream->requests[i], request->body, request->body_bytes) : 0;
        if (rc < 0)
            errs_add(errs, ERR_INPUT, "send", "is larger than 1 MiB");
    }
    if (rc == 0 && load->spec.reply_until && (!(stream->until = calloc(1, sizeof(*stream->until))) ||
                                              match_init(stream->until, load->spec.reply_until) < 0))
        rc = -ENOMEM;
    return rc;
}

const struct load_backend load_tcp_backend = {
    .open = tcp_open, .send = stream_send, .cancel = stream_cancel, .on_event = stream_event, .timer_ns = load_no_timer_ns,
    .on_timer = load_no_timer, .close = stream_close,
};
