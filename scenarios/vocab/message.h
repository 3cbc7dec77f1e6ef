/* Executor messages: how the run engine speaks with whoever carries faults out. Over a Unix stream socket now, over the
 * network later, hence little-endian fixed-width heads, lengths with a bound, and time to live as a duration.
 *
 *   verb           asks for                                   payload            answered by `verb` with result and
 *   MESSAGE_HELLO    version check, and who answers           -                  struct wire_hello (wire), else -
 *   MESSAGE_OPEN     a proxy to listen (wire)                 struct proxy_spec  struct proxy_status (the port chosen)
 *   MESSAGE_CLOSE    a proxy to end (wire)                    struct proxy_spec  -
 *   MESSAGE_PREPARE  check without effect; undo record out    struct plan        undo text, "" when it expires by itself
 *   MESSAGE_ARM      act from now, for ttl_ns                 struct plan        - once every loop has acknowledged
 *   MESSAGE_RENEW    ttl_ns more from now                     -                  -
 *   MESSAGE_RELEASE  no fault, once every loop acknowledged   -                  struct rule_status[]
 *   MESSAGE_STATUS   counts                                   -                  struct rule_status[]
 *   MESSAGE_PROXIES  counters of the wire                     -                  struct proxy_status[]
 *   MESSAGE_CONNECTIONS  open connections     proxy's name       struct connection_status[], the oldest first
 *   MESSAGE_UNDO     undo what one record says                undo text          -
 *   MESSAGE_VERIFY   prove that nothing acts                  -                  text of what was found when not
 *   MESSAGE_QUIT     drain, then exit                         -                  -
 *   MESSAGE_EVENT    (executor to engine, unasked)            struct event       never answered
 *   MESSAGE_SPAWN    start a target (guardian)                spawn image        int32 pid, or a text on failure
 *   MESSAGE_ADOPT    a target that already runs (guardian)    adopted_target     -
 *   MESSAGE_JOURNAL  an undo record, durable when answered    "VERB ARGUMENT"    -
 *   MESSAGE_CAPTURE  connects through proxies (guardian)      struct capture_spec[] of shims/host/capture.h    -, or a text on failure
 *   MESSAGE_FINISH   end targets, undo all, verify (guardian) -                  a line an entry: "ENTRY\tOUTCOME\n"
 *
 * 1. An executor refuses ARM and PREPARE whose epoch is not above the last one it armed or released: -ESTALE. RENEW of
 *    another epoch than the armed one: -ESTALE too.
 * 2. An ARM replaces the whole set of rules; RELEASE is ARM of nothing. One writer; the last epoch wins.
 * 3. When the peer vanishes the executor keeps its plan until the time to live ends, then is inert. */
#ifndef PERTURB_VOCAB_MESSAGE_H
#define PERTURB_VOCAB_MESSAGE_H

#include "scenarios/base/histogram.h"
#include "scenarios/vocab/event.h"
#include "scenarios/vocab/plan.h"

enum { MESSAGE_MAGIC = 0x4d525450, MESSAGE_VERSION = 2, MESSAGE_PAYLOAD_MAX = 4 << 20, ADDRESS_TEXT_MAX = 128, DETOUR_PATH_MAX = 256 };

enum message_verb {
    MESSAGE_HELLO = 1,
    MESSAGE_OPEN,
    MESSAGE_CLOSE,
    MESSAGE_PREPARE,
    MESSAGE_ARM,
    MESSAGE_RENEW,
    MESSAGE_RELEASE,
    MESSAGE_STATUS,
    MESSAGE_PROXIES,
    MESSAGE_UNDO,
    MESSAGE_VERIFY,
    MESSAGE_QUIT,
    MESSAGE_EVENT,
    MESSAGE_SPAWN,
    MESSAGE_JOURNAL,
    MESSAGE_FINISH,
    MESSAGE_CONNECTIONS,
    MESSAGE_CAPTURE,
    MESSAGE_ADOPT,
    MESSAGE_VERB_COUNT
};

struct message_head {
    uint32_t magic;
    uint16_t version;
    uint16_t verb;
    uint32_t size; /* of the payload that follows, <= MESSAGE_PAYLOAD_MAX */
    int32_t result; /* in answers: 0 or a negative errno */
    uint64_t seq;   /* the answer repeats the question's */
    uint64_t epoch;
    uint64_t ttl_ns;
};

/* The wire executor: what its loops ask the kernel through. */
struct wire_hello {
    char backend[16]; /* "io_uring", "epoll" */
    int32_t refusal;  /* -errno by which io_uring was found refused; 0 when it was not, or not tried */
    uint32_t loops;
    uint64_t spin_ns; /* before each deadline; 0: they sleep */
};

enum proxy_flag {
    PROXY_ENDS_WHOLE = 1,   /* an end passed on in one direction ends the other as well: no half-close */
    PROXY_REFUSES_SOFTLY = 2, /* a client whose upstream cannot be reached gets an end instead of a reset */
    PROXY_CAPTURES = 4, /* connections are redirected here by the kernel; each goes on to where it was going */
    PROXY_DETOURS = 8,  /* the same by the preload shim */
    PROXY_FLAGS = PROXY_ENDS_WHOLE | PROXY_REFUSES_SOFTLY | PROXY_CAPTURES | PROXY_DETOURS
};

enum protocol { PROTOCOL_TCP, PROTOCOL_UDP };
#define PROTOCOL_WORDS "tcp udp"
#define PROXY_IDLE_NS INT64_C(60000000000) /* the default of proxy_spec.idle_ns */

struct proxy_spec {
    char name[RULE_SCOPE_MAX];
    char listen[ADDRESS_TEXT_MAX];   /* "127.0.0.1:0", "[::1]:0" */
    char upstream[ADDRESS_TEXT_MAX]; /* "127.0.0.1:6379", "localhost:6379"; "" where it captures */
    uint32_t flags; /* enum proxy_flag */
    char detours[DETOUR_PATH_MAX]; /* PROXY_DETOURS: file with the table of detour.h, which need not be there yet; else "" */
    uint64_t detours_offset;       /* where in it */
    uint64_t linger_ns; /* PROXY_DETOURS: how long after the end of the control stream connects may still be led here */
    uint64_t protocol;               /* enum protocol; TCP is for Unix sockets too */
    uint64_t idle_ns;                /* UDP: end a session that nobody used for so long; 0 is PROXY_IDLE_NS */
};

/* Datagrams of one direction. What came or was doubled has been passed, dropped, refused room or failed, or is held. */
struct datagram_counts {
    uint64_t came, passed;
    uint64_t dropped;    /* by faults */
    uint64_t doubled;    /* by faults: copies made */
    uint64_t no_room;    /* found the bound of held bytes reached: lost */
    uint64_t failed;     /* lost here by no fault: no session, no upstream, refused by the socket, the session ended */
};

enum { CAPTURE_PORTS_MAX = 16, CAPTURE_NETWORKS_MAX = 8 }; /* of one capture */

/* The packet mark (SO_MARK) of the wire executor's dials to captured destinations and of the run's own probes: no capture takes
 * what carries it. Needs CAP_NET_ADMIN. */
#define CAPTURE_MARK UINT32_C(0x70657274)

struct proxy_status {
    struct proxy_spec spec; /* with the address that it really listens on */
    uint64_t connections, connections_open, connects_failed;
    uint64_t bulks;     /* times a direction began to be spliced */
    uint64_t exchanges; /* times the client began to speak, first or after the upstream had spoken: the attempts of a
                         * request/response protocol without pipelining */
    uint64_t bytes_to_upstream, bytes_to_client; /* passed on */
    uint64_t bytes_from_client, bytes_from_upstream; /* received */
    uint64_t held_bytes, held_bytes_peak, held_bytes_max;
    uint64_t hold_full; /* times the bound pushed back, or a datagram was lost at it */
    struct histogram lateness; /* ns between the instant until which bytes were to be held and their send, where the destination took
                                * them at once: the faults' own error */
    /* UDP: connections are sessions, connects_failed those without an upstream, exchanges the datagrams of clients */
    struct datagram_counts datagrams[2]; /* to upstream, to client */
    uint64_t sessions_expired, sessions_evicted; /* idle; ended early to make room */
    uint64_t upstream_refused; /* ICMP: nobody listens there */
    uint64_t overrun;          /* lost by the kernel before they were read: our socket's buffer was full */
};

enum { CONNECTION_RULES_MAX = 16, CONNECTIONS_LISTED_MAX = 4096 };

enum connection_state { CONNECTION_DIALLING, CONNECTION_OPEN, CONNECTION_ENDING };

/* One open connection of a proxy. Directions: 0 to the upstream, 1 to the client. */
struct connection_status {
    uint64_t sequence; /* its number at the proxy, from 1 */
    uint64_t age_ns;
    uint64_t received[2], sent[2]; /* bytes, from the direction's source and to its destination */
    uint64_t held[2];              /* bytes, in the hands of faults */
    uint32_t state;                /* enum connection_state */
    uint32_t rule_count;           /* rules that act on it; the first CONNECTION_RULES_MAX are told */
    uint16_t rules[CONNECTION_RULES_MAX]; /* by place, as struct rule_status is listed */
    char client[ADDRESS_TEXT_MAX]; /* "" when unknown */
    char upstream[ADDRESS_TEXT_MAX]; /* the address dialled, "" before */
};

/* A message as received: the payload is owned by it; message_done frees it. */
struct message {
    struct message_head head;
    void *payload; /* head.size bytes, followed by a NUL that is not counted; NULL when empty */
};

/* Sends one message whole (blocking socket, or one that becomes writable within `timeout_ms`; -1 waits for ever).
 * 0, -EPIPE, -ETIMEDOUT, -errno. SIGPIPE is not raised. */
int message_send(int fd, const struct message_head *head, const void *payload, int timeout_ms);

/* Receives one whole message. 0, -ECONNRESET at end of stream, -ETIMEDOUT, -EPROTO for a foreign or oversized head. */
int message_receive(int fd, int timeout_ms, struct message *ret_message);

void message_done(struct message *message); /* accepts NULL and an empty one */

#endif
