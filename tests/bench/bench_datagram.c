/* UDP through the proxy beside no proxy: datagrams a second with a window of them on the way, and the round trip of one at a time. */
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/udp_peer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TRIPS = 5000, FLOOD = 60000, WINDOW = 256, SIZE = 100 };

static int compare(const void *a, const void *b)
{
    return *(const uint64_t *)a < *(const uint64_t *)b ? -1 : 1;
}

static void ping(const char *name, const char *address)
{
    static uint64_t took_ns[TRIPS];
    int fd = udp_connect(address);
    struct udp_mark mark;

    for (uint32_t i = 0; i < TRIPS; i++) {
        uint64_t begun_ns = clock_now_ns();

        if (udp_send_mark(fd, 1, i, SIZE) < 0 || !udp_receive_mark(fd, 1000, &mark))
            exit(1);
        took_ns[i] = clock_now_ns() - begun_ns;
    }
    qsort(took_ns, TRIPS, sizeof(took_ns[0]), compare);
    printf("%-8s round trip p50 %.1f us, p99 %.1f us\n", name, (double)took_ns[TRIPS / 2] / 1e3, (double)took_ns[TRIPS * 99 / 100] / 1e3);
    close(fd);
}

static void flood(const char *name, const char *address)
{
    char bytes[SIZE] = { 0 }, back[SIZE];
    uint64_t begun_ns = clock_now_ns();
    uint32_t sent = 0, received = 0;
    int fd = udp_connect(address);

    while (received < FLOOD) {
        while (sent < FLOOD && sent - received < WINDOW && send(fd, bytes, sizeof(bytes), 0) == sizeof(bytes))
            sent++;
        if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1000) == 0)
            break;
        while (recv(fd, back, sizeof(back), 0) > 0)
            received++;
    }
    printf("%-8s %.0f datagrams of %d bytes a second and direction, %u of %u came back\n", name,
           (double)received * 1e9 / (double)(clock_now_ns() - begun_ns), SIZE, received, FLOOD);
    close(fd);
}

int main(void)
{
    struct wire_executor executor;
    struct udp_server *server, *second = udp_server_start("127.0.0.1:0", true);
    char at[ADDRESS_TEXT_MAX];

    server = udp_server_start("127.0.0.1:0", true);
    wire_executor_start(&executor, NULL);
    udp_open_proxy(&executor, "udp", "127.0.0.1:0", udp_server_address(server), 0, at, sizeof(at));
    ping("direct", udp_server_address(second));
    ping("proxy", at);
    flood("direct", udp_server_address(second));
    udp_server_stop(second);
    second = udp_server_start("127.0.0.1:0", true);
    flood("proxy", at);
    udp_server_stop(second);
    udp_server_stop(server);
    return wire_executor_end(&executor);
}
