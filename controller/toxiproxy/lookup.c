/* Addresses to listen on.
 * getaddrinfo(3) knows no time limit, so that a name is looked up by a thread of its own. The thread and its owner share the
 * lookup by two references; whoever lets go last frees it. */
#include "controller/toxiproxy/lookup.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum { LISTEN_LOOKUP_MS = 700, STACK_BYTES = 256 << 10 };

struct lookup {
    char host[ADDRESS_PART_MAX], port[ADDRESS_PART_MAX];
    char address[ADDRESS_TEXT_MAX]; /* the thread's until `finished` */
    int result;
    int done_fd;
    int references; /* (atomic) */
    int finished; /* (atomic) */
};

/* ---- parts ------------------------------------------------------------------------------------------------------------ */

static int refuse(struct buf *why, const char *address, const char *reason)
{
    buf_printf(why, "address %.200s: %s", address, reason);
    return -EINVAL;
}

static int take_part(char *target, const char *text, size_t length)
{
    if (length >= ADDRESS_PART_MAX)
        return -EINVAL;
    memcpy(target, text, length);
    target[length] = '\0';
    return 0;
}

int address_split(const char *address, char *host, char *port, struct buf *why)
{
    const char *colon = strrchr(address, ':'), *close = *address == '[' ? strchr(address, ']') : NULL;
    const char *start = address;
    size_t length;

    if (!colon || (close && !close[1]))
        return refuse(why, address, "missing port in address");
    length = (size_t)(colon - address);
    if (*address == '[') {
        if (!close)
            return refuse(why, address, "missing ']' in address");
        if (close + 1 != colon)
            return refuse(why, address, close[1] == ':' ? "too many colons in address" : "missing port in address");
        start = address + 1;
        length = (size_t)(close - start);
    } else if (memchr(address, ':', length)) {
        return refuse(why, address, "too many colons in address");
    }
    if (take_part(host, start, length) < 0 || take_part(port, colon + 1, strlen(colon + 1)) < 0)
        return refuse(why, address, "too long");
    return 0;
}

static char *print_address(const struct sockaddr *address, char text[ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in6 *in6 = (const void *)address;
    const struct sockaddr_in *in = (const void *)address;

    if (address->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        snprintf(text, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(text, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(in->sin_port));
    }
    return text;
}

/* Of several addresses an IPv4 one, as `localhost` has to mean. */
static int resolve(const char *host, const char *port, int flags, char ret_address[ADDRESS_TEXT_MAX])
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags }, *list = NULL, *chosen;
    int failure;

    if (strspn(port, "0123456789") == strlen(port) && strtoull(port, NULL, 10) > UINT16_MAX)
        return -EINVAL; /* glibc would take its lower 16 bits */
    failure = getaddrinfo(host, port, &hints, &list);
    if (failure == EAI_SERVICE)
        return -EINVAL;
    if (failure)
        return -ENOENT;
    chosen = list;
    for (struct addrinfo *entry = list; entry; entry = entry->ai_next)
        if (entry->ai_family == AF_INET) {
            chosen = entry;
            break;
        }
    print_address(chosen->ai_addr, ret_address);
    freeaddrinfo(list);
    return 0;
}

/* ---- by a thread ------------------------------------------------------------------------------------------------------ */

static void let_go(struct lookup *lookup)
{
    if (__atomic_sub_fetch(&lookup->references, 1, __ATOMIC_ACQ_REL))
        return;
    close(lookup->done_fd);
    free(lookup);
}

static void finish(struct lookup *lookup, int result)
{
    lookup->result = result;
    __atomic_store_n(&lookup->finished, 1, __ATOMIC_RELEASE);
    (void)!write(lookup->done_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

static void *run(void *context)
{
    struct lookup *lookup = context;

    finish(lookup, resolve(lookup->host, lookup->port, 0, lookup->address));
    let_go(lookup);
    return NULL;
}

static int start_thread(struct lookup *lookup)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int result;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    lookup->references++;
    result = pthread_create(&thread, &attributes, run, lookup);
    pthread_attr_destroy(&attributes);
    if (result)
        lookup->references--;
    return -result;
}

/* Starts to look up HOST:PORT. Returns new; NULL without memory. */
static struct lookup *lookup_begin(const char *host, const char *port)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));

    if (!lookup)
        return NULL;
    lookup->references = 1;
    lookup->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    snprintf(lookup->host, sizeof(lookup->host), "%s", host);
    snprintf(lookup->port, sizeof(lookup->port), "%s", port[0] ? port : "0");
    if (!resolve(lookup->host, lookup->port, AI_NUMERICHOST, lookup->address))
        finish(lookup, 0); /* numeric: no thread is needed */
    else if (start_thread(lookup) < 0)
        finish(lookup, -ENOENT);
    return lookup;
}

/* Waits at most timeout_ms. 0 and the numeric address; -EAGAIN: not known yet; -ENOENT: there is no such name; -EINVAL: no port. */
static int lookup_await(struct lookup *lookup, int timeout_ms, char ret_address[ADDRESS_TEXT_MAX])
{
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS, now_ns;

    while (!__atomic_load_n(&lookup->finished, __ATOMIC_ACQUIRE)) {
        now_ns = clock_now_ns();
        if (now_ns >= deadline_ns)
            return -EAGAIN;
        (void)poll(&(struct pollfd){ .fd = lookup->done_fd, .events = POLLIN }, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1);
    }
    if (!lookup->result)
        memcpy(ret_address, lookup->address, ADDRESS_TEXT_MAX);
    return lookup->result;
}

/* ---- to listen on ----------------------------------------------------------------------------------------------------- */

static bool has_ipv6(void)
{
    AUTO_CLOSE int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 any = { .sin6_family = AF_INET6 };

    return fd >= 0 && bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0;
}

int address_to_listen(const char *address, bool strict, char ret_address[ADDRESS_TEXT_MAX], struct buf *why)
{
    char host[ADDRESS_PART_MAX] = "", port[ADDRESS_PART_MAX] = "";
    struct lookup *lookup;
    int result;

    if (!strncmp(address, "unix:", 5) && strlen(address) < ADDRESS_TEXT_MAX) {
        snprintf(ret_address, ADDRESS_TEXT_MAX, "%s", address);
        return 0;
    }
    if (address[0] && address_split(address, host, port, why) < 0)
        return -EINVAL;
    if (!host[0] || (strict && !strcmp(host, "0.0.0.0")))
        snprintf(host, sizeof(host), "%s", has_ipv6() ? "::" : "0.0.0.0");
    lookup = lookup_begin(host, port);
    result = lookup ? lookup_await(lookup, LISTEN_LOOKUP_MS, ret_address) : -ENOENT;
    if (lookup)
        let_go(lookup);
    if (!result)
        return 0;
    if (result == -EINVAL && strspn(port, "0123456789") == strlen(port))
        buf_printf(why, "address %.100s: invalid port", port);
    else if (result == -EINVAL)
        buf_printf(why, "lookup tcp/%.100s: unknown port", port);
    else
        buf_printf(why, "lookup %.200s: %s", host, result == -EAGAIN ? "i/o timeout" : "no such host");
    return -EINVAL;
}
