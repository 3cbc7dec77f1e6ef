/* Requests and replies over TCP: one non-blocking connection a slot, one request in flight on it. What a reply is, is the
 * protocol's matter (resp.c, tcp.c): its framing. stream.c has the rest. */
#ifndef PERTURB_CONTROLLER_LOAD_STREAM_H
#define PERTURB_CONTROLLER_LOAD_STREAM_H

#include "controller/load/address.h"
#include "controller/load/load_priv.h"
#include "controller/load/resp_reader.h"

enum stream_state { STREAM_CLOSED, STREAM_CONNECTING, STREAM_IDLE, STREAM_BUSY };

/* How far a reply is read; zeroed before each. */
union stream_progress {
    struct resp_reader resp;
    struct {
        uint64_t got;
        size_t until_state;
    } tcp;
};

struct stream_connection {
    enum stream_state state;
    int fd;
    size_t written; /* of the request */
    union stream_progress progress;
};

enum stream_reply { STREAM_MORE, STREAM_GOOD, STREAM_WRONG };

struct stream_framing {
    /* Reads on: *ret_used bytes belong to the reply. STREAM_MORE uses all. It passes what it uses to load_take_bytes. */
    enum stream_reply (*feed)(struct load *load, uint32_t slot, union stream_progress *progress, const char *bytes, size_t length,
                              size_t *ret_used);
    /* The peer's FIN came within a reply: STREAM_MORE when that is an end too early. */
    enum stream_reply (*end)(const struct load *load, uint32_t slot, const union stream_progress *progress);
    bool (*keeps)(const struct load *load); /* a connection serves more than one request */
};

struct stream {
    const struct stream_framing *framing;
    struct load_address address;
    struct buf *requests; /* one of each of the mix, as bytes; owned */
    struct stream_connection *connections;
    struct match *until; /* TCP: the text that ends a reply; owned; NULL when none does */
};

/* Makes load->backend_data: connections, and `requests` yet to be filled. 0 or -ENOMEM, with a finding. */
int stream_open(struct load *load, const struct stream_framing *framing, struct errs *errs, struct stream **ret_stream);

/* The other functions of a backend. */
void stream_send(struct load *load, uint32_t slot);
void stream_cancel(struct load *load, uint32_t slot);
void stream_event(struct load *load, uint64_t key, uint32_t events);
void stream_close(struct load *load);

#endif
