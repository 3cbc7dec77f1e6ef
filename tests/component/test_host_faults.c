/* Host faults on this kernel, each in control groups and namespaces of the test's own: what a victim saw, and what the kernel counted.
 * They need root; what goes into a namespace does so in a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/cut.h"
#include "shims/host/helper.h"
#include "shims/host/memory.h"
#include "shims/host/nft.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

static int scaled(int ms)
{
    const char *text = getenv("PERTURB_TEST_TIMEOUT_MS");
    long whole = text ? strtol(text, NULL, 10) : 10000;

    return (int)((long)ms * (whole > 0 ? whole : 10000) / 10000);
}

static uint64_t deadline(int ms)
{
    return clock_now_ns() + (uint64_t)scaled(ms) * NS_PER_MS;
}

/* For bodies that run in a process of their own, where a failed cmocka assertion would not be heard. */
#define must(condition)                                                                                                                     \
    do {                                                                                                                                    \
        if (!(condition)) {                                                                                                                 \
            fprintf(stderr, "# line %d: %s does not hold (%s)\n", __LINE__, #condition, strerror(errno));                                   \
            _exit(1);                                                                                                                       \
        }                                                                                                                                   \
    } while (0)

static void inside(int namespaces, void (*body)(void))
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        must(unshare(namespaces) == 0);
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void needs_root(void)
{
    if (geteuid() != 0)
        skip();
}

/* ---- helpers -------------------------------------------------------------------------------------------------------------- */

static void started(const struct helper_spec *spec, struct helper *helper)
{
    const char *step = "";
    int result = helper_start(spec, helper, &step);

    if (result < 0)
        print_message("%s: %s\n", step, strerror(-result));
    assert_int_equal(result, 0);
}

static void ended(struct helper *helper)
{
    pid_t pid = helper->id.pid;

    helper_end(helper);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* The kernel's own account of a process. */
static uint64_t cpu_time_ns(pid_t pid)
{
    struct timespec used;
    clockid_t clock;

    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &used), 0);
    return timespec_ns(used);
}

static void burns_its_share(uint32_t load_ppm)
{
    const struct helper_spec spec = { .job = HELPER_BURN, .core = -1, .load_ppm = load_ppm };
    uint64_t start_ns, cpu_ns, took_ns, burned_ns;
    struct helper helper;
    double share;

    started(&spec, &helper);
    helper_go(&helper, deadline(30000));
    poll(NULL, 0, 200);
    start_ns = clock_now_ns();
    cpu_ns = cpu_time_ns(helper.id.pid);
    poll(NULL, 0, 1500);
    burned_ns = cpu_time_ns(helper.id.pid) - cpu_ns;
    took_ns = clock_now_ns() - start_ns;
    share = (double)burned_ns / (double)took_ns * 1e6 / load_ppm;
    print_message("# wanted %.0f %%, burned %.2f %% by the kernel's count\n", load_ppm / 1e4, (double)burned_ns / (double)took_ns * 100);
    assert_true(share > 0.95 && share < 1.05);
    assert_true(atomic_load(&helper.state->first_ns) > 0);
    ended(&helper);
}

static void cpu_is_burned_to_within_five_percent(void **state)
{
    (void)state;
    burns_its_share(100000);
    burns_its_share(400000);
}

static void nothing_happens_before_go(void **state)
{
    const struct helper_spec spec = { .job = HELPER_BURN, .core = -1, .load_ppm = 1000000 };
    struct helper helper;

    (void)state;
    started(&spec, &helper);
    poll(NULL, 0, 100);
    assert_true(cpu_time_ns(helper.id.pid) < 50 * NS_PER_MS);
    assert_int_equal(atomic_load(&helper.state->first_ns), 0);
    ended(&helper);
}

/* Nobody renews, nobody ends it. */
static void a_helper_ends_by_itself_at_its_lease(void **state)
{
    static const enum helper_job jobs[] = { HELPER_BURN, HELPER_HOLD, HELPER_FILL };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        const struct helper_spec spec = { .job = jobs[i], .core = -1, .load_ppm = 100000, .bytes = MIB, .floor = 64 * MIB,
                                          .directory = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", .name = ".perturb-fill-test" };
        struct helper helper;
        uint64_t end_ns;
        int status = -1;

        started(&spec, &helper);
        end_ns = clock_now_ns() + 300 * NS_PER_MS;
        helper_go(&helper, end_ns);
        assert_int_equal(waitpid(helper.id.pid, &status, 0), helper.id.pid);
        assert_true(clock_now_ns() >= end_ns);
        assert_true(clock_now_ns() < end_ns + (uint64_t)scaled(1000) * NS_PER_MS);
        assert_int_equal(status, 0);
        assert_int_equal(atomic_load(&helper.state->error), 0);
        helper_end(&helper);
    }
}

static void a_helper_ends_with_its_starter(void **state)
{
    const struct helper_spec spec = { .job = HELPER_BURN, .core = -1, .load_ppm = 100000 };
    struct process_id id = { .pid = 0 };
    int fds[2];
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        struct helper helper;
        const char *step;

        must(helper_start(&spec, &helper, &step) == 0);
        helper_go(&helper, deadline(60000));
        must(write(fds[1], &helper.id, sizeof(helper.id)) == (ssize_t)sizeof(helper.id));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(read(fds[0], &id, sizeof(id)), sizeof(id));
    assert_int_equal(process_wait_gone(&id, scaled(2000)), 0);
    close(fds[0]);
    close(fds[1]);
}

/* ---- memory --------------------------------------------------------------------------------------------------------------- */

static struct memory_group make_group(const char *suffix)
{
    struct memory_group own, parent, group;
    char name[64];

    if (memory_group_of(0, &own) < 0 || memory_parent(&own, &parent) < 0)
        skip();
    snprintf(name, sizeof(name), "perturb-test-%d-%s", (int)getpid(), suffix);
    assert_int_equal(memory_group_below(&parent, name, &group), 0);
    assert_int_equal(memory_group_make(&group), 0);
    return group;
}

static void remove_group(const struct memory_group *group)
{
    char record[2 * GROUP_PATH_MAX], *slash;

    snprintf(record, sizeof(record), "%s %s", group->path, group->path);
    slash = strrchr(record, '/');
    *slash = '\0';
    assert_int_equal(memory_group_remove(record), 0);
    assert_int_equal(access(group->path, F_OK), -1);
}

static uint64_t value_of(const struct memory_group *group, enum memory_value value)
{
    uint64_t number = 0;

    assert_int_equal(memory_read(group, value, &number), 0);
    return number;
}

static void memory_is_taken_inside_a_group(void **state)
{
    struct memory_group group;
    struct helper helper;
    uint64_t until_ns = deadline(5000);

    (void)state;
    needs_root();
    group = make_group("hold");
    started(&(struct helper_spec){ .job = HELPER_HOLD, .core = -1, .bytes = 40 * MIB, .floor = 64 * MIB, .groups = { group.path } }, &helper);
    helper_go(&helper, deadline(30000));
    while (atomic_load(&helper.state->amount) < 40 * MIB && clock_now_ns() < until_ns)
        poll(NULL, 0, 5);
    assert_int_equal(atomic_load(&helper.state->amount), 40 * MIB);
    assert_true(value_of(&group, MEMORY_USED) >= 40 * MIB && value_of(&group, MEMORY_USED) < 44 * MIB);
    ended(&helper);
    assert_true(value_of(&group, MEMORY_USED) < 4 * MIB);
    remove_group(&group);
}

/* A floor above what is available: not a page is taken. */
static void the_machine_keeps_its_floor(void **state)
{
    uint64_t total, available;
    struct helper helper;

    (void)state;
    assert_int_equal(memory_of_machine(&total, &available), 0);
    assert_true(available <= total);
    started(&(struct helper_spec){ .job = HELPER_HOLD, .core = -1, .bytes = UINT64_MAX, .floor = total }, &helper);
    helper_go(&helper, deadline(30000));
    poll(NULL, 0, 200);
    assert_int_equal(atomic_load(&helper.state->peak), 0);
    ended(&helper);
}

static _Noreturn void grow(const char *group)
{
    if (group_enter(group, 0) < 0)
        _exit(2);
    for (size_t i = 0; i < 256; i++) {
        unsigned char *chunk = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (chunk == MAP_FAILED)
            _exit(3);
        memset(chunk, (int)i + 1, MIB);
    }
    _exit(0);
}

static int outcome_of_growth(const struct memory_group *group)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0)
        grow(group->path);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_limit_ends_what_exceeds_it_until_it_is_put_back(void **state)
{
    char limit[MEMORY_RECORD_MAX], swap[MEMORY_RECORD_MAX];
    struct memory_group group;
    uint64_t in_force = 0, kills;
    bool counts_swap;
    int status;

    (void)state;
    needs_root();
    group = make_group("limit");
    assert_int_equal(outcome_of_growth(&group), 0); /* a control: without the fault it lives */
    assert_int_equal(memory_record(&group, MEMORY_LIMIT, limit), 0);
    counts_swap = memory_record(&group, MEMORY_SWAP_LIMIT, swap) == 0;
    kills = value_of(&group, MEMORY_OOM_KILLS);
    assert_int_equal(memory_set_limit(&group, 32 * MIB, 0, &in_force), 0);
    assert_int_equal(in_force, 32 * MIB);
    status = outcome_of_growth(&group);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(value_of(&group, MEMORY_OOM_KILLS), kills + 1);
    if (counts_swap)
        assert_int_equal(memory_restore(swap), 0);
    assert_int_equal(memory_restore(limit), 0);
    assert_int_equal(value_of(&group, MEMORY_LIMIT), MEMORY_UNLIMITED);
    assert_int_equal(outcome_of_growth(&group), 0);
    remove_group(&group);
}

/* Below the use: version 1 takes the lowest that it can, version 2 kills; either way the next growth is the last. */
static void a_limit_below_the_use_is_in_force_at_the_use(void **state)
{
    struct memory_group group;
    struct helper helper;
    uint64_t in_force = 0, until_ns = deadline(5000);

    (void)state;
    needs_root();
    group = make_group("below");
    started(&(struct helper_spec){ .job = HELPER_HOLD, .core = -1, .bytes = 30 * MIB, .floor = 64 * MIB, .groups = { group.path } }, &helper);
    helper_go(&helper, deadline(30000));
    while (atomic_load(&helper.state->amount) < 30 * MIB && clock_now_ns() < until_ns)
        poll(NULL, 0, 5);
    assert_int_equal(memory_set_limit(&group, 10 * MIB, 0, &in_force), 0);
    assert_true(group.version == MEMORY_V2 ? in_force == 10 * MIB : in_force >= 30 * MIB && in_force < 36 * MIB);
    assert_true(WIFSIGNALED(outcome_of_growth(&group)) || !process_is_alive(&helper.id));
    ended(&helper);
    remove_group(&group);
}

/* ---- disk ----------------------------------------------------------------------------------------------------------------- */

static uint64_t free_bytes(const char *path)
{
    struct statvfs facts;

    must(statvfs(path, &facts) == 0);
    return (uint64_t)facts.f_bfree * facts.f_frsize;
}

static void await_amount(const struct helper *helper, uint64_t wanted)
{
    uint64_t until_ns = deadline(5000);

    while (atomic_load(&helper->state->amount) < wanted && clock_now_ns() < until_ns)
        poll(NULL, 0, 5);
}

static int write_a_megabyte(const char *folder)
{
    static const char zeros[1 << 20];
    char path[512];
    int fd, result;

    snprintf(path, sizeof(path), "%s/victim", folder);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0);
    result = write(fd, zeros, sizeof(zeros)) == (ssize_t)sizeof(zeros) ? 0 : -errno;
    close(fd);
    unlink(path);
    return result;
}

static char mount_point[256];

static void fill_a_file_system(void)
{
    struct helper_spec spec = { .job = HELPER_FILL, .core = -1, .bytes = UINT64_MAX, .directory = mount_point, .name = ".perturb-fill-test" };
    uint64_t before;
    struct helper helper;
    const char *step;
    DIR *directory;
    int names = 0;

    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    must(mount("none", mount_point, "tmpfs", 0, "size=16m") == 0);
    before = free_bytes(mount_point);
    must(write_a_megabyte(mount_point) == 0);

    must(helper_start(&spec, &helper, &step) == 0);
    helper_go(&helper, deadline(30000));
    await_amount(&helper, before);
    must(free_bytes(mount_point) == 0);
    must(atomic_load(&helper.state->amount) == before);
    errno = 0;
    must(write_a_megabyte(mount_point) == 0 || errno == ENOSPC);
    must(errno == ENOSPC);
    directory = opendir(mount_point);
    must(directory);
    while (readdir(directory))
        names++;
    closedir(directory);
    must(names == 2); /* "." and ".." */
    kill(helper.id.pid, SIGKILL); /* not asked: whatever ends the holder ends the fault */
    must(waitpid(helper.id.pid, NULL, 0) == helper.id.pid);
    must(free_bytes(mount_point) == before);
    must(write_a_megabyte(mount_point) == 0);
    helper_end(&helper);

    spec.floor = 4 * MIB;
    must(helper_start(&spec, &helper, &step) == 0);
    helper_go(&helper, deadline(30000));
    await_amount(&helper, before - 4 * MIB);
    must(free_bytes(mount_point) == 4 * MIB);
    must(write_a_megabyte(mount_point) == 0);
    helper_end(&helper);
    _exit(0);
}

static void a_file_system_is_full_until_the_holder_ends(void **state)
{
    const char *base = getenv("TMPDIR");

    (void)state;
    needs_root();
    snprintf(mount_point, sizeof(mount_point), "%s/mount-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(mount_point));
    inside(CLONE_NEWNS, fill_a_file_system);
    assert_int_equal(rmdir(mount_point), 0);
}

/* ---- partition ------------------------------------------------------------------------------------------------------------- */

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
        cmocka_unit_test(nothing_happens_before_go),
        cmocka_unit_test(cpu_is_burned_to_within_five_percent),
        cmocka_unit_test(a_helper_ends_by_itself_at_its_lease),
        cmocka_unit_test(a_helper_ends_with_its_starter),
        cmocka_unit_test(memory_is_taken_inside_a_group),
        cmocka_unit_test(the_machine_keeps_its_floor),
        cmocka_unit_test(a_limit_ends_what_exceeds_it_until_it_is_put_back),
        cmocka_unit_test(a_limit_below_the_use_is_in_force_at_the_use),
        cmocka_unit_test(a_file_system_is_full_until_the_holder_ends),
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
