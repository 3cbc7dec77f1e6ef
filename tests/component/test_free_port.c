/* Ports of runs: free, and no other run's while one has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controller/run/run.h"

enum { RUNS = 8, PORTS = 60 };

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0) {
        close(fd);
        return -errno;
    }
    return fd;
}

static void a_port_can_be_listened_on_while_it_is_claimed(void **state)
{
    struct run_ports ports = {.count = 0};
    uint16_t port = run_free_port(&ports, "web");
    int fd;

    (void)state;
    assert_in_range(port, 10240, 32239);
    assert_int_equal(ports.count, 1);
    fd = listen_on(port);
    assert_true(fd >= 0);
    close(fd);
    run_ports_done(&ports);
    assert_int_equal(ports.count, 0);
}

/* Eight runs that take sixty ports each meet on some of 22,000 nearly always (chance of none: e^-4.6) unless they keep out of each other's way. */
static void runs_keep_out_of_each_others_way(void **state)
{
    uint16_t taken[RUNS * PORTS];
    int pipes[2], go[2];

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < RUNS; i++) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            struct run_ports ports = {.count = 0};
            uint16_t mine[PORTS];
            char end;

            close(go[1]);
            for (int k = 0; k < PORTS; k++)
                mine[k] = run_free_port(&ports, "web");
            if (write(pipes[1], mine, sizeof(mine)) != (ssize_t)sizeof(mine))
                _exit(1);
            _exit(read(go[0], &end, 1) == 0 && ports.count == PORTS ? 0 : 1); /* they are its own until all have theirs */
        }
    }
    for (size_t got = 0; got < sizeof(taken);) {
        ssize_t count = read(pipes[0], (char *)taken + got, sizeof(taken) - got);

        assert_true(count > 0);
        got += (size_t)count;
    }
    close(go[1]);
    for (int i = 0; i < RUNS; i++) {
        int status;

        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    for (size_t i = 0; i < RUNS * PORTS; i++) {
        assert_int_not_equal(taken[i], 0);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(taken[i], taken[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_can_be_listened_on_while_it_is_claimed),
        cmocka_unit_test(runs_keep_out_of_each_others_way),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
