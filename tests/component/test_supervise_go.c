/* The supervisor under a real Go program, which makes its system calls itself: etcd's client. */
#include "tests/component/command.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static char client[] = "/usr/bin/etcdctl";

static void need_client(void)
{
    if (access(client, X_OK) == 0)
        return;
    print_message("skipped: no %s\n", client);
    skip();
}

static int listen_somewhere(char *place, size_t size)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, length) | listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    snprintf(place, size, "127.0.0.1:%u", ntohs(address.sin_port));
    return fd;
}

/* Somebody listens; the client is told that the host is down. */
static void connect_fails_with_an_errno(void **state)
{
    struct bench *bench = *state;
    char place[32], fault[96], endpoint[64];
    int fd;

    need_client();
    fd = listen_somewhere(place, sizeof(place));
    snprintf(fault, sizeof(fault), "fail@connect:EHOSTDOWN,peer=%s,name=x", place);
    snprintf(endpoint, sizeof(endpoint), "http://%s", place);
    setenv("ETCDCTL_API", "2", 1); /* whose client tells the error of the connect itself */
    assert_int_not_equal(perturb(bench, "exec", "-f", fault, "--", client, "--endpoints", endpoint, "ls"), 0);
    unsetenv("ETCDCTL_API");
    expect_heard("a Go program makes its system calls itself");
    expect_heard("host is down");
    {
        unsigned long long matched = 0, eligible, fired = 0;

        assert_int_equal(sscanf(strstr(heard, "\n  x "), " x %llu %llu %llu", &matched, &eligible, &fired), 3);
        assert_true(matched > 0);
        assert_int_equal(matched, fired);
    }
    close(fd);
}

/* The non-blocking connect of Go's runtime, redirected through the proxy. */
static void connect_goes_through_the_proxy(void **state)
{
    struct bench *bench = *state;
    char place[32], fault[96], endpoint[64], greeting[4] = "";
    struct victim victim;
    int fd, accepted;

    need_client();
    fd = listen_somewhere(place, sizeof(place));
    snprintf(fault, sizeof(fault), "latency:1ms,to=%s,name=slow", place);
    snprintf(endpoint, sizeof(endpoint), "--endpoints=%s", place);
    victim = perturb_start(bench, "exec", "-f", fault, "--", client, "--dial-timeout=1s", "--command-timeout=1s", endpoint, "get", "x", NULL);
    accepted = accept(fd, NULL, NULL);
    assert_true(accepted >= 0);
    assert_int_equal(recv(accepted, greeting, 3, MSG_WAITALL), 3);
    assert_string_equal(greeting, "PRI"); /* HTTP/2 begins so */
    assert_int_equal(perturb_end(victim), 1);
    close(accepted);
    close(fd);
    {
        unsigned long long matched = 0;

        assert_int_equal(sscanf(strstr(heard, "\n  slow "), " slow %llu", &matched), 1);
        assert_true(matched > 0);
    }
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(connect_fails_with_an_errno),
        CASE(connect_goes_through_the_proxy),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
