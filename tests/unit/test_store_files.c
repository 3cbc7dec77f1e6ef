/* The state directory, run directories and the files in them. */
#include "controller/store/store.h"

#include "scenarios/base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[64];
static struct errs errs;

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

static int set_up(void **state)
{
    (void)state;
    memset(&errs, 0, sizeof(errs));
    snprintf(home, sizeof(home), "/tmp/test-store.XXXXXX");
    if (!mkdtemp(home))
        return -1;
    unsetenv("XDG_STATE_HOME");
    return setenv("HOME", home, 1);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static unsigned mode_of(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static char *path_of(const char *directory, const char *name)
{
    char *path;

    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    return path;
}

static void state_directory_follows_the_standard(void **state)
{
    char wanted[128], *directory;

    (void)state;
    assert_int_equal(store_state_directory(&directory, &errs), 0);
    snprintf(wanted, sizeof(wanted), "%s/.local/state/perturb", home);
    assert_string_equal(directory, wanted);
    assert_int_equal(mode_of(directory), 0700);
    free(directory);
    snprintf(wanted, sizeof(wanted), "%s/elsewhere", home);
    setenv("XDG_STATE_HOME", wanted, 1);
    assert_int_equal(store_state_directory(&directory, &errs), 0);
    snprintf(wanted, sizeof(wanted), "%s/elsewhere/perturb", home);
    assert_string_equal(directory, wanted);
    free(directory);
    setenv("XDG_STATE_HOME", "relative", 1); /* to be ignored */
    assert_int_equal(store_state_directory(&directory, &errs), 0);
    assert_null(strstr(directory, "relative"));
    free(directory);
    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    assert_true(store_state_directory(&directory, &errs) < 0);
    assert_int_equal(errs_status(&errs), ERR_WORLD);
}

static void run_directory_is_private(void **state)
{
    char *directory, *logs;

    (void)state;
    assert_int_equal(store_run_create(NULL, "20261123-121500-1a2b", &directory, &errs), 0);
    assert_non_null(strstr(directory, "/.local/state/perturb/runs/20261123-121500-1a2b"));
    assert_int_equal(mode_of(directory), 0700);
    logs = path_of(directory, "logs");
    assert_int_equal(mode_of(logs), 0700);
    free(logs);
    free(directory);
    assert_true(store_run_create(NULL, "20261123-121500-1a2b", &directory, &errs) < 0); /* taken */
}

static void out_directory_must_be_empty(void **state)
{
    AUTO_FREE char *wanted = path_of(home, "a/b"), *directory = NULL, *again = NULL;
    AUTO_FREE char *open_to_all = path_of(home, "open");

    (void)state;
    assert_int_equal(store_run_create(wanted, "r1", &directory, &errs), 0);
    assert_int_equal(mode_of(wanted), 0700);
    assert_int_equal(store_run_create(wanted, "r1", &again, &errs), -ENOTEMPTY); /* its logs/ is there */
    assert_non_null(strstr(errs.list[0].text, "not empty"));
    assert_int_equal(mkdir(open_to_all, 0777), 0);
    assert_int_equal(chmod(open_to_all, 0777), 0);
    assert_int_equal(store_run_create(open_to_all, "r2", &again, &errs), 0);
    assert_int_equal(mode_of(open_to_all), 0700);
}

static void refuses_ids_that_are_paths(void **state)
{
    static const char *const ids[] = { "", ".", "..", "../x", "a/b", ".hidden", "a b", "a\nb", "\xc3\xa9" };
    char *directory;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        assert_true(store_run_create(NULL, ids[i], &directory, &errs) < 0);
}

static size_t entries_of(const char *directory)
{
    DIR *list = opendir(directory);
    size_t count = 0;

    assert_non_null(list);
    while (readdir(list))
        count++;
    closedir(list);
    return count - 2;
}

static void assert_holds(const char *path, const char *wanted)
{
    struct buf text;

    buf_init(&text, 4096);
    assert_int_equal(buf_read_file(&text, path), 0);
    assert_string_equal(text.data, wanted);
    buf_done(&text);
}

static void files_are_replaced_whole(void **state)
{
    AUTO_FREE char *path = path_of(home, "result.json");
    char seen[8] = "";
    AUTO_CLOSE int reader = -1;

    (void)state;
    assert_int_equal(store_write_file(home, "result.json", "first", 5, &errs), 0);
    assert_int_equal(mode_of(path), 0600);
    reader = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(store_write_file(home, "result.json", "second", 6, &errs), 0);
    assert_int_equal(read(reader, seen, sizeof(seen)), 5); /* the old file, whole */
    assert_string_equal(seen, "first");
    assert_holds(path, "second");
    assert_int_equal(entries_of(home), 1);
    assert_true(store_write_file(home, "../escape", "x", 1, &errs) < 0);
    assert_true(store_write_file(home, ".hidden", "x", 1, &errs) < 0);
}

static void a_failed_write_changes_nothing(void **state)
{
    AUTO_FREE char *path = path_of(home, "result.json");
    struct rlimit before, small;
    char big[4096] = "";
    int result;

    (void)state;
    assert_int_equal(store_write_file(home, "result.json", "kept", 4, &errs), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){ 1024, before.rlim_max };
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    result = store_write_file(home, "result.json", big, sizeof(big), &errs);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(result, -EFBIG);
    assert_holds(path, "kept");
    assert_int_equal(entries_of(home), 1); /* no temporary is left */
}

static void result_documents_are_checked(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "not json", "no JSON object" },
        { "[1]", "no JSON object" },
        { "{}", "no result document" },
        { "{\"schema\":2}", "schema 2" },
        { "{\"schema\":\"1\"}", "no result document" },
    };
    cJSON *document;

    (void)state;
    assert_true(store_read_result(home, &document, &errs) < 0);
    assert_non_null(strstr(errs.list[0].text, "left no result"));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        memset(&errs, 0, sizeof(errs));
        assert_int_equal(store_write_file(home, "result.json", cases[i].text, strlen(cases[i].text), &errs), 0);
        assert_true(store_read_result(home, &document, &errs) < 0);
        assert_int_equal(errs_status(&errs), ERR_INPUT);
        assert_non_null(strstr(errs.list[0].text, cases[i].says));
    }
    document = cJSON_Parse("{\"schema\":1,\"a\":[1,2]}");
    assert_int_equal(store_write_json(home, "result.json", document, &errs), 0);
    cJSON_Delete(document);
    assert_int_equal(store_read_result(home, &document, &errs), 0);
    cJSON_Delete(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(state_directory_follows_the_standard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(run_directory_is_private, set_up, tear_down),
        cmocka_unit_test_setup_teardown(out_directory_must_be_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_ids_that_are_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_are_replaced_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_write_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(result_documents_are_checked, set_up, tear_down),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
