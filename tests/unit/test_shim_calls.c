/* The table of wrapped calls against the library that was built from it, and the ELF reader against files of any shape. */
#include "tests/component/shim.h"

#include "scenarios/base/rng.h"
#include "shims/host/elf.h"
#include "shims/host/inspect.h"
#include "shims/include/calls.h"

#include <dlfcn.h>
#include <sys/stat.h>

struct seen {
    size_t exported;
    bool strange;
    uint8_t rows[1024];
};

static void note(const char *name, bool defined, void *context)
{
    struct seen *seen = context;

    if (!defined)
        return;
    seen->exported++;
    for (size_t i = 0; i < call_count; i++)
        if (!strcmp(name, call_descs[i].name)) {
            seen->rows[i]++;
            return;
        }
    if (strcmp(name, "syscall") != 0 && strcmp(name, "getpeername") != 0 && /* judged by number; wrapped to name detours */
        strncmp(name, "perturb_", 8) != 0) {                                  /* the doors of late attach and of fault points */
        print_message("exported but in no row: %s\n", name);
        seen->strange = true;
    }
}

/* Releases, tries and conditions without a time limit are wrapped by libperturb-watch.so alone. */
static bool is_watched(const struct call_desc *call)
{
    return !(call->points & POINT_BIT(wait)) && (!call->points || (call->points & PRELOAD_WATCHING));
}

static void check_exports(const char *library, bool watching)
{
    struct seen seen = { 0 };
    size_t expected = 5; /* syscall, getpeername, the doors of late attach */
    struct elf_file elf;

    assert_true(call_count <= ARRAY_SIZE(seen.rows));
    assert_int_equal(elf_open(library, &elf), 0);
    assert_true(elf.is_native && elf.is_dynamic && !elf.is_go);
    assert_string_equal(elf.loader, "");
    elf_symbols(&elf, note, &seen);
    elf_close(&elf);
    assert_false(seen.strange);
    for (size_t i = 0; i < call_count; i++) {
        unsigned count = watching || !is_watched(&call_descs[i]);

        assert_int_equal(seen.rows[i], count);
        expected += count;
    }
    assert_int_equal(seen.exported, expected);
}

static void exports_are_the_table(void **state)
{
    struct bench *bench = *state;

    check_exports(bench->library, false);
    assert_int_equal(preload_watching(bench->library, sizeof(bench->library)), 0);
    check_exports(bench->library, true);
}

/* Symbols whose absence elsewhere would keep a program from starting: the shim may want none but plain old ones (musl has them). */
static void note_wanted(const char *name, bool defined, void *context)
{
    static const char *const foreign[] = { "__libc_malloc", "__libc_free", "__cxa_atexit", "pthread_atfork", "_Unwind_Resume", "__stack_chk_fail", "__tls_get_addr" };
    bool *found = context;

    for (size_t i = 0; !defined && i < ARRAY_SIZE(foreign); i++)
        if (!strcmp(name, foreign[i]) || (strstr(name, "_chk") && strncmp(name, "__", 2) == 0)) {
            print_message("wants %s\n", name);
            *found = true;
        }
}

static void wants_nothing_special(void **state)
{
    struct bench *bench = *state;
    struct elf_file elf;
    bool found = false;

    assert_int_equal(elf_open(bench->library, &elf), 0);
    elf_symbols(&elf, note_wanted, &found);
    elf_close(&elf);
    assert_false(found);
}

static void every_point_has_calls(void **state)
{
    uint64_t points = 0;

    (void)state;
    for (size_t i = 0; i < call_count; i++) {
        assert_true(call_descs[i].points != 0 || strstr(call_descs[i].name, "_try"));
        assert_true(call_descs[i].points < BIT(POINT_COUNT));
        points |= call_descs[i].points;
    }
    assert_int_equal(points, (BIT(POINT_COUNT) - 1) & ~POINT_BIT(code)); /* which the program itself calls */
}

/* Each row is a call of this C library, or of its older selves: none may be a slip of the pen. */
static void every_row_is_in_the_library(void **state)
{
    void *resolver = dlopen("libresolv.so.2", RTLD_NOW); /* the home of its older selves */

    (void)state;
    for (size_t i = 0; i < call_count; i++)
        if (!dlsym(RTLD_DEFAULT, call_descs[i].name) && (!resolver || !dlvsym(resolver, call_descs[i].name, "GLIBC_2.2.5")))
            fail_msg("no %s", call_descs[i].name);
}

/* No name stands in two rows, and the mask of points that have to be named is that of the table. */
static void rows_and_points_are_told_once(void **state)
{
    uint64_t named = 0;

    (void)state;
    for (size_t i = 0; i < call_count; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(call_descs[i].name, call_descs[k].name);
    for (size_t i = 0; i < POINT_COUNT; i++)
        named |= point_descs[i].groups & GROUP_NAMED ? BIT(i) : 0;
    assert_int_equal(POINTS_NAMED & ~named, 0);
    assert_int_equal(fault_points_unnamed(FAULT_CALL_thread_stall), POINTS_ALL);
    assert_int_equal(fault_points_unnamed(FAULT_CALL_fail) & named, 0);
}

static void ignore(const char *name, bool defined, void *context)
{
    size_t *length = context;

    (void)defined;
    *length += strlen(name);
}

/* A program with bytes changed or its end cut off: read without a fault, whatever it says. */
static void broken_files_are_read(void **state)
{
    struct bench *bench = *state;
    char from[PATH_MAX + 64], to[1024];
    static unsigned char data[1 << 17], copy[1 << 17];
    ssize_t size;
    int fd;

    snprintf(from, sizeof(from), "%s/tests/fixtures/alloc_pairs", bench->build);
    snprintf(to, sizeof(to), "%s/broken", bench->folder);
    fd = open(from, O_RDONLY | O_CLOEXEC);
    size = read(fd, data, sizeof(data));
    close(fd);
    assert_true(size > 4096);
    for (uint64_t round = 0; round < 400; round++) {
        size_t kept = round % 4 ? (size_t)size : rng_below(rng_draw(1, 1, round, 0), (uint64_t)size);
        struct elf_file elf;
        size_t length = 0;

        memcpy(copy, data, (size_t)size);
        for (uint64_t k = 0; k < 1 + round % 16; k++) { /* half of the changes hit the headers */
            uint64_t draw = rng_draw(1, 2, round, k);

            copy[rng_below(draw, k % 2 ? 1024 : (uint64_t)size)] = (unsigned char)(round % 3 ? draw : 0xff);
        }
        fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, copy, kept), (ssize_t)kept);
        close(fd);
        if (!elf_open(to, &elf)) {
            elf_symbols(&elf, ignore, &length);
            elf_close(&elf);
        }
    }
}

static void scripts_lead_to_their_interpreter(void **state)
{
    struct bench *bench = *state;
    struct inspection *inspection;
    char path[1024];
    FILE *file;

    snprintf(path, sizeof(path), "%s/script", bench->folder);
    file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file, "#!/usr/bin/env sh\necho hello\n");
    fclose(file);
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(inspect_file(path, &inspection), 0);
    assert_string_equal(inspection->script, path);
    assert_non_null(strstr(inspection->path, "/sh"));
    assert_null(inspect_unreachable(inspection));
    assert_true(inspection->points & POINT_BIT(write));
    assert_string_equal(inspection->allocator, "libc.so.6");
    inspection_free(inspection);
    file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file, "#!%s\n", path); /* its own interpreter */
    fclose(file);
    assert_int_equal(inspect_file(path, &inspection), -ENOEXEC);
    assert_int_equal(inspect_file("/nonexistent", &inspection), -ENOENT);
    assert_int_equal(inspect_file("/etc", &inspection), -ENOEXEC);
    assert_int_equal(inspect_process(INT32_MAX - 1, &inspection), -ESRCH);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(exports_are_the_table),
        CASE(wants_nothing_special),
        cmocka_unit_test(every_point_has_calls),
        cmocka_unit_test(every_row_is_in_the_library),
        cmocka_unit_test(rows_and_points_are_told_once),
        CASE(broken_files_are_read),
        CASE(scripts_lead_to_their_interpreter),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
