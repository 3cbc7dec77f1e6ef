/* Ends of connections and an executor child for tests. */
#include "tests/support/wire_peer.h"

#include "scenarios/base/clock.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SERVER_CONNECTIONS_MAX = 4096 };

uint64_t wire_timeout_ms(void)
{
    const char *text = getenv("PERTURB_TEST_TIMEOUT_MS");

    return text ? strtoull(text, NULL, 10) : 10000;
}

/* ---- server ----------------------------------------------------------------------------------------------------------- */

struct served {
    struct wire_server *server;
    int fd;
    pthread_t thread;
};

struct wire_server {
    wire_handler *handler;
    void *context;
    int fd;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    unsigned count;
    struct served served[SERVER_CONNECTIONS_MAX];
};

static void *serve_one(void *context)
{
    struct served *served = context;

    served->server->handler(served->fd, served->server->context);
    pthread_mutex_lock(&served->server->lock);
    close(served->fd);
    served->fd = -1;
    pthread_mutex_unlock(&served->server->lock);
    return NULL;
}

static void *accept_all(void *context)
{
    struct wire_server *server = context;

    for (;;) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        struct served *served;

        if (fd < 0)
            return NULL;
        pthread_mutex_lock(&server->lock);
        assert(server->count < SERVER_CONNECTIONS_MAX);
        served = &server->served[server->count];
        *served = (struct served){ .server = server, .fd = fd };
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        __atomic_store_n(&server->count, server->count + 1, __ATOMIC_RELEASE);
        if (pthread_create(&served->thread, NULL, serve_one, served))
            abort();
        pthread_mutex_unlock(&server->lock);
    }
}

struct wire_server *wire_server_start(wire_handler *handler, void *context)
{
    struct wire_server *server = calloc(1, sizeof(*server));
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);

    if (!server)
        return NULL;
    server->handler = handler;
    server->context = context;
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_mutex_init(&server->lock, NULL);
    if (bind(server->fd, (struct sockaddr *)&address, size) < 0 || listen(server->fd, 1024) < 0 ||
        getsockname(server->fd, (struct sockaddr *)&address, &size) < 0 ||
        pthread_create(&server->thread, NULL, accept_all, server)) {
        close(server->fd);
        free(server);
        return NULL;
    }
    server->port = ntohs(address.sin_port);
    return server;
}

uint16_t wire_server_port(const struct wire_server *server)
{
    return server->port;
}

unsigned wire_server_accepted(const struct wire_server *server)
{
    return __atomic_load_n(&server->count, __ATOMIC_ACQUIRE);
}

void wire_server_stop(struct wire_server *server)
{
    if (!server)
        return;
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    pthread_mutex_lock(&server->lock);
    for (unsigned i = 0; i < server->count; i++)
        if (server->served[i].fd >= 0)
            shutdown(server->served[i].fd, SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    for (unsigned i = 0; i < server->count; i++)
        pthread_join(server->served[i].thread, NULL);
    close(server->fd);
    free(server);
}

void wire_echo(int fd, void *context)
{
    char bytes[65536];
    ssize_t got;

    (void)context;
    while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        if (wire_send_all(fd, bytes, (size_t)got) < 0)
            return;
    shutdown(fd, SHUT_WR);
}

/* ---- client ----------------------------------------------------------------------------------------------------------- */

int wire_connect(const char *address)
{
    struct sockaddr_in target = { .sin_family = AF_INET };
    const char *colon = strrchr(address, ':');
    char host[64];
    int fd;

    snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
    target.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &target.sin_addr) != 1)
        return -EINVAL;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&target, sizeof(target)) < 0) {
        int failure = -errno;

        close(fd);
        return failure;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    return fd;
}

int wire_send_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        at += sent;
        size -= (size_t)sent;
    }
    return 0;
}

ssize_t wire_recv_some(int fd, void *bytes, size_t size, int timeout_ms)
{
    struct pollfd polled = { .fd = fd, .events = POLLIN };
    int ready = poll(&polled, 1, timeout_ms);
    ssize_t got;

    if (ready <= 0)
        return ready < 0 ? -errno : -ETIMEDOUT;
    got = recv(fd, bytes, size, 0);
    return got < 0 ? -errno : got;
}

ssize_t wire_recv_all(int fd, void *bytes, size_t size)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;
    size_t have = 0;

    while (have < size) {
        uint64_t now_ns = clock_now_ns();
        ssize_t got;

        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        got = wire_recv_some(fd, (char *)bytes + have, size - have, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1);
        if (got < 0)
            return got;
        if (!got)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

bool wire_is_silent(int fd, int for_ms)
{
    struct pollfd polled = { .fd = fd, .events = POLLIN | POLLRDHUP };

    return poll(&polled, 1, for_ms) == 0;
}

uint64_t wire_hash(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < size; i++)
        hash = (hash + at[i] + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ hash >> 29;
    return hash;
}

void wire_fill(uint64_t seed, uint64_t offset, void *bytes, size_t size)
{
    unsigned char *at = bytes;

    for (size_t i = 0; i < size; i++) {
        uint64_t place = offset + i;
        uint64_t word = (place / 8 + 1) * UINT64_C(0xD6E8FEB86659FD93) ^ seed * UINT64_C(0xA24BAED4963EE407);

        word = (word ^ word >> 32) * UINT64_C(0xD6E8FEB86659FD93);
        at[i] = (unsigned char)(word >> (place % 8) * 8 >> 0);
    }
}

/* ---- executor --------------------------------------------------------------------------------------------------------- */

enum wire_backend wire_backend_wanted(void)
{
    const char *text = getenv("PERTURB_TEST_BACKEND");
    enum wire_backend backend = WIRE_BACKEND_AUTO;

    if (text && injector_backend_parse(text, &backend) < 0)
        abort();
    return backend;
}

void wire_executor_start(struct wire_executor *executor, const struct injector_limits *limits)
{
    struct injector_limits chosen;
    int pair[2];

    *executor = (struct wire_executor){ .pid = -1 };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    executor->pid = fork();
    if (executor->pid < 0)
        abort();
    if (!executor->pid) {
        close(pair[0]);
        injector_raise_descriptors();
        injector_limits_init(&chosen);
        if (limits)
            chosen = *limits;
        chosen.backend = wire_backend_wanted();
        exit(injector_serve(pair[1], &chosen) < 0 ? 1 : 0);
    }
    close(pair[1]);
    executor->fd = pair[0];
    if (wire_ask(executor, MESSAGE_HELLO, 0, 0, NULL, 0, NULL) != 0)
        abort();
}

static void keep_event(struct wire_executor *executor, const struct message *message)
{
    if (message->head.size == sizeof(struct event) && executor->event_count < ARRAY_SIZE(executor->events))
        memcpy(&executor->events[executor->event_count++], message->payload, sizeof(struct event));
}

int wire_ask(struct wire_executor *executor, enum message_verb verb, uint64_t epoch, uint64_t ttl_ns, const void *payload, size_t size,
             struct wire_answer *ret_answer)
{
    struct message_head head = { .verb = (uint16_t)verb, .size = (uint32_t)size, .seq = ++executor->seq, .epoch = epoch, .ttl_ns = ttl_ns };
    int result = message_send(executor->fd, &head, payload, (int)wire_timeout_ms());

    while (result >= 0) {
        struct message message;

        result = message_receive(executor->fd, (int)wire_timeout_ms(), &message);
        if (result < 0)
            break;
        if (message.head.verb == MESSAGE_EVENT) {
            keep_event(executor, &message);
            message_done(&message);
            continue;
        }
        result = message.head.seq == head.seq && message.head.verb == verb ? message.head.result : -EBADMSG;
        if (ret_answer) {
            memset(ret_answer, 0, sizeof(*ret_answer));
            ret_answer->result = result;
            ret_answer->size = message.head.size;
            if (message.payload)
                memcpy(&ret_answer->payload, message.payload, MIN(message.head.size, sizeof(ret_answer->payload)));
        }
        message_done(&message);
        return result;
    }
    return result;
}

int wire_executor_end(struct wire_executor *executor)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;
    int status = 0;

    if (executor->fd >= 0) {
        (void)wire_ask(executor, MESSAGE_QUIT, 0, 0, NULL, 0, NULL);
        close(executor->fd);
        executor->fd = -1;
    }
    while (waitpid(executor->pid, &status, WNOHANG) == 0) {
        if (clock_now_ns() > deadline_ns) {
            kill(executor->pid, SIGKILL);
            waitpid(executor->pid, &status, 0);
            return -1;
        }
        (void)poll(NULL, 0, 2);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void wire_open(struct wire_executor *executor, const char *name, uint16_t upstream_port, char *ret_listen, size_t size)
{
    struct proxy_spec spec = { .listen = "127.0.0.1:0" };
    struct wire_answer answer;

    snprintf(spec.name, sizeof(spec.name), "%s", name);
    snprintf(spec.upstream, sizeof(spec.upstream), "127.0.0.1:%u", upstream_port);
    if (wire_ask(executor, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), &answer) != 0)
        abort();
    snprintf(ret_listen, size, "%s", answer.payload.proxies[0].spec.listen);
}

int wire_arm(struct wire_executor *executor, uint64_t epoch, uint64_t ttl_ns, const struct plan_rule *rules, uint32_t count)
{
    struct plan *plan = calloc(1, PLAN_SIZE(count));
    int result;

    if (!plan)
        abort();
    *plan = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(struct plan_rule), .rule_count = count,
                           .epoch = epoch, .seed = 42 };
    if (count)
        memcpy(plan->rules, rules, count * sizeof(rules[0]));
    result = wire_ask(executor, MESSAGE_ARM, epoch, ttl_ns, plan, PLAN_SIZE(count), NULL);
    free(plan);
    return result;
}

int wire_release(struct wire_executor *executor, uint64_t epoch)
{
    return wire_ask(executor, MESSAGE_RELEASE, epoch, 0, NULL, 0, NULL);
}

struct rule_status wire_status(struct wire_executor *executor, const char *rule)
{
    struct wire_answer answer;

    if (wire_ask(executor, MESSAGE_STATUS, 0, 0, NULL, 0, &answer) != 0)
        abort();
    for (size_t i = 0; i < answer.size / sizeof(struct rule_status); i++)
        if (!strcmp(answer.payload.rules[i].name, rule))
            return answer.payload.rules[i];
    abort();
}

struct proxy_status wire_proxy(struct wire_executor *executor, const char *name)
{
    struct wire_answer answer;

    if (wire_ask(executor, MESSAGE_PROXIES, 0, 0, NULL, 0, &answer) != 0)
        abort();
    for (size_t i = 0; i < answer.size / sizeof(struct proxy_status); i++)
        if (!strcmp(answer.payload.proxies[i].spec.name, name))
            return answer.payload.proxies[i];
    abort();
}

static const struct event *find_event(const struct wire_executor *executor, enum event_kind kind, const char *text, uint64_t epoch)
{
    for (size_t i = 0; i < executor->event_count; i++) {
        const struct event *event = &executor->events[i];

        if (event->kind == kind && event->epoch == epoch && (!text || !strcmp(event->text[0], text)))
            return event;
    }
    return NULL;
}

bool wire_event(struct wire_executor *executor, enum event_kind kind, const char *text, uint64_t epoch, struct event *ret_event)
{
    const struct event *found;

    while (!(found = find_event(executor, kind, text, epoch))) {
        struct message message;

        if (message_receive(executor->fd, (int)wire_timeout_ms(), &message) < 0)
            return false;
        if (message.head.verb == MESSAGE_EVENT)
            keep_event(executor, &message);
        message_done(&message);
    }
    if (ret_event)
        *ret_event = *found;
    return true;
}

size_t wire_event_count(const struct wire_executor *executor, enum event_kind kind, const char *text)
{
    size_t count = 0;

    for (size_t i = 0; i < executor->event_count; i++)
        count += executor->events[i].kind == kind && (!text || !strcmp(executor->events[i].text[0], text));
    return count;
}

struct plan_rule wire_rule(const char *fault, const char *name)
{
    const struct fault_desc *found = fault_find(fault, BIT(LAYER_STREAM), NULL);
    struct plan_rule rule;

    if (!found)
        abort();
    plan_rule_init(&rule, found, name);
    return rule;
}
