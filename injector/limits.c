/* The bounds that an injector is made with, and the words about its backend. */
#include "injector/limits.h"

#include "injector/io.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>

enum { CONNECTIONS_MAX = 262144, DESCRIPTORS_APART = 128, LOOPS_DEFAULT_MAX = 8 };

#define MIB (UINT64_C(1) << 20)

/* The processors that we may run on. */
static uint32_t loops_default(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : (uint32_t)MAX(1, MIN(CPU_COUNT(&set), LOOPS_DEFAULT_MAX));
}

void injector_limits_init(struct injector_limits *limits)
{
    struct rlimit descriptors = { .rlim_cur = 1024 };
    uint64_t usable;

    (void)getrlimit(RLIMIT_NOFILE, &descriptors);
    usable = descriptors.rlim_cur > 2 * DESCRIPTORS_APART ? (descriptors.rlim_cur - DESCRIPTORS_APART) / 2 : DESCRIPTORS_APART / 2;
    *limits = (struct injector_limits){
        .loops = loops_default(),
        .connections_max = (uint32_t)MIN(usable, (uint64_t)CONNECTIONS_MAX),
        .proxies_max = 256,
        .window_bytes = MIB / 4,
        .hold_connection_bytes_max = 16 * MIB,
        .hold_proxy_bytes_max = 32 * MIB,
        .pool_bytes_max = 96 * MIB,
    };
}

bool limits_are_sound(const struct injector_limits *limits)
{
    return limits->loops && limits->loops <= LOOPS_MAX && limits->connections_max && limits->proxies_max && limits->window_bytes &&
           limits->hold_connection_bytes_max && limits->hold_proxy_bytes_max && limits->pool_bytes_max &&
           limits->spin_ns <= NS_PER_MS;
}

const char *injector_backend_here(int *ret_refusal)
{
    int result = io_probe(&io_ring);

    *ret_refusal = result < 0 ? result : 0;
    return result < 0 ? io_epoll.name : io_ring.name;
}

void injector_explain(enum wire_backend backend, int result, char *text, size_t size)
{
    if (backend == WIRE_BACKEND_IO_URING)
        snprintf(text, size, "io_uring cannot be used here (%s); backend epoll, or auto, does without", strerror(-result));
    else
        snprintf(text, size, "%s", strerror(-result));
}

int injector_backend_parse(const char *text, enum wire_backend *ret_backend)
{
    static const char *const names[] = {
        [WIRE_BACKEND_AUTO] = "auto",
        [WIRE_BACKEND_IO_URING] = "io_uring",
        [WIRE_BACKEND_EPOLL] = "epoll",
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!strcmp(text, names[i])) {
            *ret_backend = (enum wire_backend)i;
            return 0;
        }
    return -EINVAL;
}
