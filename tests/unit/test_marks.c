/* Marks cross by a file: whole, in order, through torn lines and many hands, and none after the run's last look. */
#include "controller/run/marks.h"
#include "scenarios/base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

static char directory[64];

static void path_of(const char *name, char path[160])
{
    snprintf(path, 160, "%s/%s", directory, name);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/test-marks.XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    char path[160];

    (void)state;
    path_of("marks.jsonl", path);
    unlink(path);
    path_of("result.json", path);
    unlink(path);
    return rmdir(directory);
}

static void append(const char *name, const char *text)
{
    char path[160];
    int fd;

    path_of(name, path);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

struct taken {
    struct mark list[512];
    size_t count;
};

static bool take(void *context, const struct mark *mark)
{
    struct taken *taken = context;

    taken->list[taken->count++] = *mark;
    return taken->count < 512;
}

static void put(enum mark_kind kind, uint64_t ns, const char *by, const char *text)
{
    struct mark mark;

    mark_init(&mark, kind, ns, by, text);
    assert_int_equal(mark_put(directory, &mark), 0);
}

static void marks_arrive_as_they_were(void **state)
{
    struct taken taken = { .count = 0 };
    off_t offset = 0;

    (void)state;
    assert_int_equal(marks_read(directory, &offset, take, &taken), 0);
    put(MARK_DETECTED, 18446744073709551615U, "ada \033[2J", "\"quoted\" \\ \n line");
    put(MARK_GO, 7, "", NULL);
    assert_int_equal(marks_read(directory, &offset, take, &taken), 0);
    assert_int_equal(taken.count, 2);
    assert_true(taken.list[0].kind == MARK_DETECTED && taken.list[0].ns == UINT64_MAX);
    assert_string_equal(taken.list[0].by, "ada \033[2J");
    assert_string_equal(taken.list[0].text, "\"quoted\" \\ \n line");
    assert_true(taken.list[1].kind == MARK_GO && taken.list[1].ns == 7);
    assert_int_equal(marks_read(directory, &offset, take, &taken), 0);
    assert_int_equal(taken.count, 2);
}

static void a_torn_line_is_left_behind(void **state)
{
    struct taken taken = { .count = 0 };
    off_t offset = 0;

    (void)state;
    put(MARK_DETECTED, 1, "a", "");
    append("marks.jsonl", "{\"ns\":\"2\",\"mark\":\"miti");
    assert_int_equal(marks_read(directory, &offset, take, &taken), 0);
    assert_int_equal(taken.count, 1);
    put(MARK_NOTE, 3, "b", "whole");
    append("marks.jsonl", "{\"ns\":\"x\",\"mark\":\"note\"}\n{\"ns\":\"4\",\"mark\":\"sung\"}\n\n[]\n");
    put(MARK_MITIGATED, 5, "c", "");
    assert_int_equal(marks_read(directory, &offset, take, &taken), 0);
    assert_int_equal(taken.count, 3);
    assert_true(taken.list[1].ns == 3 && taken.list[2].ns == 5);
}

static void many_hands_at_once(void **state)
{
    struct taken taken = { .count = 0 };
    bool seen[8][32] = { { false } };
    off_t offset = 0;

    (void)state;
    for (int i = 0; i < 8; i++)
        if (fork() == 0) {
            for (int j = 0; j < 32; j++) {
                struct mark mark;

                mark_init(&mark, MARK_NOTE, (uint64_t)(i * 100 + j), "hand", "a text that is not short, so that writes could mix");
                if (mark_put(directory, &mark) < 0)
                    _exit(1);
            }
            _exit(0);
        }
    for (int i = 0; i < 8; i++) {
        int status = -1;

        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(marks_read(directory, &offset, take, &taken), 0);
    assert_int_equal(taken.count, 256);
    for (size_t i = 0; i < taken.count; i++) {
        bool *place = &seen[taken.list[i].ns / 100][taken.list[i].ns % 100];

        assert_false(*place);
        *place = true;
    }
}

/* Whoever presses while the run takes its last look waits, and is then refused. */
static void none_is_taken_after_the_last_look(void **state)
{
    int fd = marks_close(directory), ready[2], status = -1;
    struct mark mark;
    char byte;
    pid_t pid;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(pipe(ready), 0);
    mark_init(&mark, MARK_DETECTED, 1, "late", NULL);
    pid = fork();
    if (pid == 0) {
        close(fd);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        _exit(mark_put(directory, &mark) == -ESHUTDOWN ? 0 : 2);
    }
    close(ready[1]); /* so that a child that ends before it is ready is seen to */
    assert_int_equal(read(ready[0], &byte, 1), 1);
    append("result.json", "{}");
    close(fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(ready[0]);
}

static void texts_are_cut_at_a_character(void **state)
{
    char text[MARK_TEXT_MAX * 2] = "";
    struct mark mark;

    (void)state;
    for (size_t i = 0; i < MARK_TEXT_MAX / 2; i++)
        memcpy(text + i * 3, "\xe2\x82\xac", 4);
    mark_init(&mark, MARK_NOTE, 1, "by", text);
    assert_int_equal(strlen(mark.text), (MARK_TEXT_MAX - 1) / 3 * 3);
    mark_init(&mark, MARK_NOTE, 1, "b\xff\xfey", "a\xc3");
    assert_string_equal(mark.by, "by");
    assert_string_equal(mark.text, "a");
    assert_int_equal(mark_find("mitigated"), MARK_MITIGATED);
    assert_int_equal(mark_find(""), -1);
}

static void a_link_is_not_followed(void **state)
{
    char path[160];
    struct mark mark;
    off_t offset = 0;

    (void)state;
    path_of("marks.jsonl", path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    mark_init(&mark, MARK_NOTE, 1, "by", "text");
    assert_int_equal(mark_put(directory, &mark), -ELOOP);
    assert_int_equal(marks_read(directory, &offset, take, NULL), -ELOOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(marks_arrive_as_they_were, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_torn_line_is_left_behind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_hands_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(none_is_taken_after_the_last_look, set_up, tear_down),
        cmocka_unit_test(texts_are_cut_at_a_character),
        cmocka_unit_test_setup_teardown(a_link_is_not_followed, set_up, tear_down),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
