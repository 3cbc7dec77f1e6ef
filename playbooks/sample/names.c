/* sample-names: a front service that looks a name up for every request, by DNS over UDP, and says what it found.
 *
 *   --careful   asks again after 40 ms, up to 8 times, each time from a new socket: what a resolver should do
 *   --naive     asks once and waits for the answer until its client has gone
 *
 * GET /healthz is answered at once; any other path takes a look-up. One thread, one loop; a look-up is its client's alone (no cache), so
 * that each request feels the network. The questions are RFC 1035's: one A question, recursion desired. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "playbooks/sample/http.h"
#include "playbooks/sample/net.h"
#include "playbooks/sample/options.h"
#include "scenarios/base/clock.h"

enum { LOOKUPS_MAX = 4096, MESSAGE_MAX = 512, HEAD_BYTES = 12, TYPE_A = 1, CLASS_IN = 1, SOCKETS = 4 };

#define WAIT_NS (40 * NS_PER_MS)
#define GIVE_UP_NS (5 * NS_PER_S)

struct lookup {
    struct http_ticket ticket;
    bool busy;
    int64_t tries_left;
    uint64_t due_ns; /* ask again, or give up */
};

struct names {
    struct http_server *http;
    int sockets[SOCKETS]; /* connected to the server, taken in turns */
    uint32_t turn;
    int64_t tries;
    uint64_t wait_ns;
    const char *name;
    struct lookup lookups[LOOKUPS_MAX]; /* the index is the question's id */
    uint32_t next; /* where the search for a free one begins */
};

static volatile sig_atomic_t stopping;

static void stop(int number)
{
    (void)number;
    stopping = 1;
}

/* ---- DNS -------------------------------------------------------------------------------------------------------------- */

/* A name as labels. Bytes, or 0 when it is none. */
static size_t put_name(const char *name, uint8_t *bytes, size_t size)
{
    size_t used = 0;

    while (*name) {
        size_t length = strcspn(name, ".");

        if (!length || length > 63 || used + length + 2 > size)
            return 0;
        bytes[used++] = (uint8_t)length;
        memcpy(bytes + used, name, length);
        used += length;
        name += length + (name[length] == '.');
    }
    bytes[used++] = 0;
    return used;
}

static void ask(struct names *names, uint16_t id)
{
    uint8_t message[MESSAGE_MAX] = { (uint8_t)(id >> 8), (uint8_t)id, 1 /* recursion desired */, 0, 0, 1 /* question */ };
    size_t used = HEAD_BYTES + put_name(names->name, message + HEAD_BYTES, MESSAGE_MAX - HEAD_BYTES - 4);

    message[used + 1] = TYPE_A;
    message[used + 3] = CLASS_IN;
    (void)send(names->sockets[names->turn++ % SOCKETS], message, used + 4, MSG_DONTWAIT); /* lost is lost: it is asked again */
    names->lookups[id].due_ns = clock_now_ns() + names->wait_ns;
    names->lookups[id].tries_left--;
}

static void answered(struct names *names, const uint8_t *message, size_t size)
{
    uint16_t id = (uint16_t)(message[0] << 8 | message[1]);
    bool good = size >= HEAD_BYTES && (message[2] & 0x80) && !(message[3] & 0x0f) && (message[6] || message[7]);

    if (id >= LOOKUPS_MAX || !names->lookups[id].busy)
        return; /* an answer to a question that was asked twice */
    names->lookups[id].busy = false;
    http_reply(names->http, names->lookups[id].ticket, good ? 200 : 502, "", good ? "{\"found\":true}\n" : "{\"found\":false}\n");
}

static void read_answers(void *context, uint32_t events)
{
    struct names *names = context;
    uint8_t message[MESSAGE_MAX];

    (void)events;
    for (size_t i = 0; i < SOCKETS; i++) {
        ssize_t got;

        while ((got = recv(names->sockets[i], message, sizeof(message), MSG_DONTWAIT)) >= 2)
            answered(names, message, (size_t)got);
    }
}

/* ---- requests --------------------------------------------------------------------------------------------------------- */

static void handle(void *context, const struct http_request *request)
{
    struct names *names = context;

    if (!strcmp(request->path, "/healthz")) {
        http_reply(names->http, request->ticket, 200, "", "{}\n");
        return;
    }
    for (uint32_t n = 0; n < LOOKUPS_MAX; n++) {
        uint32_t id = names->next++ % LOOKUPS_MAX;

        if (names->lookups[id].busy)
            continue;
        names->lookups[id] = (struct lookup){ .ticket = request->ticket, .busy = true, .tries_left = names->tries };
        ask(names, (uint16_t)id);
        return;
    }
    http_reply(names->http, request->ticket, 503, "", "{\"busy\":true}\n");
}

/* Asks again or gives up where it is time. Returns when to look the next time. */
static uint64_t look_at_time(struct names *names)
{
    uint64_t now_ns = clock_now_ns(), next_ns = now_ns + NS_PER_S;

    for (uint16_t id = 0; id < LOOKUPS_MAX; id++) {
        struct lookup *lookup = &names->lookups[id];

        if (!lookup->busy)
            continue;
        if (lookup->due_ns <= now_ns && http_is_abandoned(names->http, lookup->ticket)) {
            lookup->busy = false;
        } else if (lookup->due_ns <= now_ns && lookup->tries_left > 0) {
            ask(names, id);
        } else if (lookup->due_ns <= now_ns) {
            lookup->busy = false;
            http_reply(names->http, lookup->ticket, 504, "", "{\"found\":false}\n");
        }
        if (lookup->busy && lookup->due_ns < next_ns)
            next_ns = lookup->due_ns;
    }
    return next_ns;
}

/* ---- the program ------------------------------------------------------------------------------------------------------ */

static void be_careful(void *target)
{
    struct names *names = target;

    names->tries = 8;
    names->wait_ns = WAIT_NS;
}

static void be_naive(void *target)
{
    struct names *names = target;

    names->tries = 1;
    names->wait_ns = GIVE_UP_NS;
}

static int open_sockets(struct names *names, const char *server)
{
    struct net_address address;
    int result = net_address_parse(server, &address);

    for (size_t i = 0; i < SOCKETS && result == 0; i++) {
        names->sockets[i] = socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (names->sockets[i] < 0 || connect(names->sockets[i], (struct sockaddr *)&address.storage, address.length) < 0)
            return -errno;
        result = http_watch(names->http, names->sockets[i], EPOLLIN, read_answers, names);
    }
    return result;
}

int main(int argc, char **argv)
{
    static struct names names = { .name = "shop.test" };
    int64_t port = 0;
    const char *server = "127.0.0.1:53";
    const struct option_spec specs[] = {
        { "--port", OPTION_COUNT, &port, 0, 65535, NULL, "listens on 127.0.0.1" },
        { "--dns", OPTION_TEXT, &server, 0, 0, NULL, "HOST:PORT of the name server" },
        { "--name", OPTION_TEXT, &names.name, 0, 0, NULL, "what is looked up" },
        { "--careful", OPTION_CALL, &names, 0, 0, be_careful, "asks again (the default)" },
        { "--naive", OPTION_CALL, &names, 0, 0, be_naive, "asks once" },
        { NULL, OPTION_SWITCH, NULL, 0, 0, NULL, NULL },
    };
    uint16_t listens;
    int fd, result;

    be_careful(&names);
    result = options_parse(specs, argc, argv);
    if (result)
        return result < 0 ? 64 : 0;
    net_raise_descriptor_limit();
    (void)sigaction(SIGTERM, &(struct sigaction){ .sa_handler = stop }, NULL);
    (void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
    result = net_listen("127.0.0.1", (uint16_t)port, &fd, &listens);
    if (result == 0)
        result = http_new(fd, handle, &names, &names.http);
    if (result == 0)
        result = open_sockets(&names, server);
    if (result < 0) {
        fprintf(stderr, "sample-names: port %u, server %s: %s\n", (unsigned)port, server, strerror(-result));
        return 69;
    }
    while (!stopping)
        http_step(names.http, look_at_time(&names));
    http_free(names.http);
    return 0;
}
