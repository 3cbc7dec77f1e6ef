/* A port for `${port.NAME}`: free at the moment, and outside the range from which the kernel takes those of outgoing connections. */
#include "controller/run/run.h"

#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <netinet/in.h>
#include <unistd.h>

enum { PORT_FIRST = 10240, PORT_COUNT = 22000, PORT_TRIES = 256 };

static bool port_is_free(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_free = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    if (fd >= 0)
        close(fd);
    return is_free;
}

uint16_t run_free_port(void *context, const char *name)
{
    uint64_t stream = rng_mix(clock_now_ns(), (uint64_t)getpid());

    (void)context;
    for (uint64_t i = 0; i < PORT_TRIES; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + rng_below(rng_draw(0, rng_hash(name), stream, i), PORT_COUNT));

        if (port_is_free(port))
            return port;
    }
    return 0;
}
