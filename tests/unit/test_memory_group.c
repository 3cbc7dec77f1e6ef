/* Memory control groups: places out of the kernel's texts, and values in a tree of files as each version has them. Version 2 with a
 * memory controller is met here only in such a tree: its names and its meanings are what is tested. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenarios/base/cleanup.h"
#include "shims/host/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HYBRID                                                                                                                              \
    "30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs rw\n"                                                                                     \
    "35 30 0:31 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"                                                   \
    "36 30 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"                                                           \
    "40 30 0:36 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
#define UNIFIED "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
#define CONTAINED "30 23 0:26 /kube/pod1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n"

static const struct {
    const char *mounts, *cgroup, *path;
    enum memory_version version;
} places[] = {
    { HYBRID, "4:memory:/a/b\n2:cpuacct,cpu:/x\n0::/z\n", "/sys/fs/cgroup/memory/a/b", MEMORY_V1 },
    { HYBRID, "4:memory:/\n0::/z\n", "/sys/fs/cgroup/memory", MEMORY_V1 },
    { UNIFIED, "0::/system.slice/x.service\n", "/sys/fs/cgroup/system.slice/x.service", MEMORY_V2 },
    { UNIFIED, "0::/\n", "/sys/fs/cgroup", MEMORY_V2 },
    { CONTAINED, "0::/kube/pod1/c\n", "/sys/fs/cgroup/c", MEMORY_V2 },
    { "", "0::/\n", NULL, MEMORY_NONE },
    { HYBRID, "2:cpu,cpuacct:/x\n", NULL, MEMORY_NONE },
    { "35 30 0:31 / /memory rw - cgroup cgroup rw,memoryx\n", "4:memory:/a\n", NULL, MEMORY_NONE },
};

static void a_process_is_found_in_either_version(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct memory_group group = { .version = MEMORY_NONE };
        int result = memory_group_parse(places[i].mounts, places[i].cgroup, &group);

        assert_int_equal(result, places[i].path ? 0 : -ENOTSUP);
        assert_int_equal(group.version, places[i].version);
        if (places[i].path)
            assert_string_equal(group.path, places[i].path);
    }
}

/* ---- trees of files ------------------------------------------------------------------------------------------------------ */

static void put(const char *folder, const char *file, const char *text)
{
    char path[512];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s", folder, file);
    out = fopen(path, "we");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static void expect_text(const char *folder, const char *file, const char *wanted)
{
    char path[512], text[64] = "";
    FILE *in;

    snprintf(path, sizeof(path), "%s/%s", folder, file);
    in = fopen(path, "re");
    assert_non_null(in);
    (void)!fread(text, 1, sizeof(text) - 1, in);
    fclose(in);
    text[strlen(wanted)] = '\0'; /* a file of ours keeps the tail of a longer value; a kernel's does not */
    assert_string_equal(text, wanted);
}

static void make_tree(char folder[256], struct memory_group *group, enum memory_version version)
{
    const char *base = getenv("TMPDIR");

    snprintf(folder, 256, "%s/group-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(folder));
    if (version == MEMORY_V1) {
        put(folder, "memory.limit_in_bytes", "9223372036854771712\n");
        put(folder, "memory.memsw.limit_in_bytes", "9223372036854771712\n");
        put(folder, "memory.usage_in_bytes", "1048576\n");
        put(folder, "memory.max_usage_in_bytes", "2097152\n");
        put(folder, "memory.failcnt", "7\n");
        put(folder, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    } else {
        put(folder, "memory.max", "max\n");
        put(folder, "memory.swap.max", "max\n");
        put(folder, "memory.current", "1048576\n");
        put(folder, "memory.peak", "2097152\n");
        put(folder, "memory.events", "low 1\nhigh 2\nmax 7\noom 4\noom_kill 3\noom_group_kill 0\n");
    }
    assert_int_equal(memory_group_at(folder, group), 0);
    assert_int_equal(group->version, version);
}

static void remove_tree(const char *folder)
{
    static const char *const names[] = { "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.usage_in_bytes", "memory.failcnt",
                                         "memory.max_usage_in_bytes", "memory.oom_control", "memory.max", "memory.swap.max", "memory.peak",
                                         "memory.current", "memory.events", "cgroup.subtree_control" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[512];

        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void values_mean_the_same_in_both(void **state)
{
    static const uint64_t wanted[MEMORY_VALUES] = { MEMORY_UNLIMITED, MEMORY_UNLIMITED, 1 << 20, 2 << 20, 7, 3 };

    (void)state;
    for (enum memory_version version = MEMORY_V1; version <= MEMORY_V2; version++) {
        struct memory_group group;
        char folder[256];

        make_tree(folder, &group, version);
        for (enum memory_value value = 0; value < MEMORY_VALUES; value++) {
            uint64_t number = 0;

            assert_int_equal(memory_read(&group, value, &number), 0);
            assert_int_equal(number, wanted[value]);
        }
        remove_tree(folder);
    }
}

static void a_limit_is_set_and_put_back(void **state)
{
    (void)state;
    for (enum memory_version version = MEMORY_V1; version <= MEMORY_V2; version++) {
        char folder[256], limit[MEMORY_RECORD_MAX], swap[MEMORY_RECORD_MAX];
        struct memory_group group;
        uint64_t in_force = 0;

        make_tree(folder, &group, version);
        put(folder, version == MEMORY_V1 ? "memory.limit_in_bytes" : "memory.max", "1000000000\n");
        assert_int_equal(memory_record(&group, MEMORY_LIMIT, limit), 0);
        assert_int_equal(memory_record(&group, MEMORY_SWAP_LIMIT, swap), 0);
        assert_int_equal(memory_set_limit(&group, 6000000000, 4096, &in_force), 0);
        assert_int_equal(in_force, 6000000000);
        expect_text(folder, version == MEMORY_V1 ? "memory.limit_in_bytes" : "memory.max", "6000000000");
        expect_text(folder, version == MEMORY_V1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max", version == MEMORY_V1 ? "6000004096" : "4096");
        assert_int_equal(memory_restore(limit), 0);
        expect_text(folder, version == MEMORY_V1 ? "memory.limit_in_bytes" : "memory.max", "1000000000");
        put(folder, version == MEMORY_V1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max", "");
        if (version == MEMORY_V2) {
            assert_int_equal(memory_restore(swap), 0);
            expect_text(folder, "memory.swap.max", "max");
        }
        remove_tree(folder);
        assert_int_equal(memory_restore(limit), 1); /* gone: moot */
    }
}

static void hostile_records_write_nothing(void **state)
{
    static const char *const records[] = { "", "x", "/etc/passwd 5", "memory.max 5", "/a/memory.current 5", "/a/memory.max", "/a/memory.max five",
                                           "/a/memory.max -", "/proc/1/oom_score_adj 5" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(records); i++)
        assert_int_equal(memory_restore(records[i]), -EINVAL);
    assert_int_equal(memory_group_remove("/sys/fs/cgroup /"), -EINVAL);
    assert_int_equal(memory_group_remove("/sys/fs/cgroup/memory/others /"), -EINVAL);
    assert_int_equal(memory_group_remove("/nowhere/perturb-x"), -EINVAL);
    assert_int_equal(memory_group_remove("/nowhere/perturb-x /"), 1);
}

/* Version 2: a group has the controller only below one that hands it down. */
static void a_new_group_stands_where_the_controller_is(void **state)
{
    struct memory_group own = { .version = MEMORY_V2 }, parent;
    char folder[256], slice[280], scope[300];

    (void)state;
    make_tree(folder, &own, MEMORY_V2);
    snprintf(slice, sizeof(slice), "%s/user.slice", folder);
    snprintf(scope, sizeof(scope), "%s/session.scope", slice);
    assert_int_equal(mkdir(slice, 0700), 0);
    assert_int_equal(mkdir(scope, 0700), 0);
    put(folder, "cgroup.subtree_control", "cpu memory pids\n");
    put(slice, "cgroup.subtree_control", "memory\n");
    put(scope, "cgroup.subtree_control", "\n");
    snprintf(own.path, sizeof(own.path), "%s", scope);
    assert_int_equal(memory_parent(&own, &parent), 0);
    assert_string_equal(parent.path, slice);
    put(slice, "cgroup.subtree_control", "cpu memorytwo\n");
    assert_int_equal(memory_parent(&own, &parent), 0);
    assert_string_equal(parent.path, folder);
    put(folder, "cgroup.subtree_control", "cpu\n");
    assert_int_equal(memory_parent(&own, &parent), -ENOTSUP);
    own.version = MEMORY_V1;
    assert_int_equal(memory_parent(&own, &parent), 0);
    assert_string_equal(parent.path, scope);
    put(scope, "cgroup.subtree_control", "");
    remove_tree(scope);
    remove_tree(slice);
    remove_tree(folder);
}

static void what_holds_us_is_protected(void **state)
{
    struct memory_group group;
    char *slash;

    (void)state;
    if (memory_group_of(0, &group) < 0)
        skip();
    assert_true(memory_is_protected(&group, 0));
    while ((slash = strrchr(group.path, '/')) && strlen(group.path) > strlen("/sys/fs/cgroup/")) {
        *slash = '\0';
        if (access(group.path, F_OK) == 0 && strcmp(group.path, "/sys/fs/cgroup") != 0)
            assert_true(memory_is_protected(&group, 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_is_found_in_either_version),
        cmocka_unit_test(values_mean_the_same_in_both),
        cmocka_unit_test(a_limit_is_set_and_put_back),
        cmocka_unit_test(hostile_records_write_nothing),
        cmocka_unit_test(a_new_group_stands_where_the_controller_is),
        cmocka_unit_test(what_holds_us_is_protected),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
