/* A port for `${port.NAME}`: free at the moment, of no other run, and outside the range from which the kernel takes those of outgoing connections. */
#include "controller/run/run.h"

#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>
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

/* Between this moment and the target's own bind the port is nobody's, and again whenever the target is restarted. What keeps two runs from one
 * port is a socket of an abstract name, which the kernel knows in the same network namespace and forgets with its process. */
static int claim_port(uint16_t port)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "perturb/port/%u", port);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

uint16_t run_free_port(void *context, const char *name)
{
    uint64_t stream = rng_mix(clock_now_ns(), (uint64_t)getpid());
    struct run_ports *ports = context;

    for (uint64_t i = 0; i < PORT_TRIES; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + rng_below(rng_draw(0, rng_hash(name), stream, i), PORT_COUNT));
        int claim = port_is_free(port) ? claim_port(port) : -1;

        if (claim < 0)
            continue;
        if (ports && ports->count < RUN_PORTS_MAX)
            ports->claims[ports->count++] = claim;
        else
            close(claim);
        return port;
    }
    return 0;
}

void run_ports_done(struct run_ports *ports)
{
    while (ports->count)
        close(ports->claims[--ports->count]);
}
