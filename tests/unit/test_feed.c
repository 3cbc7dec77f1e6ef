/* The follower of a run's files: whole lines once, from where one was, through torn lines, a replaced file and a late one. */
#include "controller/watch/feed.h"
#include "scenarios/base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static char directory[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/test-feed.XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static void path_of(const char *name, char path[160])
{
    snprintf(path, 160, "%s/%s", directory, name);
}

static int tear_down(void **state)
{
    static const char *const names[] = { "events.jsonl", "live.jsonl", "result.json", "plan.json", "other" };
    char path[160];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        path_of(names[i], path);
        unlink(path);
    }
    return rmdir(directory);
}

static void write_to(const char *name, int flags, const char *text)
{
    char path[160];
    int fd;

    path_of(name, path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void append(const char *name, const char *text)
{
    write_to(name, O_APPEND, text);
}

/* The next line is of this kind and text. */
static void expect_line(struct feed *feed, enum feed_kind kind, const char *text)
{
    struct feed_line line = { .text = "none" };

    assert_int_equal(feed_next(feed, &line), 1);
    assert_int_equal(line.kind, kind);
    assert_string_equal(line.text, text);
    assert_int_equal(line.length, strlen(text));
}

static void expect_none(struct feed *feed)
{
    struct feed_line line;

    assert_int_equal(feed_next(feed, &line), 0);
}

static bool is_readable(const struct feed *feed)
{
    struct pollfd fd = { .fd = feed_fd(feed), .events = POLLIN };

    return poll(&fd, 1, 0) == 1;
}

static struct feed *open_feed(uint64_t event, uint64_t sample)
{
    struct feed *feed = NULL;

    assert_int_equal(feed_open(directory, event, sample, &feed), 0);
    return feed;
}

static void lines_come_whole_and_once(void **state)
{
    struct feed *feed = open_feed(0, 0);

    (void)state;
    expect_none(feed);
    assert_false(is_readable(feed));
    append("events.jsonl", "{\"seq\":1,\"kind\":\"pha");
    assert_true(is_readable(feed));
    expect_none(feed);
    assert_false(is_readable(feed));
    append("events.jsonl", "se\"}\n{\"seq\":2}");
    append("live.jsonl", "{\"seq\":1,\"t_s\":0}\n");
    expect_line(feed, FEED_EVENT, "{\"seq\":1,\"kind\":\"phase\"}");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":1,\"t_s\":0}");
    expect_none(feed);
    append("events.jsonl", "\n");
    assert_true(is_readable(feed));
    expect_line(feed, FEED_EVENT, "{\"seq\":2}");
    expect_none(feed);
    feed_close(feed);
}

static void what_was_cut_off_is_left_out(void **state)
{
    struct feed *feed = open_feed(0, 0);
    char *endless = malloc(FEED_LINE_MAX + 100000);

    (void)state;
    assert_non_null(endless);
    append("live.jsonl", "{\"seq\":1}\n{\"seq\":2,\"t_s\n{\"seq\":3}\n\nseq\n{\"seq\":x}\n{\"seq\":99999999999999999999}\n{\"seq\":4}\n");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":1}");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":3}");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":4}");
    memset(endless, 'a', FEED_LINE_MAX + 99999);
    memcpy(endless, "{\"seq\":5,\"", 10);
    endless[FEED_LINE_MAX + 99999] = '\0';
    append("live.jsonl", endless);
    expect_none(feed);
    append("live.jsonl", "\"}\n{\"seq\":6}\n");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":6}");
    expect_none(feed);
    feed_close(feed);
    free(endless);
}

static void a_feed_goes_on_where_another_stopped(void **state)
{
    uint64_t event, sample;
    char id[FEED_ID_MAX];
    struct feed *feed;

    (void)state;
    append("events.jsonl", "{\"seq\":1}\n{\"seq\":2}\n{\"seq\":3}\n");
    append("live.jsonl", "{\"seq\":1}\n{\"seq\":2}\n");
    feed = open_feed(0, 0);
    expect_line(feed, FEED_EVENT, "{\"seq\":1}");
    expect_line(feed, FEED_EVENT, "{\"seq\":2}");
    feed_place(feed, &event, &sample);
    assert_string_equal(feed_id_print(event, sample, id), "2.0");
    feed_close(feed);
    assert_int_equal(feed_id_parse("2.1", &event, &sample), 0);
    feed = open_feed(event, sample);
    expect_line(feed, FEED_EVENT, "{\"seq\":3}");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":2}");
    expect_none(feed);
    feed_close(feed);
}

static void only_what_is_to_come(void **state)
{
    struct feed *feed;

    (void)state;
    append("live.jsonl", "{\"seq\":1}\n{\"seq\":2}\n{\"seq\":3");
    feed = open_feed(0, UINT64_MAX);
    expect_none(feed);
    append("live.jsonl", "}\n{\"seq\":4}\n");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":3}");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":4}");
    feed_close(feed);
}

static void a_replaced_file_is_read_again(void **state)
{
    struct feed *feed = open_feed(0, 0);
    char from[160], to[160];

    (void)state;
    append("live.jsonl", "{\"seq\":1}\n{\"seq\":2}\n");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":1}");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":2}");
    write_to("other", 0, "{\"seq\":2}\n{\"seq\":3}\n");
    path_of("other", from);
    path_of("live.jsonl", to);
    assert_int_equal(rename(from, to), 0);
    expect_line(feed, FEED_SAMPLE, "{\"seq\":3}");
    expect_none(feed);
    write_to("live.jsonl", O_TRUNC, "{\"seq\":4}\n");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":4}");
    expect_none(feed);
    feed_close(feed);
}

static void the_end_is_told_once_and_last(void **state)
{
    struct feed *feed = open_feed(0, 0);

    (void)state;
    append("events.jsonl", "{\"seq\":1}\n");
    append("result.json", "{}");
    append("live.jsonl", "{\"seq\":1}\n");
    expect_line(feed, FEED_EVENT, "{\"seq\":1}");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":1}");
    expect_line(feed, FEED_END, "");
    expect_none(feed);
    feed_close(feed);
    feed = open_feed(1, 1);
    expect_line(feed, FEED_END, "");
    expect_none(feed);
    feed_close(feed);
}

static void what_is_no_directory_or_file_is_refused(void **state)
{
    struct feed *feed = NULL;
    struct feed_line line;
    char path[160];

    (void)state;
    path_of("nothing", path);
    assert_int_equal(feed_open(path, 0, 0, &feed), -ENOENT);
    path_of("events.jsonl", path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    feed = open_feed(0, 0);
    assert_int_equal(feed_next(feed, &line), -ELOOP);
    feed_close(feed);
    assert_null(feed_close(NULL));
}

/* A secret scenario's faults have no names for a veiled feed, until they are released; then they have, wherever it begins. */
static void a_veiled_feed_hides_names(void **state)
{
    static const char armed[] = "{\"seq\":1,\"kind\":\"fault_armed\",\"fields\":{\"fault\":\"pause\"}}\n";
    static const char observe[] = "{\"seq\":2,\"kind\":\"phase\",\"fields\":{\"phase\":\"observe\"}}";
    struct feed *feed;

    (void)state;
    append("plan.json", "{\"secret\":true,\"faults\":[{\"name\":\"pause\"}]}");
    feed = open_feed(0, 0);
    feed_veil(feed);
    append("events.jsonl", armed);
    append("live.jsonl", "{\"seq\":1,\"faults\":[{\"name\":\"pause\",\"armed\":true}]}\n");
    expect_line(feed, FEED_EVENT, "{\"seq\":1,\"kind\":\"fault_armed\",\"fields\":{\"fault\":\"secret-1\"}}");
    expect_line(feed, FEED_SAMPLE, "{\"seq\":1,\"faults\":[{\"name\":\"secret-1\",\"armed\":true}]}");
    append("events.jsonl", observe);
    append("events.jsonl", "\n");
    append("live.jsonl", "{\"seq\":2,\"faults\":[{\"name\":\"pause\",\"armed\":false}]}\n");
    expect_line(feed, FEED_EVENT, observe);
    expect_line(feed, FEED_SAMPLE, "{\"seq\":2,\"faults\":[{\"name\":\"pause\",\"armed\":false}]}");
    feed_close(feed);
    feed = open_feed(0, 1);
    feed_veil(feed);
    expect_line(feed, FEED_EVENT, "{\"seq\":1,\"kind\":\"fault_armed\",\"fields\":{\"fault\":\"pause\"}}");
    feed_close(feed);
}

static void ids_of_places(void **state)
{
    static const char *const refused[] = { "", ".", "1.", ".1", "-1", "1.2.3", "1 ", "+1", "18446744073709551616", "x" };
    uint64_t event = 7, sample = 7;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        assert_int_equal(feed_id_parse(refused[i], &event, &sample), -EINVAL);
    assert_int_equal(event, 7);
    assert_int_equal(feed_id_parse("12", &event, &sample), 0);
    assert_int_equal(event, 12);
    assert_int_equal(sample, 0);
    assert_int_equal(feed_id_parse("18446744073709551615.3", &event, &sample), 0);
    assert_true(event == UINT64_MAX && sample == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_come_whole_and_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_cut_off_is_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_feed_goes_on_where_another_stopped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_is_to_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_replaced_file_is_read_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_end_is_told_once_and_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_directory_or_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_veiled_feed_hides_names, set_up, tear_down),
        cmocka_unit_test(ids_of_places),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
