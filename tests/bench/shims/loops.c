#include "tests/bench/shims/loops.h"

#include "scenarios/base/clock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BATCHES = 48 };

static struct sockaddr_in sink; /* where connect and send go: a socket of our own that nobody reads */

static void loop_pair(long turns)
{
    while (turns-- > 0) {
        void *volatile block = malloc(64);

        free(block);
    }
}

static void loop_lock(long turns)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

    while (turns-- > 0) {
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
    }
}

static void loop_read(long turns)
{
    char byte;

    while (turns-- > 0)
        (void)!read(LOOP_FD_ZERO, &byte, 1);
}

static void loop_clock(long turns)
{
    struct timespec now;

    while (turns-- > 0)
        clock_gettime(CLOCK_MONOTONIC, &now);
}

/* Of flags that the kernel refuses before it walks the path: what the walk takes differs by more than what is measured. */
static void loop_open(long turns)
{
    while (turns-- > 0)
        (void)!open("/nowhere/at/all", O_TMPFILE | O_RDONLY, 0);
}

static void loop_connect(long turns)
{
    while (turns-- > 0)
        (void)!connect(LOOP_FD_SOCKET, (struct sockaddr *)&sink, sizeof(sink));
}

static void loop_send(long turns)
{
    while (turns-- > 0)
        (void)!send(LOOP_FD_SOCKET, "x", 1, MSG_DONTWAIT);
}

static void loop_write(long turns)
{
    while (turns-- > 0)
        (void)!write(LOOP_FD_NULL, "x", 1);
}

static void loop_other(long turns)
{
    while (turns-- > 0)
        (void)!syscall(SYS_getppid);
}

static uint64_t thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return timespec_ns(now);
}

/* The fastest batch: what the machine does else is no cost of ours. */
static double fastest(void (*loop)(long), long turns)
{
    double least_ns = 1e18;

    loop(turns);
    for (int i = 0; i < BATCHES; i++) {
        uint64_t begin_ns = clock_now_ns();
        double ns;

        loop(turns);
        ns = (double)(clock_now_ns() - begin_ns) / (double)turns;
        least_ns = ns < least_ns ? ns : least_ns;
    }
    return least_ns;
}

/* ---- two threads at once: CPU time, so that a third one on the machine is not counted ---------------------------------------- */

enum { CROWD_TURNS = 400000 };

static uint32_t crowd_ready;

static void *crowd_member(void *argument)
{
    double *ret_ns = argument;
    uint64_t begin_ns;

    __atomic_add_fetch(&crowd_ready, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&crowd_ready, __ATOMIC_SEQ_CST) < 2)
        sched_yield();
    begin_ns = thread_ns();
    loop_pair(CROWD_TURNS);
    *ret_ns = (double)(thread_ns() - begin_ns) / CROWD_TURNS;
    return NULL;
}

static double two_threads(void)
{
    double ours = 0, theirs = 0;
    pthread_t thread;

    if (pthread_create(&thread, NULL, crowd_member, &theirs))
        return 0;
    crowd_member(&ours);
    pthread_join(thread, NULL);
    return (ours + theirs) / 2;
}

/* ---- instants --------------------------------------------------------------------------------------------------------- */

static struct loop_shared *shared;

/* Says that it is there; writes until one fails, says when; writes until one succeeds; and so on. */
static void take_instants(void)
{
    __atomic_add_fetch(&shared->turn, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < INSTANTS; i++) {
        while (write(LOOP_FD_NULL, "x", 1) == 1)
            ;
        shared->at_ns = clock_now_ns();
        __atomic_add_fetch(&shared->turn, 1, __ATOMIC_RELEASE);
        while (write(LOOP_FD_NULL, "x", 1) != 1)
            ;
        __atomic_add_fetch(&shared->turn, 1, __ATOMIC_RELEASE);
    }
}

/* Is held in a write, and says when it came out. */
static void take_wakes(void)
{
    for (int i = 0; i < INSTANTS; i++) {
        (void)!write(LOOP_FD_NULL, "x", 1);
        shared->at_ns = clock_now_ns();
        __atomic_add_fetch(&shared->turn, 1, __ATOMIC_RELEASE);
        while (__atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE) % 2)
            sched_yield();
    }
}

static void take_delays(void)
{
    for (int i = 0; i < DELAYS; i++) {
        uint64_t begin_ns = clock_now_ns();

        (void)!write(LOOP_FD_NULL, "x", 1);
        shared->late_us[i] = (double)(clock_now_ns() - begin_ns) / 1e3 - 1000;
    }
}

/* ---- by name ---------------------------------------------------------------------------------------------------------- */

static bool open_all(void)
{
    socklen_t length = sizeof(sink);
    int room = 1, null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY);
    int out = socket(AF_INET, SOCK_DGRAM, 0), in = socket(AF_INET, SOCK_DGRAM, 0);

    sink = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    return null >= 0 && zero >= 0 && out >= 0 && in >= 0 && dup2(null, LOOP_FD_NULL) >= 0 && dup2(zero, LOOP_FD_ZERO) >= 0 &&
           dup2(out, LOOP_FD_SOCKET) >= 0 && dup2(in, LOOP_FD_SINK) >= 0 &&
           !setsockopt(LOOP_FD_SINK, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) &&
           !bind(LOOP_FD_SINK, (struct sockaddr *)&sink, sizeof(sink)) &&
           !getsockname(LOOP_FD_SINK, (struct sockaddr *)&sink, &length) &&
           !connect(LOOP_FD_SOCKET, (struct sockaddr *)&sink, sizeof(sink));
}

static const struct {
    const char *name;
    void (*loop)(long turns);
    long turns;
} loops[] = {
    { "pair", loop_pair, 100000 }, { "lock", loop_lock, 100000 },  { "read", loop_read, 5000 },
    { "clock", loop_clock, 20000 },    { "open", loop_open, 5000 },    { "connect", loop_connect, 2000 },
    { "send", loop_send, 2000 },       { "write", loop_write, 1000 },  { "other", loop_other, 5000 },
};

static const struct {
    const char *name;
    void (*take)(void);
} takes[] = { { "instants", take_instants }, { "wakes", take_wakes }, { "delays", take_delays } };

int loop_main(const char *name)
{
    struct iovec part;
    char text[64];
    double ns = -1;

    if (!open_all())
        return 1;
    for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++)
        if (!strcmp(takes[i].name, name)) {
            shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, LOOP_FD_SHARED, 0);
            if (shared == MAP_FAILED)
                return 1;
            takes[i].take();
            return 0;
        }
    for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++)
        if (!strcmp(loops[i].name, name))
            ns = fastest(loops[i].loop, loops[i].turns);
    if (!strcmp(name, "pair2"))
        ns = two_threads();
    part = (struct iovec){ text, (size_t)snprintf(text, sizeof(text), "%f\n", ns) };
    return ns < 0 || writev(STDOUT_FILENO, &part, 1) < 0;
}
