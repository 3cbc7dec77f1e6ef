/* Partitions on this kernel, in network namespaces and control groups of the test's own: which datagrams came, and what the kernel
 * counted. They need root. */
#include "tests/component/host_fixture.h"

#include "shims/host/cut.h"
#include "shims/host/group.h"
#include "shims/host/nft.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static char victim_group[GROUP_PATH_MAX], other_group[GROUP_PATH_MAX];

static void raise_loopback(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    must(ioctl(fd, SIOCGIFFLAGS, &request) == 0);
    request.ifr_flags |= IFF_UP;
    must(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
    close(fd);
}

/* A socket belongs to the group that its maker is in. */
static int socket_of(const char *group, int type)
{
    char root[] = "/sys/fs/cgroup/unified";
    int fd;

    must(group_enter(group, 0) == 0);
    fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    must(fd >= 0);
    must(group_enter(access(root, F_OK) == 0 ? root : "/sys/fs/cgroup", 0) == 0);
    return fd;
}

static uint16_t bound(int fd, struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);

    *address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    must(bind(fd, (struct sockaddr *)address, sizeof(*address)) == 0);
    must(getsockname(fd, (struct sockaddr *)address, &size) == 0);
    return ntohs(address->sin_port);
}

/* Datagrams sent, and how many came. */
static int sent_and_came(int from, int to, const struct sockaddr_in *address, int count)
{
    char byte;
    int came = 0;

    for (int i = 0; i < count; i++)
        (void)!sendto(from, "x", 1, MSG_DONTWAIT, (const struct sockaddr *)address, sizeof(*address));
    while (recv(to, &byte, 1, MSG_DONTWAIT) == 1)
        came++;
    return came;
}

static struct cut cut_named(unsigned number)
{
    struct cut cut = { .hint = getpid() };

    cut_name("test-1", number, cut.table);
    must(nft_namespace(0, &cut.name_space) == 0);
    return cut;
}

static void applied(const struct cut *cut, uint64_t ttl_ms)
{
    struct buf why;
    int result;

    buf_init(&why, 4096);
    result = cut_apply(cut, ttl_ms * NS_PER_MS, &why);
    if (result < 0)
        fprintf(stderr, "# %s\n", why.data);
    must(result == 0);
    buf_done(&why);
}

static uint64_t packets_of(const struct cut *cut)
{
    uint64_t packets = 0, bytes = 0;

    must(cut_count(cut, &packets, &bytes) == 0);
    return packets;
}

static void removed(const struct cut *cut)
{
    char record[CUT_RECORD_MAX];

    must(cut_record(cut, record) == 0);
    must(cut_remove(record) == 0);
    must(cut_remove(record) == 1);
}

/* One group is cut off from everything, another of the same namespace is not; the count is the kernel's. */
static void cut_off_a_group(void)
{
    struct sockaddr_in address;
    struct cut cut = cut_named(1);
    int victim, other, receiver;

    raise_loopback();
    victim = socket_of(victim_group, SOCK_DGRAM);
    other = socket_of(other_group, SOCK_DGRAM);
    receiver = socket_of(other_group, SOCK_DGRAM);
    bound(receiver, &address);
    must(sent_and_came(victim, receiver, &address, 5) == 5);
    snprintf(cut.group, sizeof(cut.group), "%s", victim_group);
    applied(&cut, 60000);
    must(sent_and_came(victim, receiver, &address, 7) == 0);
    must(sent_and_came(other, receiver, &address, 3) == 3);
    must(packets_of(&cut) == 7);
    must(cut_stop(&cut) == 0);
    must(sent_and_came(victim, receiver, &address, 5) == 5);
    must(packets_of(&cut) == 7);
    removed(&cut);
    must(sent_and_came(victim, receiver, &address, 5) == 5);
}

/* Two groups of one namespace from each other, in one direction; others go on speaking with both. */
static void cut_a_pair(void)
{
    struct sockaddr_in at_other, at_victim;
    struct cut cut = cut_named(2);
    int victim, other, third;

    raise_loopback();
    victim = socket_of(victim_group, SOCK_DGRAM);
    other = socket_of(other_group, SOCK_DGRAM);
    third = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bound(victim, &at_victim);
    bound(other, &at_other);
    snprintf(cut.group, sizeof(cut.group), "%s", victim_group);
    snprintf(cut.other, sizeof(cut.other), "%s", other_group);
    cut.direction = CUT_OUT;
    applied(&cut, 60000);
    must(sent_and_came(victim, other, &at_other, 4) == 0);
    must(sent_and_came(other, victim, &at_victim, 4) == 4);
    must(sent_and_came(third, other, &at_other, 4) == 4);
    must(packets_of(&cut) == 4);
    removed(&cut);
    cut.direction = CUT_BOTH;
    applied(&cut, 60000);
    must(sent_and_came(victim, other, &at_other, 4) == 0);
    must(sent_and_came(other, victim, &at_victim, 4) == 0);
    must(packets_of(&cut) == 8);
    removed(&cut);
}

/* A port of a peer, refused: a connect learns it at once, another port is free. */
static void refuse_a_port(void)
{
    struct sockaddr_in blocked, open_one;
    struct cut cut = cut_named(3);
    int listeners[2] = { socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_STREAM, 0) }, victim;

    raise_loopback();
    cut.peers[0] = (struct address_match){ .present = 1, .port_first = bound(listeners[0], &blocked) };
    cut.peers[0].port_last = cut.peers[0].port_first;
    cut.peer_count = 1;
    bound(listeners[1], &open_one);
    must(listen(listeners[0], 5) == 0 && listen(listeners[1], 5) == 0);
    snprintf(cut.group, sizeof(cut.group), "%s", victim_group);
    cut.mode = CUT_REJECT;
    applied(&cut, 60000);
    victim = socket_of(victim_group, SOCK_STREAM);
    must(connect(victim, (struct sockaddr *)&blocked, sizeof(blocked)) < 0 && errno == ECONNREFUSED);
    must(packets_of(&cut) == 1);
    victim = socket_of(victim_group, SOCK_STREAM);
    must(connect(victim, (struct sockaddr *)&open_one, sizeof(open_one)) == 0);
    removed(&cut);
}

/* Nobody renews: the kernel ends it. What has expired cannot be renewed, and its table is found and taken away. */
static void let_it_expire(void)
{
    struct sockaddr_in address;
    struct cut cut = cut_named(4);
    int victim, receiver;
    uint64_t until_ns;

    raise_loopback();
    victim = socket_of(victim_group, SOCK_DGRAM);
    receiver = socket_of(other_group, SOCK_DGRAM);
    bound(receiver, &address);
    snprintf(cut.group, sizeof(cut.group), "%s", victim_group);
    applied(&cut, 700);
    must(cut_renew(&cut, 900 * NS_PER_MS) == 0);
    until_ns = clock_now_ns() + 400 * NS_PER_MS;
    while (clock_now_ns() < until_ns) {
        must(sent_and_came(victim, receiver, &address, 1) == 0);
        poll(NULL, 0, 20);
    }
    until_ns = deadline(5000);
    while (sent_and_came(victim, receiver, &address, 1) == 0 && clock_now_ns() < until_ns)
        poll(NULL, 0, 20);
    must(sent_and_came(victim, receiver, &address, 3) == 3);
    must(cut_renew(&cut, 60000 * NS_PER_MS) == -ESTALE);
    removed(&cut);
}

/* From outside of a namespace, by its inode, also when whoever was in it has gone from the hint. */
static void undo_from_elsewhere(void)
{
    struct cut cut = { .table = "" };
    char record[CUT_RECORD_MAX];
    int ready[2], leave[2];
    char byte;
    pid_t pid;

    must(pipe(ready) == 0 && pipe(leave) == 0);
    pid = fork();
    if (pid == 0) {
        close(leave[1]);
        must(unshare(CLONE_NEWNET) == 0);
        must(write(ready[1], "r", 1) == 1);
        (void)!read(leave[0], &byte, 1);
        _exit(0);
    }
    must(read(ready[0], &byte, 1) == 1);
    cut_name("test-1", 5, cut.table);
    cut.hint = pid;
    must(nft_namespace(pid, &cut.name_space) == 0);
    applied(&cut, 60000);
    must(packets_of(&cut) == 0);
    cut.hint = 0;
    must(cut_record(&cut, record) == 0);
    must(cut_remove(record) == 0);
    applied(&cut, 60000);
    close(leave[1]);
    must(waitpid(pid, NULL, 0) == pid);
    must(cut_remove(record) == 1);
}

static void with_groups(void (*body)(void))
{
    char name[64];

    needs_root();
    snprintf(name, sizeof(name), "perturb-test-%d-a", (int)getpid());
    if (group_create(NULL, name, victim_group) < 0 || nft_is_possible(NULL) < 0)
        skip();
    name[strlen(name) - 1] = 'b';
    assert_int_equal(group_create(NULL, name, other_group), 0);
    inside(CLONE_NEWNET, body);
    assert_int_equal(group_remove(victim_group), 0);
    assert_int_equal(group_remove(other_group), 0);
}

static void a_group_is_cut_off(void **state)
{
    (void)state;
    with_groups(cut_off_a_group);
}

static void two_groups_are_cut_from_each_other(void **state)
{
    (void)state;
    with_groups(cut_a_pair);
}

static void a_port_is_refused(void **state)
{
    (void)state;
    with_groups(refuse_a_port);
}

static void the_kernel_ends_a_partition_at_its_lease(void **state)
{
    (void)state;
    with_groups(let_it_expire);
}

static void a_partition_is_undone_from_another_namespace(void **state)
{
    (void)state;
    with_groups(undo_from_elsewhere);
}

static void hostile_cut_records_do_nothing(void **state)
{
    static const char *const records[] = { "", "perturb_part_x", "filter 4026531833:1 1", "perturb_part_;flush 1:1 1", "perturb_x 1:1 1" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(records); i++)
        assert_int_equal(cut_remove(records[i]), -EINVAL);
    assert_int_equal(cut_remove("perturb_part_x_1 1:1 1"), 1); /* of another boot */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_is_cut_off),
        cmocka_unit_test(two_groups_are_cut_from_each_other),
        cmocka_unit_test(a_port_is_refused),
        cmocka_unit_test(the_kernel_ends_a_partition_at_its_lease),
        cmocka_unit_test(a_partition_is_undone_from_another_namespace),
        cmocka_unit_test(hostile_cut_records_do_nothing),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
