/* Capture by the kernel, both halves: the table (shims/host/capture.h) and the listener that dials on (injector/capture.h). Root,
 * and a network namespace of the test's own. */
#include "injector/injector.h"
#include "scenarios/base/clock.h"
#include "scenarios/vocab/decide.h"
#include "shims/host/capture.h"
#include "tests/support/wire_peer.h"

#include <errno.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TTL_NS (60 * NS_PER_S)

struct scene {
    struct wire_server *server;
    struct wire_executor executor;
    struct capture_spec spec;
    char address[64]; /* of the server */
    char listen[ADDRESS_TEXT_MAX];
    char record[CAPTURE_RECORD_MAX];
};

static bool own_network(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int fd = unshare(CLONE_NEWNET) == 0 ? socket(AF_INET, SOCK_DGRAM, 0) : -1;
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;

    if (fd >= 0)
        close(fd);
    return up;
}

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    struct proxy_spec proxy = { .name = "taken", .flags = PROXY_CAPTURES };
    struct wire_answer answer;

    if (!scene || !own_network())
        return -1;
    wire_executor_start(&scene->executor, NULL); /* forks: before there are threads */
    scene->server = wire_server_start(wire_echo, NULL);
    snprintf(scene->address, sizeof(scene->address), "127.0.0.1:%u", wire_server_port(scene->server));
    assert_int_equal(wire_ask(&scene->executor, MESSAGE_OPEN, 0, 0, &proxy, sizeof(proxy), &answer), 0);
    snprintf(scene->listen, sizeof(scene->listen), "%s", answer.payload.proxies[0].spec.listen);
    scene->spec = (struct capture_spec){ .proxy = "taken", .port_count = 1, .ports = { wire_server_port(scene->server) } };
    scene->spec.listen_port = (uint16_t)strtoul(strrchr(scene->listen, ':') + 1, NULL, 10);
    assert_int_equal(capture_record("test-1", scene->record), 0);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    capture_remove(scene->record);
    wire_server_stop(scene->server);
    (void)wire_executor_end(&scene->executor);
    free(scene);
    return 0;
}

static void apply(struct scene *scene)
{
    struct buf why;

    buf_init(&why, 1024);
    if (capture_apply("test-1", &scene->spec, 1, TTL_NS, &why) < 0)
        fail_msg("not applied: %s", why.data);
    buf_done(&why);
}

/* One connection to the server's address: is it echoed? */
static bool is_served(const char *address)
{
    int fd = wire_connect(address);
    char echoed[4] = "";
    bool ok = fd >= 0 && wire_send_all(fd, "ping", 4) >= 0 && wire_recv_all(fd, echoed, 4) == 4 && !memcmp(echoed, "ping", 4);

    if (fd >= 0)
        close(fd);
    return ok;
}

static uint64_t taken(struct scene *scene)
{
    return wire_proxy(&scene->executor, "taken").connections;
}

static void test_connects_are_led_through(void **state)
{
    struct scene *scene = *state;

    assert_true(is_served(scene->address));
    assert_int_equal(taken(scene), 0);
    apply(scene);
    assert_true(is_served(scene->address));
    assert_int_equal(taken(scene), 1);
    assert_int_equal(wire_server_accepted(scene->server), 2); /* and it was dialled on once: no circle */
    assert_int_equal(capture_remove(scene->record), 0);
    assert_true(is_served(scene->address));
    assert_int_equal(taken(scene), 1);
}

static void test_rules_choose(void **state)
{
    struct scene *scene = *state;
    int status = -1;

    assert_int_equal(address_match_parse("10.0.0.0/8", &scene->spec.networks[0]), 0);
    scene->spec.network_count = 1;
    apply(scene);
    assert_true(is_served(scene->address));
    assert_int_equal(taken(scene), 0); /* another network */
    assert_int_equal(capture_remove(scene->record), 0);

    scene->spec.network_count = 0;
    scene->spec.whose = CAPTURE_USER;
    scene->spec.uid = 12345;
    apply(scene);
    assert_true(is_served(scene->address));
    assert_int_equal(taken(scene), 0); /* another user */
    if (fork() == 0)
        _exit(syscall(SYS_setresuid, 12345, 12345, 12345) == 0 && is_served(scene->address) ? 0 : 1);
    wait(&status);
    assert_int_equal(status, 0);
    assert_int_equal(taken(scene), 1);
}

/* The kernel ends it by itself; what has ended cannot be renewed. */
static void test_it_expires(void **state)
{
    struct scene *scene = *state;
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;
    uint64_t before;

    apply(scene);
    assert_int_equal(capture_renew("test-1", &scene->spec, 1, 200 * NS_PER_MS), 0);
    do {
        before = taken(scene);
        assert_true(is_served(scene->address));
    } while (taken(scene) != before && clock_now_ns() < deadline_ns);
    assert_int_equal(taken(scene), before);
    assert_int_equal(capture_renew("test-1", &scene->spec, 1, TTL_NS), -ESTALE);
    assert_int_equal(capture_remove(scene->record), 0); /* the table was still there */
    assert_int_equal(capture_remove(scene->record), 1);
    assert_int_equal(capture_renew("test-1", &scene->spec, 1, TTL_NS), -ESTALE);
}

/* Until the holder has gone too: then, with no other nat chain here, the kernel no longer translates. */
static void test_captured_connections_outlive_the_table(void **state)
{
    struct scene *scene = *state;
    struct capture_hold *hold = NULL;
    char echoed[4];
    int fd;

    assert_int_equal(capture_hold("test-1", &hold), 0);
    apply(scene);
    fd = wire_connect(scene->address);
    assert_true(fd >= 0);
    assert_int_equal(capture_remove(scene->record), 0);
    assert_int_equal(wire_send_all(fd, "ping", 4), 0);
    assert_int_equal(wire_recv_all(fd, echoed, 4), 4);
    assert_int_equal(taken(scene), 1);
    close(fd);
    capture_unhold(hold);
}

/* Somebody found the port: it leads nowhere but to itself, and is refused. */
static void test_the_listener_is_no_destination(void **state)
{
    struct scene *scene = *state;

    apply(scene);
    assert_false(is_served(scene->listen));
    assert_int_equal(wire_proxy(&scene->executor, "taken").connects_failed, 1);
    assert_true(is_served(scene->address));
}

/* The exit status of a command line. */
static int shell(const char *line)
{
    FILE *pipe = popen(line, "re");

    return pipe ? pclose(pipe) : -1;
}

/* From beyond this machine nothing reaches it: a connect over a virtual cable stays without an answer, though the port is bound. */
static void test_the_listener_is_for_this_machine(void **state)
{
    struct scene *scene = *state;
    struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(scene->spec.listen_port) };
    int ready[2], status = -1;
    char command[160];
    pid_t pid;

    if (shell("command -v ip > /dev/null") != 0)
        skip();
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        int fd;

        if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "x", 1) != 1)
            _exit(2);
        while (shell("ip -6 addr show dev far 2> /dev/null | grep -q fd77::2") != 0)
            poll(NULL, 0, 10);
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
        memcpy(&address.sin6_addr, (uint8_t[16]){ 0xfd, 0x77, [15] = 1 }, 16);
        (void)connect(fd, (const struct sockaddr *)&address, sizeof(address));
        /* The machine itself answers at once (a port that is closed), so that silence is the filter's. */
        _exit(poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 700) == 0 ? 0 : 1);
    }
    assert_int_equal(read(ready[0], command, 1), 1);
    snprintf(command, sizeof(command), "ip link add near type veth peer name far && ip link set far netns %d && ip addr add fd77::1/64 dev near nodad", (int)pid);
    assert_int_equal(shell(command), 0);
    snprintf(command, sizeof(command), "ip link set near up && nsenter -t %d -n sh -c 'ip link set far up && ip addr add fd77::2/64 dev far nodad'", (int)pid);
    assert_int_equal(shell(command), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(taken(scene), 0);
    close(ready[0]);
    close(ready[1]);
}

/* ---- without a scene ------------------------------------------------------------------------------------------------------ */

static void test_records_are_not_undone_elsewhere(void **state)
{
    char record[CAPTURE_RECORD_MAX];

    (void)state;
    assert_int_equal(capture_record("test-2", record), 0);
    assert_int_equal(capture_remove(record), 1);
    assert_true(own_network());
    assert_int_equal(capture_remove(record), -EXDEV);
    record[strlen(record) - 1] ^= 1;
    assert_int_equal(capture_remove(record), 1); /* of another boot: it went with it */
    assert_int_equal(capture_remove("filter 1:1"), -EINVAL);
    assert_int_equal(capture_remove("perturb_x;flush 1:1"), -EINVAL);
    assert_int_equal(capture_remove(""), -EINVAL);
}

static void drop_capabilities(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { { .effective = 0 } };

    if (syscall(SYS_capset, &head, data) < 0)
        _exit(9);
}

/* No CAP_NET_ADMIN: said before anything listens, since an unmarked dial would come back. */
static void test_without_privilege_nothing_listens(void **state)
{
    int status = -1;

    (void)state;
    if (fork() == 0) {
        const struct proxy_spec proxy = { .name = "taken", .flags = PROXY_CAPTURES };
        struct injector *injector = NULL;
        struct proxy_status told;
        struct buf why;

        drop_capabilities();
        buf_init(&why, 200);
        if (capture_is_possible(&why) != -EPERM || !strstr(why.data, "CAP_NET_ADMIN"))
            _exit(1);
        if (injector_new(NULL, &injector) < 0)
            _exit(2);
        _exit(injector_open_proxy(injector, &proxy, &told) == -EPERM ? 0 : 3);
    }
    wait(&status);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_connects_are_led_through, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rules_choose, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_expires, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_captured_connections_outlive_the_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_listener_is_no_destination, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_listener_is_for_this_machine, set_up, tear_down),
        cmocka_unit_test(test_records_are_not_undone_elsewhere),
        cmocka_unit_test(test_without_privilege_nothing_listens),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (geteuid() != 0) {
        printf("1..0 # SKIP captures by the kernel need root\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
