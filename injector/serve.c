/* The wire executor's process: executor messages in, answers and events out. The control thread; the data path is the loops'.
 *
 * 1. Nothing the peer does or fails to do stops the forwarding: a stalled or broken control stream is dropped, the plan lives
 *    until its lease ends, the loops end it by themselves.
 * 2. The process ends when control is gone, the lease is over, and no connection has been open for GRACE_NS; after QUIT, as soon
 *    as none is open. */
#include "injector/injector.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/priority.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { PEER_TIMEOUT_MS = 5000, DRAIN_STEP_MS = 20, WHY_MAX = 1024 };

#define GRACE_NS (250 * NS_PER_MS)
#define LINGER_MAX_NS (120 * NS_PER_S)

struct server {
    struct injector *injector;
    int start_result;
    int control_fd; /* -1 once it is gone */
    int signal_fd;
    bool quitting;
    uint64_t linger_ns; /* how long after the control stream connects may still be led to a proxy */
    uint64_t grace_ns; /* how long nobody must have been connected before the process ends */
};

/* What a verb is answered with. The payload is owned and freed after it was sent. */
struct answer {
    int result;
    void *payload;
    size_t size;
};

typedef void serve_verb(struct server *server, const struct message *message, struct answer *answer);

/* ---- answers ---------------------------------------------------------------------------------------------------------- */

static void answer_text(struct answer *answer, struct buf *text)
{
    answer->size = text->length;
    answer->payload = buf_take(text);
    if (!answer->payload)
        answer->size = 0;
}

static void answer_rules(const struct server *server, struct answer *answer)
{
    size_t count = injector_rule_status(server->injector, NULL, 0);
    struct rule_status *list = calloc(count + 1, sizeof(*list));

    if (!list) {
        answer->result = -ENOMEM;
        return;
    }
    injector_rule_status(server->injector, list, count);
    answer->payload = list;
    answer->size = count * sizeof(*list);
}

/* ---- verbs ------------------------------------------------------------------------------------------------------------ */

static void serve_hello(struct server *server, const struct message *message, struct answer *answer)
{
    struct wire_hello *hello = calloc(1, sizeof(*hello));

    (void)message;
    answer->result = hello ? 0 : -ENOMEM;
    answer->payload = hello;
    if (!hello)
        return;
    snprintf(hello->backend, sizeof(hello->backend), "%s", injector_backend(server->injector));
    hello->refusal = injector_refusal(server->injector);
    hello->loops = injector_loops(server->injector);
    hello->spin_ns = injector_spin_ns(server->injector);
    answer->size = sizeof(*hello);
}

static void serve_open(struct server *server, const struct message *message, struct answer *answer)
{
    const struct proxy_spec *spec = message->payload;
    struct proxy_status *status;

    if (message->head.size != sizeof(*spec)) {
        answer->result = -EINVAL;
        return;
    }
    status = calloc(1, sizeof(*status));
    answer->result = status ? injector_open_proxy(server->injector, spec, status) : -ENOMEM;
    if (answer->result >= 0 && spec->linger_ns > server->linger_ns)
        server->linger_ns = MIN(spec->linger_ns, LINGER_MAX_NS);
    answer->payload = status;
    answer->size = answer->result < 0 ? 0 : sizeof(*status);
}

static void serve_close(struct server *server, const struct message *message, struct answer *answer)
{
    struct proxy_spec spec;

    answer->result = -EINVAL;
    if (message->head.size != sizeof(spec))
        return;
    memcpy(&spec, message->payload, sizeof(spec));
    if (memchr(spec.name, '\0', sizeof(spec.name)))
        answer->result = injector_close_proxy(server->injector, spec.name);
}

static void serve_prepare(struct server *server, const struct message *message, struct answer *answer)
{
    struct buf why;

    buf_init(&why, WHY_MAX);
    answer->result = injector_check(server->injector, message->payload, message->head.size, &why);
    if (answer->result < 0)
        answer_text(answer, &why);
    buf_done(&why);
}

static void serve_arm(struct server *server, const struct message *message, struct answer *answer)
{
    serve_prepare(server, message, answer);
    if (answer->result >= 0)
        answer->result = injector_publish(server->injector, message->payload, message->head.size, message->head.ttl_ns);
}

static void serve_renew(struct server *server, const struct message *message, struct answer *answer)
{
    answer->result = injector_renew(server->injector, message->head.epoch, message->head.ttl_ns);
}

static void serve_release(struct server *server, const struct message *message, struct answer *answer)
{
    answer->result = injector_release(server->injector, message->head.epoch);
    if (answer->result >= 0)
        answer_rules(server, answer);
}

static void serve_status(struct server *server, const struct message *message, struct answer *answer)
{
    (void)message;
    answer_rules(server, answer);
}

static void serve_proxies(struct server *server, const struct message *message, struct answer *answer)
{
    size_t count = injector_proxy_status(server->injector, NULL, 0);
    struct proxy_status *list = calloc(count + 1, sizeof(*list));

    (void)message;
    answer->result = list ? 0 : -ENOMEM;
    if (list)
        injector_proxy_status(server->injector, list, count);
    answer->payload = list;
    answer->size = list ? count * sizeof(*list) : 0;
}

static void serve_connections(struct server *server, const struct message *message, struct answer *answer)
{
    struct connection_status *list = calloc(CONNECTIONS_LISTED_MAX, sizeof(*list));
    const char *name = message->payload ? message->payload : "";
    size_t count = 0;

    answer->result = list ? injector_connections_list(server->injector, name, list, CONNECTIONS_LISTED_MAX, &count) : -ENOMEM;
    answer->payload = list;
    answer->size = count * sizeof(*list);
}

/* Stream faults expire by themselves: there is no record that could be undone. */
static void serve_undo(struct server *server, const struct message *message, struct answer *answer)
{
    (void)server;
    answer->result = message->head.size ? -EINVAL : 0;
}

static void serve_verify(struct server *server, const struct message *message, struct answer *answer)
{
    struct buf found;

    (void)message;
    buf_init(&found, WHY_MAX);
    answer->result = injector_verify(server->injector, &found);
    if (answer->result < 0)
        answer_text(answer, &found);
    buf_done(&found);
}

static void serve_quit(struct server *server, const struct message *message, struct answer *answer)
{
    answer->result = injector_release(server->injector, message->head.epoch);
    server->quitting = true;
    server->linger_ns = 0;
    server->grace_ns = 0; /* whoever says so knows that nobody is about to connect */
}

static serve_verb *const verbs[MESSAGE_VERB_COUNT] = {
    [MESSAGE_HELLO] = serve_hello,     [MESSAGE_OPEN] = serve_open,     [MESSAGE_CLOSE] = serve_close,
    [MESSAGE_PREPARE] = serve_prepare, [MESSAGE_ARM] = serve_arm,       [MESSAGE_RENEW] = serve_renew,
    [MESSAGE_RELEASE] = serve_release, [MESSAGE_STATUS] = serve_status, [MESSAGE_PROXIES] = serve_proxies,
    [MESSAGE_UNDO] = serve_undo,       [MESSAGE_VERIFY] = serve_verify, [MESSAGE_QUIT] = serve_quit,
    [MESSAGE_CONNECTIONS] = serve_connections,
};

/* ---- the stream ------------------------------------------------------------------------------------------------------- */

static void drop_control(struct server *server)
{
    if (server->control_fd >= 0)
        close(server->control_fd);
    server->control_fd = -1;
}

static void tell(struct server *server, const struct message_head *head, const void *payload)
{
    if (server->control_fd >= 0 && message_send(server->control_fd, head, payload, PEER_TIMEOUT_MS) < 0)
        drop_control(server);
}

static void tell_events(struct server *server)
{
    struct event event;

    while (server->injector && injector_next_event(server->injector, &event)) {
        struct message_head head = { .verb = MESSAGE_EVENT, .size = sizeof(event), .epoch = event.epoch };

        tell(server, &head, &event);
    }
}

static void serve_message(struct server *server)
{
    struct message message;
    struct answer answer = { .result = -ENOSYS };
    struct message_head head;

    if (message_receive(server->control_fd, PEER_TIMEOUT_MS, &message) < 0) {
        drop_control(server);
        return;
    }
    if (!server->injector)
        answer.result = server->start_result;
    else if (verbs[message.head.verb])
        answer.result = 0, verbs[message.head.verb](server, &message, &answer);
    tell_events(server); /* an effect is told before the answer that follows it: a release's counts never run ahead of events */
    head = (struct message_head){
        .verb = message.head.verb,
        .size = (uint32_t)answer.size,
        .result = answer.result,
        .seq = message.head.seq,
        .epoch = message.head.epoch,
    };
    tell(server, &head, answer.payload);
    free(answer.payload);
    message_done(&message);
}

/* ---- the process ------------------------------------------------------------------------------------------------------ */

static void leave_terminal(void)
{
    (void)setsid(); /* a group leader may not; it then has a group of its own anyway */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

void injector_raise_descriptors(void)
{
    struct rlimit limit;

    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* One wait for anything to do. */
static void serve_once(struct server *server, int timeout_ms)
{
    struct pollfd polled[] = {
        { .fd = server->control_fd, .events = POLLIN },
        { .fd = server->signal_fd, .events = POLLIN },
        { .fd = server->injector ? injector_event_fd(server->injector) : -1, .events = POLLIN },
    };
    struct signalfd_siginfo info;

    if (poll(polled, ARRAY_SIZE(polled), timeout_ms) <= 0)
        return;
    if (polled[1].revents && read(server->signal_fd, &info, sizeof(info)) > 0) {
        if (server->injector)
            (void)injector_release(server->injector, 0);
        server->quitting = true;
    }
    if (polled[2].revents)
        tell_events(server);
    if (polled[0].revents && server->control_fd >= 0)
        serve_message(server);
}

/* UDP knows no end: its sessions last until they are idle, or, once the process is to go, until nothing came for a moment. */
static bool is_in_use(const struct server *server)
{
    bool datagrams = server->quitting ? !injector_is_quiet(server->injector) : injector_sessions(server->injector) > 0;

    return injector_connections(server->injector) || injector_is_armed(server->injector) || datagrams;
}

/* Forwards on until the lease is over and nobody is left. While it drains it still accepts: a client that lives must be able to
 * connect again. A control stream that is still there is served on. */
static void drain(struct server *server)
{
    uint64_t idle_since_ns = clock_now_ns(), until_ns = idle_since_ns + server->linger_ns;

    while (server->injector) {
        uint64_t now_ns = clock_now_ns();

        if (is_in_use(server))
            idle_since_ns = now_ns;
        else if (now_ns - idle_since_ns >= server->grace_ns && now_ns >= until_ns)
            break;
        serve_once(server, DRAIN_STEP_MS);
    }
}

int injector_serve(int control_fd, const struct injector_limits *limits)
{
    return injector_serve_parting(control_fd, limits, &(struct injector_parting){ .act = NULL });
}

int injector_serve_parting(int control_fd, const struct injector_limits *limits, const struct injector_parting *parting)
{
    const struct injector_parting last = *parting;
    struct server server = { .control_fd = control_fd, .signal_fd = -1, .grace_ns = GRACE_NS };

    leave_terminal();
    priority_raise(); /* a loop that waits for a processor stamps a first effect late; the loops inherit it */
    injector_raise_descriptors();
    server.signal_fd = open_signals();
    server.start_result = server.signal_fd < 0 ? server.signal_fd : injector_new(limits, &server.injector);
    while (server.control_fd >= 0 && !server.quitting)
        serve_once(&server, -1);
    if (last.act) {
        last.act(last.context);
        server.grace_ns = GRACE_NS; /* what was led here just before may still be on its way */
    }
    drain(&server);
    drop_control(&server);
    if (server.signal_fd >= 0)
        close(server.signal_fd);
    injector_free(server.injector);
    return server.start_result;
}
