/* How an address accepts connections. Where a listen queue stands in between, the kernel accepts for its program. */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/clock.h"

#include <unistd.h>

static int tcp_read(struct reading *reading)
{
    const struct tcp_probe *tcp = &reading->probe->tcp;
    int fd = -1, result = reading_connect(reading, tcp->address, &fd);
    double latency_s = (double)(clock_now_ns() - reading->now_ns) / 1e9;

    if (fd >= 0)
        close(fd);
    if (tcp->field == TCP_UP) {
        reading_put(reading, reading->now_ns, result == 0);
        return 0;
    }
    if (result == 0)
        reading_put(reading, reading->now_ns, latency_s);
    return result;
}

const struct probe_reader probe_tcp = { .read = tcp_read };
