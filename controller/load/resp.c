/* RESP2 requests: a command's bytes, and a reply that ends where the reader says. */
#include <errno.h>
#include <string.h>

#include "controller/load/stream.h"

static enum stream_reply resp_feed(struct load *load, uint32_t slot, union stream_progress *progress, const char *bytes, size_t length,
                                   size_t *ret_used)
{
    enum resp_status status = resp_reader_feed(&progress->resp, bytes, length, ret_used);

    load_take_bytes(load, slot, bytes, *ret_used);
    if (status == RESP_MORE)
        return STREAM_MORE;
    if (status == RESP_BAD)
        *ret_used = length - 1; /* what follows cannot be read either: the connection goes */
    return status == RESP_DONE && !progress->resp.is_error ? STREAM_GOOD : STREAM_WRONG;
}

static enum stream_reply resp_end(const struct load *load, uint32_t slot, const union stream_progress *progress)
{
    (void)load;
    (void)slot;
    (void)progress;
    return STREAM_MORE;
}

static bool resp_keeps(const struct load *load)
{
    (void)load;
    return true;
}

static int encode(struct buf *bytes, const struct load_request *request)
{
    static const char *const ping[] = { "PING", NULL };
    const char *const *words = request->command ? request->command : ping;
    size_t count = 0;

    if (request->command_inline)
        return buf_printf(bytes, "%s\r\n", request->command_inline);
    while (words[count])
        count++;
    buf_printf(bytes, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        buf_printf(bytes, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    return bytes->failed ? -E2BIG : 0;
}

static int resp_open(struct load *load, struct errs *errs)
{
    static const struct stream_framing framing = { .feed = resp_feed, .end = resp_end, .keeps = resp_keeps };
    struct stream *stream;
    int rc = stream_open(load, &framing, errs, &stream);

    if (rc == 0)
        rc = load_address_resolve(load->spec.url, "redis", "6379", errs, &stream->address);
    for (size_t i = 0; rc == 0 && i < load->spec.mix_count; i++) {
        rc = encode(&stream->requests[i], &load->spec.mix[i]);
        if (rc < 0)
            errs_add(errs, ERR_INPUT, "command", "is larger than 1 MiB");
    }
    return rc;
}

const struct load_backend load_resp_backend = {
    .open = resp_open, .send = stream_send, .cancel = stream_cancel, .on_event = stream_event, .timer_ns = load_no_timer_ns,
    .on_timer = load_no_timer, .close = stream_close,
};
