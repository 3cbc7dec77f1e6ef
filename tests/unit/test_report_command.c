/* perturb runs and perturb report, from the command line to the bytes: exit statuses, ways to name a run, formats. */
#include "tests/unit/report_fixture.h"

#include "controller/cmd/cmd.h"
#include "controller/report/report.h"
#include "controller/store/store.h"

#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char state_home[64], run_directory[256], output[128];

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

static void save_run(const char *id)
{
    struct errs errs = { 0 };
    struct store_history *history;
    struct store_run row;
    cJSON *document = fixture_document("converged");
    char *directory;

    cJSON_ReplaceItemInObjectCaseSensitive(cJSON_GetObjectItem(document, "run"), "id", cJSON_CreateString(id));
    assert_int_equal(store_run_create(NULL, id, &directory, &errs), 0);
    assert_int_equal(store_write_json(directory, "result.json", document, &errs), 0);
    assert_int_equal(store_run_from_result(document, directory, &row), 0);
    assert_int_equal(store_history_open(NULL, &history, &errs), 0);
    assert_int_equal(store_history_end(history, &row, &errs), 0);
    store_history_close(history);
    store_run_done(&row);
    snprintf(run_directory, sizeof(run_directory), "%s", directory);
    free(directory);
    cJSON_Delete(document);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(state_home, sizeof(state_home), "/tmp/test-report.XXXXXX");
    if (!mkdtemp(state_home) || setenv("XDG_STATE_HOME", state_home, 1) < 0)
        return -1;
    snprintf(output, sizeof(output), "%s/output", state_home);
    save_run("20261123-1215-aa");
    save_run("20261123-1216-bb");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(state_home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Runs the command in a child, because its errors are kept for the life of a process; standard output goes to `output`, standard
 * error away. Returns the exit status. */
static int run_command(const struct command *command, int argc, const char *const *arguments)
{
    char *argv[8] = { NULL };
    pid_t child;
    int status;

    for (int i = 0; i < argc; i++) {
        argv[i] = strdup(arguments[i]);
        assert_non_null(argv[i]);
    }
    fflush(NULL);
    child = fork();
    if (child == 0) {
        if (!freopen(output, "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(99);
        status = command->run(argc, argv);
        fflush(stdout);
        _exit(status);
    }
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void read_output(struct buf *ret_text)
{
    buf_init(ret_text, 4 << 20);
    assert_int_equal(buf_read_file(ret_text, output), 0);
}

static void assert_output_has(const char *wanted)
{
    struct buf text;

    read_output(&text);
    if (!strstr(text.data, wanted))
        fail_msg("\"%s\" is not in: %.400s", wanted, text.data);
    buf_done(&text);
}

static void runs_are_listed(void **state)
{
    const char *const text[] = { "runs" }, *const json[] = { "runs", "--format", "json", "--limit", "1" };
    struct buf line;
    cJSON *run;

    (void)state;
    assert_int_equal(run_command(&command_runs, 1, text), 0);
    assert_output_has("20261123-1216-bb       converged                  0  396 ms (360 ms..460 ms)");
    assert_output_has("20261123-1215-aa");
    assert_int_equal(run_command(&command_runs, 5, json), 0);
    read_output(&line);
    run = cJSON_Parse(line.data);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(run, "id")), "20261123-1216-bb");
    assert_true(strchr(line.data, '\n') == line.data + line.length - 1);
    cJSON_Delete(run);
    buf_done(&line);
}

static void a_run_is_named_in_four_ways(void **state)
{
    const char *const names[] = { "20261123-1216-bb", "20261123-1216", "last", run_directory };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *const arguments[] = { "report", names[i] };

        assert_int_equal(run_command(&command_report, 2, arguments), 0);
        assert_output_has("PASSED  converged");
        assert_output_has("20261123-1216-bb, seed 42");
    }
}

static void json_is_the_file_and_html_the_page(void **state)
{
    char page_path[128], result_path[300];
    const char *const json[] = { "report", "last", "--format", "json" };
    const char *const html[] = { "report", "last", "--format", "html", "--output", page_path };
    struct buf printed, file, page, written;
    struct errs errs = { 0 };
    cJSON *document;

    (void)state;
    snprintf(result_path, sizeof(result_path), "%s/result.json", run_directory);
    assert_int_equal(run_command(&command_report, 4, json), 0);
    read_output(&printed);
    buf_init(&file, 1 << 20);
    assert_int_equal(buf_read_file(&file, result_path), 0);
    assert_string_equal(printed.data, file.data);
    snprintf(page_path, sizeof(page_path), "%s/page.html", state_home);
    assert_int_equal(run_command(&command_report, 6, html), 0);
    assert_int_equal(store_read_result(run_directory, &document, &errs), 0);
    assert_int_equal(report_html(document, NULL, &page), 0);
    buf_init(&written, 4 << 20);
    assert_int_equal(buf_read_file(&written, page_path), 0);
    assert_string_equal(written.data, page.data);
    buf_done(&printed);
    buf_done(&file);
    buf_done(&page);
    buf_done(&written);
    cJSON_Delete(document);
}

static void wrong_input_has_its_status(void **state)
{
    static const struct {
        const struct command *command;
        int argc;
        const char *arguments[5];
        int status;
    } cases[] = {
        { &command_report, 1, { "report" }, 64 },
        { &command_report, 3, { "report", "a", "b" }, 64 },
        { &command_report, 2, { "report", "nothing" }, 64 },
        { &command_report, 2, { "report", "20261123" }, 64 }, /* two begin so */
        { &command_report, 4, { "report", "last", "--format", "pdf" }, 64 },
        { &command_report, 3, { "report", "last", "--format" }, 64 },
        { &command_report, 2, { "report", "--frobnicate" }, 64 },
        { &command_report, 2, { "report", "/nonexistent" }, 69 },
        { &command_report, 4, { "report", "last", "--output", "/nonexistent/file" }, 69 },
        { &command_report, 4, { "report", "last", "--output", "/dev/full" }, 69 },
        { &command_runs, 2, { "runs", "extra" }, 64 },
        { &command_runs, 3, { "runs", "--limit", "0" }, 64 },
        { &command_runs, 3, { "runs", "--limit", "many" }, 64 },
        { &command_runs, 3, { "runs", "--format", "html" }, 64 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int status = run_command(cases[i].command, cases[i].argc, cases[i].arguments);

        if (status != cases[i].status)
            fail_msg("case %zu: status %d, wanted %d", i, status, cases[i].status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_are_listed),
        cmocka_unit_test(a_run_is_named_in_four_ways),
        cmocka_unit_test(json_is_the_file_and_html_the_page),
        cmocka_unit_test(wrong_input_has_its_status),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
