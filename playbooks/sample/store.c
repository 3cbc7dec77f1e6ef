/* sample-store: the dependency of the sample system, a tiny key/value server that speaks RESP2 (Redis's protocol), so that a
 * real Redis can take its place: PING, ECHO, GET, SET, INCR, INFO, QUIT; arrays and inline commands, pipelined or not.
 * One thread, one epoll loop; commands of one client are answered in order. Source: the Redis protocol specification. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "playbooks/sample/net.h"
#include "playbooks/sample/options.h"
#include "playbooks/sample/table.h"
#include "scenarios/base/cleanup.h"

enum { IN_BYTES = 16384, OUT_BYTES = 65536, OUT_SPARE = 16384, WORDS_MAX = 8, EVENTS_MAX = 64 };

struct client {
    int fd;
    bool ending;        /* close once the output is out */
    bool waits_to_send; /* EPOLLOUT instead of EPOLLIN */
    size_t in_length, out_length;
    char in[IN_BYTES];
    char out[OUT_BYTES];
};

struct word {
    const char *bytes;
    size_t length;
};

struct store {
    int epoll_fd, listen_fd, signal_fd;
    bool stopping;
    unsigned long long commands, clients;
    struct table table;
};

static void put_bytes(struct client *client, const char *bytes, size_t length)
{
    memcpy(client->out + client->out_length, bytes, length); /* room: OUT_SPARE is left free before each command */
    client->out_length += length;
}

static void __attribute__((format(printf, 2, 3))) put(struct client *client, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    put_bytes(client, text, length < (int)sizeof(text) ? (size_t)length : sizeof(text) - 1);
}

static void put_bulk(struct client *client, const char *bytes, size_t length)
{
    put(client, "$%zu\r\n", length);
    put_bytes(client, bytes, length);
    put_bytes(client, "\r\n", 2);
}

static void run_get(struct store *store, struct client *client, const struct word *words)
{
    const struct table_entry *entry = table_get(&store->table, words[1].bytes, words[1].length);

    if (entry)
        put_bulk(client, entry->value, entry->value_bytes);
    else
        put(client, "$-1\r\n");
}

static void run_set(struct store *store, struct client *client, const struct word *words)
{
    int rc = table_put(&store->table, words[1].bytes, words[1].length, words[2].bytes, words[2].length);

    if (rc < 0)
        put(client, "-ERR %s\r\n", strerror(-rc));
    else
        put(client, "+OK\r\n");
}

static void run_incr(struct store *store, struct client *client, const struct word *words)
{
    const struct table_entry *entry = table_get(&store->table, words[1].bytes, words[1].length);
    char text[32] = "0", *end;

    if (entry)
        snprintf(text, sizeof(text), "%.*s", (int)(entry->value_bytes < sizeof(text) ? entry->value_bytes : 0), entry->value);
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number == INT64_MAX) {
        put(client, "-ERR value is not an integer or out of range\r\n");
        return;
    }
    int length = snprintf(text, sizeof(text), "%lld", number + 1);
    int rc = table_put(&store->table, words[1].bytes, words[1].length, text, (size_t)length);
    if (rc < 0)
        put(client, "-ERR %s\r\n", strerror(-rc));
    else
        put(client, ":%s\r\n", text);
}

static void run_ping(struct store *store, struct client *client, const struct word *words)
{
    (void)store;
    if (words[1].bytes)
        put_bulk(client, words[1].bytes, words[1].length);
    else
        put(client, "+PONG\r\n");
}

static void run_info(struct store *store, struct client *client, const struct word *words)
{
    char text[256];

    (void)words;
    int length = snprintf(text, sizeof(text), "# Server\r\nprocess_id:%d\r\n# Clients\r\nconnected_clients:%llu\r\n# Stats\r\n"
                          "total_commands_processed:%llu\r\n# Keyspace\r\ndb0:keys=%zu\r\n", (int)getpid(), store->clients,
                          store->commands, store->table.entries);
    put_bulk(client, text, (size_t)length);
}

static void run_quit(struct store *store, struct client *client, const struct word *words)
{
    (void)store;
    (void)words;
    put(client, "+OK\r\n");
    client->ending = true;
}

static void run(struct store *store, struct client *client, const struct word *words, size_t count)
{
    static const struct {
        const char *name;
        size_t words_min, words_max;
        void (*run)(struct store *store, struct client *client, const struct word *words);
    } commands[] = { { "GET", 2, 2, run_get },   { "SET", 3, 3, run_set },   { "INCR", 2, 2, run_incr }, { "PING", 1, 2, run_ping },
                     { "ECHO", 2, 2, run_ping }, { "INFO", 1, 2, run_info }, { "QUIT", 1, 1, run_quit } };

    store->commands++;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strlen(commands[i].name) != words[0].length || strncasecmp(commands[i].name, words[0].bytes, words[0].length) != 0)
            continue;
        if (count < commands[i].words_min || count > commands[i].words_max)
            put(client, "-ERR wrong number of arguments for '%s' command\r\n", commands[i].name);
        else
            commands[i].run(store, client, words);
        return;
    }
    put(client, "-ERR unknown command '%.*s'\r\n", (int)(words[0].length < 64 ? words[0].length : 64), words[0].bytes);
}

/* One line's end, or NULL when it is not here yet. */
static const char *line_end(const char *text, const char *end)
{
    return memmem(text, (size_t)(end - text), "\r\n", 2);
}

/* Reads "*N\r\n$LEN\r\nBYTES\r\n...". Bytes used, 0 when more are needed, -1 when malformed or too large. */
static int parse_array(const char *text, const char *end, struct word *words, size_t *ret_count)
{
    const char *at = text, *line = line_end(at, end);

    if (!line)
        return 0;
    long count = strtol(at + 1, NULL, 10);
    if (count < 1 || count > WORDS_MAX)
        return -1;
    at = line + 2;
    for (long i = 0; i < count; i++) {
        line = at < end ? line_end(at, end) : NULL;
        if (!line)
            return 0;
        long length = *at == '$' ? strtol(at + 1, NULL, 10) : -1;
        if (length < 0 || length > TABLE_VALUE_MAX)
            return -1;
        if (end - (line + 2) < length + 2)
            return 0;
        words[i] = (struct word){ line + 2, (size_t)length };
        at = line + 2 + length + 2;
    }
    *ret_count = (size_t)count;
    return (int)(at - text);
}

static int parse_inline(const char *text, const char *end, struct word *words, size_t *ret_count)
{
    const char *line = memchr(text, '\n', (size_t)(end - text));
    const char *at = text;

    if (!line)
        return 0;
    *ret_count = 0;
    while (at < line && *ret_count < WORDS_MAX) {
        const char *begin = at;
        while (at < line && !strchr(" \r\t", *at))
            at++;
        if (at > begin)
            words[(*ret_count)++] = (struct word){ begin, (size_t)(at - begin) };
        else
            at++;
    }
    return (int)(line + 1 - text);
}

/* Runs every whole command in the buffer; false when the client speaks nonsense. */
static bool run_all(struct store *store, struct client *client)
{
    size_t used = 0;

    while (used < client->in_length && !client->ending && client->out_length <= OUT_BYTES - OUT_SPARE) {
        const char *text = client->in + used, *end = client->in + client->in_length;
        struct word words[WORDS_MAX] = { { 0 } };
        size_t count = 0;
        int bytes = *text == '*' ? parse_array(text, end, words, &count) : parse_inline(text, end, words, &count);
        if (bytes < 0)
            return false;
        if (bytes == 0)
            break;
        if (count > 0)
            run(store, client, words, count);
        used += (size_t)bytes;
    }
    client->in_length -= used;
    memmove(client->in, client->in + used, client->in_length);
    return client->in_length < IN_BYTES || client->out_length > 0;
}

/* Sends what there is; false when the client is to be closed. */
static bool flush_out(struct store *store, struct client *client)
{
    ssize_t sent = client->out_length > 0 ? send(client->fd, client->out, client->out_length, MSG_NOSIGNAL) : 0;

    if (sent < 0 && errno != EAGAIN)
        return false;
    if (sent > 0) {
        client->out_length -= (size_t)sent;
        memmove(client->out, client->out + sent, client->out_length);
    }
    if (client->waits_to_send != (client->out_length > 0)) {
        client->waits_to_send = client->out_length > 0;
        struct epoll_event event = { .events = client->waits_to_send ? EPOLLOUT : EPOLLIN, .data.ptr = client };
        (void)epoll_ctl(store->epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
    }
    return !client->ending || client->out_length > 0;
}

static void client_event(struct store *store, struct client *client)
{
    bool keep = true;

    if (!client->waits_to_send && client->in_length < IN_BYTES) {
        ssize_t got = recv(client->fd, client->in + client->in_length, IN_BYTES - client->in_length, 0);
        keep = got > 0 || (got < 0 && errno == EAGAIN);
        client->in_length += got > 0 ? (size_t)got : 0;
    }
    keep = keep && run_all(store, client) && flush_out(store, client);
    while (keep && !client->waits_to_send && client->in_length > 0) { /* commands left behind a full output */
        size_t before = client->in_length;
        keep = run_all(store, client) && flush_out(store, client);
        if (client->in_length == before)
            break;
    }
    if (!keep) {
        close(client->fd);
        free(client);
        store->clients--;
    }
}

static void accept_client(struct store *store)
{
    const int on = 1;
    int fd = accept4(store->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *client = fd >= 0 ? calloc(1, sizeof(*client)) : NULL;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

    if (!client || epoll_ctl(store->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        if (fd >= 0)
            close(fd);
        free(client);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    client->fd = fd;
    store->clients++;
}

static int store_open(struct store *store, const char *host, uint16_t port)
{
    struct epoll_event listen_event = { .events = EPOLLIN, .data.ptr = &store->listen_fd };
    struct epoll_event signal_event = { .events = EPOLLIN, .data.ptr = &store->signal_fd };
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int rc = net_listen(host, port, &store->listen_fd, &port);
    if (rc < 0)
        return rc;
    store->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    store->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (store->signal_fd < 0 || store->epoll_fd < 0 ||
        epoll_ctl(store->epoll_fd, EPOLL_CTL_ADD, store->listen_fd, &listen_event) < 0 ||
        epoll_ctl(store->epoll_fd, EPOLL_CTL_ADD, store->signal_fd, &signal_event) < 0)
        return -errno;
    printf("sample-store: listening on %s:%u\n", host, (unsigned)port);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    static struct store store;
    const char *host = "127.0.0.1";
    int64_t port = 6379;
    const struct option_spec specs[] = {
        { "--port", OPTION_COUNT, &port, 0, 65535, NULL, "0 picks one (printed); default 6379" },
        { "--host", OPTION_TEXT, &host, 0, 0, NULL, "address to listen on (127.0.0.1)" },
        { 0 }
    };

    int rc = options_parse(specs, argc, argv);
    if (rc != 0)
        return rc < 0 ? 64 : 0;
    net_raise_descriptor_limit();
    rc = store_open(&store, host, (uint16_t)port);
    if (rc < 0) {
        fprintf(stderr, "sample-store: cannot listen on %s:%d: %s\n", host, (int)port, strerror(-rc));
        return 69;
    }
    while (!store.stopping) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(store.epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &store.listen_fd)
                accept_client(&store);
            else if (events[i].data.ptr == &store.signal_fd)
                store.stopping = true;
            else
                client_event(&store, events[i].data.ptr);
        }
    }
    table_done(&store.table);
    return 0;
}
