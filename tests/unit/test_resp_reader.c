/* RESP2 framing: each reply must end at exactly its last byte, however the stream is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "controller/load/match.h"
#include "controller/load/resp_reader.h"
#include "scenarios/base/cleanup.h"

static const struct {
    const char *bytes;
    bool is_error;
} replies[] = {
    { "+PONG\r\n", false },
    { "+\r\n", false },
    { "-ERR unknown command 'x'\r\n", true },
    { ":0\r\n", false },
    { ":-9223372036\r\n", false },
    { "$-1\r\n", false },
    { "$0\r\n\r\n", false },
    { "$5\r\nhello\r\n", false },
    { "$9\r\n$3\r\nabc\r\n\r\n", false }, /* a bulk string that looks like a reply */
    { "$4\r\n\r\n\r\n\r\n", false },
    { "*-1\r\n", false },
    { "*0\r\n", false },
    { "*1\r\n:1\r\n", false },
    { "*3\r\n$1\r\na\r\n$-1\r\n:7\r\n", false },
    { "*2\r\n*2\r\n+a\r\n*0\r\n*1\r\n$2\r\nbb\r\n", false },
    { "*2\r\n-ERR inner\r\n+b\r\n", false },
    { "*1\r\n*1\r\n*1\r\n*1\r\n$-1\r\n", false },
};

static const char *const nonsense[] = {
    "hello\r\n", "\r\n", "+no line feed\rx", "+bare\n", ":\r\n", ":1x\r\n", ":--1\r\n", ":9999999999999999999\r\n",
    "$\r\n", "$-2\r\n", "$600000000\r\n", "$3\r\nabcd\r\n", "$3\r\nabc\rx", "*-2\r\n", "*2000000\r\n", "*1\r\nx", "%1\r\n+a\r\n",
};

static void one_piece(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
        struct resp_reader reader = { 0 };
        char text[128];
        size_t used = 0, length = strlen(replies[i].bytes);
        memcpy(text, replies[i].bytes, length);
        memcpy(text + length, "+NEXT\r\n", 7); /* must not be touched */
        assert_int_equal(resp_reader_feed(&reader, text, length + 7, &used), RESP_DONE);
        assert_int_equal(used, length);
        assert_int_equal(reader.is_error, replies[i].is_error);
    }
}

static void every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
        size_t length = strlen(replies[i].bytes);
        for (size_t cut = 1; cut < length; cut++) {
            struct resp_reader reader = { 0 };
            size_t used = 0;
            assert_int_equal(resp_reader_feed(&reader, replies[i].bytes, cut, &used), RESP_MORE);
            assert_int_equal(used, cut);
            assert_int_equal(resp_reader_feed(&reader, replies[i].bytes + cut, length - cut, &used), RESP_DONE);
            assert_int_equal(used, length - cut);
        }
    }
}

static void a_byte_at_a_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
        struct resp_reader reader = { 0 };
        size_t length = strlen(replies[i].bytes), used = 0;
        for (size_t at = 0; at < length; at++) {
            enum resp_status expected = at + 1 < length ? RESP_MORE : RESP_DONE;
            assert_int_equal(resp_reader_feed(&reader, replies[i].bytes + at, 1, &used), expected);
        }
        assert_int_equal(reader.is_error, replies[i].is_error);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++) {
        struct resp_reader reader = { 0 };
        size_t used = 0;
        assert_int_equal(resp_reader_feed(&reader, nonsense[i], strlen(nonsense[i]), &used), RESP_BAD);
    }
}

static void nesting_is_bounded(void **state)
{
    struct resp_reader reader = { 0 };
    size_t used = 0;

    (void)state;
    for (int i = 0; i < RESP_DEPTH_MAX; i++)
        assert_int_equal(resp_reader_feed(&reader, "*1\r\n", 4, &used), RESP_MORE);
    assert_int_equal(resp_reader_feed(&reader, "*1\r\n", 4, &used), RESP_BAD);
}

static void match_finds_across_cuts(void **state)
{
    static const struct {
        const char *text, *stream;
        bool found;
    } cases[] = {
        { "abc", "xxabcxx", true },       { "aab", "aaaab", true },     { "abab", "abaabab", true }, { "abc", "ab", false },
        { "aaa", "aabaabaab", false },    { "x", "", false },           { "hello", "hello", true },
        { "abcabd", "abcabcabd", true },  { NULL, "", true },
    };
    static struct match match;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t length = strlen(cases[i].stream);
        assert_int_equal(match_init(&match, cases[i].text), 0);
        for (size_t cut = 0; cut <= length; cut++) {
            size_t at = match_feed(&match, 0, cases[i].stream, cut);
            at = match_feed(&match, at, cases[i].stream + cut, length - cut);
            assert_int_equal(at == match.length, cases[i].found);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_piece),           cmocka_unit_test(every_cut),          cmocka_unit_test(a_byte_at_a_time),
        cmocka_unit_test(nonsense_is_refused), cmocka_unit_test(nesting_is_bounded), cmocka_unit_test(match_finds_across_cuts),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
