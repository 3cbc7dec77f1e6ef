/* Streams and echoes. */
#include "tests/bench/peers/backend.h"

#include "scenarios/base/cleanup.h"
#include "tests/bench/peers/world.h"
#include "tests/support/wire_peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

enum { DESCRIPTORS_MAX = 65536, EVENTS_MAX = 256, STREAM_PIECE = 512 * 1024, COPY_PIECE = 128 * 1024, PIECES_A_TURN = 4, ECHO_BYTES = 16384 };

enum mode { MODE_NEW, MODE_ECHO, MODE_FILE, MODE_COPY, MODE_ENDED };

struct place {
    uint64_t at; /* of the stream */
    enum mode mode;
};

const unsigned char *pattern;

static int pattern_file = -1, poller = -1;
static struct place *places; /* by descriptor */
static struct backend_counts *counts;

static void make_pattern(void)
{
    unsigned char *bytes;

    pattern_file = memfd_create("pattern", MFD_CLOEXEC);
    if (pattern_file < 0 || ftruncate(pattern_file, PATTERN_BYTES) < 0)
        fail("no memory for the pattern");
    bytes = mmap(NULL, PATTERN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, pattern_file, 0);
    if (bytes == MAP_FAILED)
        fail("no memory for the pattern");
    wire_fill(1, 0, bytes, PATTERN_BYTES);
    pattern = bytes;
}

static void watch(int fd, uint32_t events, int operation)
{
    struct epoll_event event = { .events = events, .data.fd = fd };

    if (epoll_ctl(poller, operation, fd, &event) < 0)
        fail("back-end: epoll_ctl: %s", strerror(errno));
}

static void stream(int fd, struct place *place)
{
    for (int piece = 0; piece < PIECES_A_TURN; piece++) {
        off_t at = (off_t)(place->at % PATTERN_BYTES);
        size_t left = PATTERN_BYTES - (size_t)at;
        ssize_t sent;

        if (place->mode == MODE_FILE)
            sent = sendfile(fd, pattern_file, &at, MIN(left, (size_t)STREAM_PIECE));
        else
            sent = send(fd, pattern + at, MIN(left, (size_t)COPY_PIECE), MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        place->at += (uint64_t)sent;
        __atomic_fetch_add(&counts->sent_bytes, (uint64_t)sent, __ATOMIC_RELEASE);
    }
}

static void take(int fd, struct place *place)
{
    static char bytes[ECHO_BYTES];
    ssize_t got = recv(fd, bytes, sizeof(bytes), 0);

    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        close(fd);
    } else if (place->mode == MODE_FILE || place->mode == MODE_COPY) {
        place->mode = MODE_ENDED;
        watch(fd, EPOLLIN, EPOLL_CTL_MOD);
        shutdown(fd, SHUT_WR);
    } else if (place->mode == MODE_NEW && (bytes[0] == 'Z' || bytes[0] == 'W')) {
        place->mode = bytes[0] == 'Z' ? MODE_FILE : MODE_COPY;
        watch(fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    } else {
        place->mode = MODE_ECHO;
        if (send(fd, bytes, (size_t)got, MSG_NOSIGNAL) != got) /* an echo in part is none: the client will say so */
            close(fd);
    }
}

static void greet(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (fd >= DESCRIPTORS_MAX)
        fail("back-end: too many connections");
    places[fd] = (struct place){ .mode = MODE_NEW };
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
}

static void serve(int listener)
{
    static struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int count = epoll_wait(poller, events, EVENTS_MAX, -1);

        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;

            if (fd == listener) {
                greet(listener);
                continue;
            }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                take(fd, &places[fd]);
            if (events[i].events & EPOLLOUT && (places[fd].mode == MODE_FILE || places[fd].mode == MODE_COPY))
                stream(fd, &places[fd]);
        }
    }
}

static int listen_here(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(BACKEND_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4096) < 0)
        fail("back-end: cannot listen: %s", strerror(errno));
    return fd;
}

struct backend_counts *backend_start(pid_t *ret_pid)
{
    int listener = listen_here();

    make_pattern();
    counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED)
        fail("no memory");
    *ret_pid = fork();
    if (*ret_pid < 0)
        fail("cannot fork: %s", strerror(errno));
    if (*ret_pid) {
        close(listener);
        return counts;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    places = calloc(DESCRIPTORS_MAX, sizeof(*places));
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!places || poller < 0)
        fail("back-end: no memory");
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    serve(listener);
    return NULL;
}
