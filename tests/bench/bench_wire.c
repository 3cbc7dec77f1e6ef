/* How far the instant of a fault's first effect lies from its victim's own. */
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FAULTS = 40 };

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double quantile(double *values, size_t count, double share)
{
    qsort(values, count, sizeof(*values), by_value);
    return values[(size_t)(share * (double)(count - 1))];
}

/* The event's instant less the victim's: a blackhole is felt from the first byte sent into it, a reset when it is seen. */
static void instants(struct wire_executor *executor, const char *at)
{
    double hole_us[FAULTS], reset_us[FAULTS];

    for (uint64_t i = 0; i < FAULTS; i++) {
        struct plan_rule hole = wire_rule("blackhole", "hole"), reset = wire_rule("reset_peer", "reset");
        int fd = wire_connect(at);
        struct event event;
        uint64_t victim_ns;
        char byte = 0;

        if (wire_send_all(fd, &byte, 1) < 0 || wire_recv_all(fd, &byte, 1) != 1)
            exit(1);
        (void)wire_arm(executor, 2 * i + 2, 60 * NS_PER_S, &hole, 1);
        victim_ns = clock_now_ns();
        (void)wire_send_all(fd, &byte, 1);
        (void)wire_event(executor, EVENT_fault_acted, "hole", 2 * i + 2, &event);
        hole_us[i] = ((double)event.ns - (double)victim_ns) / 1e3;
        reset.params.STREAM_reset_peer.after = 3000000;
        (void)wire_arm(executor, 2 * i + 3, 60 * NS_PER_S, &reset, 1);
        while (wire_recv_some(fd, &byte, 1, 1000) > 0)
            continue;
        victim_ns = clock_now_ns();
        (void)wire_event(executor, EVENT_fault_acted, "reset", 2 * i + 3, &event);
        reset_us[i] = ((double)victim_ns - (double)event.ns) / 1e3;
        (void)wire_release(executor, 2 * i + 3);
        close(fd);
        executor->event_count = 0;
    }
    printf("instant of the first effect against the victim's, us: blackhole p50 %.0f max %.0f, reset p50 %.0f max %.0f\n",
           quantile(hole_us, FAULTS, 0.5), quantile(hole_us, FAULTS, 1), quantile(reset_us, FAULTS, 0.5), quantile(reset_us, FAULTS, 1));
}

int main(void)
{
    struct wire_server *server = wire_server_start(wire_echo, NULL);
    struct wire_executor executor;
    char at[ADDRESS_TEXT_MAX];

    wire_executor_start(&executor, NULL);
    wire_open(&executor, "echo", wire_server_port(server), at, sizeof(at));
    instants(&executor, at);
    wire_server_stop(server);
    return wire_executor_end(&executor);
}
