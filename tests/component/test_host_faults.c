/* Host faults on this kernel, each in control groups and namespaces of the test's own: what a victim saw, and what the kernel counted.
 * They need root; what goes into a namespace does so in a process of its own. */
#include "tests/component/host_fixture.h"

#include "shims/host/helper.h"
#include "shims/host/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

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

/* How long it stood ready to run and was not let; 0 where the kernel does not count that. */
static uint64_t waited_ns(pid_t pid)
{
    unsigned long long ran, waited = 0;
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    file = fopen(path, "re");
    if (!file || fscanf(file, "%llu %llu", &ran, &waited) != 2)
        waited = 0;
    if (file)
        fclose(file);
    return waited;
}

/* On a machine that is busy with others it cannot have its share; what is missing it then spent waiting for a core. */
static void burns_its_share(uint32_t load_ppm)
{
    const struct helper_spec spec = { .job = HELPER_BURN, .core = -1, .load_ppm = load_ppm };
    uint64_t start_ns, cpu_ns, took_ns, burned_ns, denied_ns;
    struct helper helper;
    double wanted_ns;

    started(&spec, &helper);
    helper_go(&helper, deadline(30000));
    poll(NULL, 0, 200);
    start_ns = clock_now_ns();
    cpu_ns = cpu_time_ns(helper.id.pid);
    denied_ns = waited_ns(helper.id.pid);
    poll(NULL, 0, 1500);
    burned_ns = cpu_time_ns(helper.id.pid) - cpu_ns;
    took_ns = clock_now_ns() - start_ns;
    denied_ns = waited_ns(helper.id.pid) - denied_ns;
    wanted_ns = (double)took_ns * load_ppm / 1e6;
    print_message("# wanted %.0f %%, burned %.2f %% by the kernel's count, waited for a core %.0f ms\n", load_ppm / 1e4,
                  (double)burned_ns / (double)took_ns * 100, (double)denied_ns / 1e6);
    assert_true((double)burned_ns < 1.05 * wanted_ns);
    assert_true((double)burned_ns > 0.95 * wanted_ns - (double)denied_ns);
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
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
