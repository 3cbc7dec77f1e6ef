/* Go task dumps, written here as runtime/traceback.go prints them: parsed, judged, compared; snapshots of locks checked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/diagnose/diagnose.h"
#include "scenarios/base/rng.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TASK(id, state, frame) "goroutine " id " [" state "]:\n" frame "\n\t/src/main.go:12 +0x1d\ncreated by main.main in goroutine 1\n\t/src/main.go:8 +0x85\n\n"

static struct errs errs;

static int parse(const char *text, struct go_dump *ret_dump)
{
    char *copy = strdup(text);

    assert_non_null(copy);
    errs.count = 0;
    return go_dump_parse(copy, strlen(text), "dump", ret_dump, &errs);
}

static cJSON *diagnose(const char *text)
{
    struct go_dump dump;
    cJSON *diagnosis;

    assert_int_equal(parse(text, &dump), 0);
    diagnosis = go_diagnose(&dump, NULL);
    go_dump_done(&dump);
    assert_non_null(diagnosis);
    return diagnosis;
}

static const cJSON *stuck(const cJSON *diagnosis, int index)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(diagnosis, "stuck"), index);
}

static int stuck_count(const cJSON *diagnosis)
{
    return cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(diagnosis, "stuck"));
}

static const char *string(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key)->valuestring;
}

static int number(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key)->valueint;
}

static int size(const cJSON *object, const char *key)
{
    return cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* ---- parsing ---------------------------------------------------------------------------------------------------------- */

static void every_form_of_a_header(void **state)
{
    static const struct {
        const char *line, *state;
        uint64_t id;
        uint32_t minutes;
    } cases[] = {
        { "goroutine 1 [running]:", "running", 1, 0 },
        { "goroutine 18 [chan receive, 5 minutes]:", "chan receive", 18, 5 },
        { "goroutine 19 [select, 2 minutes, locked to thread]:", "select", 19, 2 },
        { "goroutine 20 [syscall, locked to thread]:", "syscall", 20, 0 },
        { "goroutine 21 [chan send (nil chan)]:", "chan send (nil chan)", 21, 0 },
        { "goroutine 22 gp=0xc000002380 m=nil [sync.Mutex.Lock, 1441 minutes]:", "sync.Mutex.Lock", 22, 1441 },
        { "goroutine 0 gp=0x1 m=0 mp=0x2 [idle]:", "idle", 0, 0 },
        { "goroutine 23 [IO wait]:\r", "IO wait", 23, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct go_dump dump;
        char text[256];

        snprintf(text, sizeof(text), "SIGQUIT: quit\nPC=0x1\n\n%s\nmain.f(0xc000010000?, {0x1, 0x2}, ...)\n\t/a b/x.go:3 +0x1\n\nrax 0x0\n", cases[i].line);
        assert_int_equal(parse(text, &dump), 0);
        assert_int_equal(dump.task_count, 1);
        assert_int_equal(dump.tasks[0].id, cases[i].id);
        assert_int_equal(dump.tasks[0].minutes, cases[i].minutes);
        assert_string_equal(dump.tasks[0].state, cases[i].state);
        assert_int_equal(dump.frame_count, 1);
        assert_string_equal(dump.frames[0].function, "main.f");
        assert_string_equal(dump.frames[0].place, "/a b/x.go:3");
        assert_int_equal(dump.word_count, 3);
        assert_int_equal(dump.words[0], 0xc000010000);
        assert_false(dump.truncated);
        go_dump_done(&dump);
    }
}

static void frames_and_makers(void **state)
{
    struct go_dump dump;

    (void)state;
    assert_int_equal(parse("goroutine 7 [select]:\nmain.(*pool[...]).run(0xc000010000, func(0x1))\n\t/p.go:1 +0x1\n...additional frames elided...\n"
                           "created by main.(*pool).start in goroutine 4\n\t/p.go:9 +0x2\n\ngoroutine 8 [select]:\nmain.g()\n", &dump), 0);
    assert_string_equal(dump.frames[0].function, "main.(*pool[...]).run");
    assert_string_equal(dump.tasks[0].maker, "main.(*pool).start");
    assert_int_equal(dump.tasks[0].creator, 4);
    assert_int_equal(dump.tasks[0].frame_count, 1);
    assert_true(dump.truncated); /* the last frame has no place */
    go_dump_done(&dump);
}

static void what_is_no_dump_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text, *where;
    } cases[] = { { "", "dump" },
                  { "hello\n", "dump" },
                  { "goroutine x [running]:\n", "dump:1" },
                  { "goroutine 1 [running]:\nmain.f()\n\t/x.go:1\n\ngoroutine 2 running\n", "dump:5" },
                  { "goroutine 1 [running:\n", "dump:1" } };
    struct go_dump dump;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].text, &dump), -EINVAL);
        assert_string_equal(errs.list[0].where, cases[i].where);
        assert_int_equal(errs_status(&errs), ERR_INPUT);
    }
    assert_false(go_dump_is("a goroutine 1 [x]:", 18));
    assert_true(go_dump_is("x\ngoroutine 1 [x]:", 18));
}

/* Any bytes are read without harm. */
static void broken_dumps_are_read(void **state)
{
    static const char whole[] = TASK("5", "chan send, 3 minutes", "main.f(0xc000010000, {0x1})") TASK("6", "select", "main.g(...)");

    (void)state;
    for (uint64_t round = 0; round < 3000; round++) {
        size_t length = (size_t)rng_below(rng_draw(1, 1, round, 0), sizeof(whole));
        char *copy = malloc(length + 1);
        struct go_dump dump;

        assert_non_null(copy);
        memcpy(copy, whole, length);
        copy[length] = '\0';
        for (uint64_t k = 1; k <= round % 4 && length; k++)
            copy[rng_below(rng_draw(1, 2, round, k), length)] = (char)rng_draw(1, 3, round, k);
        errs.count = 0;
        if (!go_dump_parse(copy, length, "dump", &dump, &errs)) {
            cJSON_Delete(go_diagnose(&dump, &dump));
            go_dump_done(&dump);
        }
    }
}

/* ---- judging ---------------------------------------------------------------------------------------------------------- */

static void two_that_wait_for_each_other(void **state)
{
    cJSON *diagnosis = diagnose(TASK("5", "chan receive, 7 minutes", "main.left(0xc000010000, 0xc000020000)")
                                TASK("6", "chan receive, 7 minutes", "main.right(0xc000020000, 0xc000010000)")
                                TASK("1", "IO wait", "net.wait(0xc000099000)"));

    (void)state;
    assert_int_equal(stuck_count(diagnosis), 2);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(string(stuck(diagnosis, i), "verdict"), "stuck");
        assert_string_equal(string(stuck(diagnosis, i), "known_by"), "argument");
        assert_int_equal(number(stuck(diagnosis, i), "longest_minutes"), 7);
        assert_int_equal(size(stuck(diagnosis, i), "receivers"), 1);
    }
    assert_int_equal(number(diagnosis, "may_run"), 1);
    cJSON_Delete(diagnosis);
}

static void one_that_may_still_wake_them_clears_them(void **state)
{
    cJSON *diagnosis = diagnose(TASK("5", "chan receive", "main.left(0xc000010000, 0xc000020000)")
                                TASK("6", "chan receive", "main.right(0xc000020000, 0xc000010000)")
                                TASK("7", "sleep", "main.third(0x1, 0xc000020000)"));

    (void)state;
    assert_int_equal(stuck_count(diagnosis), 0); /* 7 may wake 6, which may wake 5 */
    cJSON_Delete(diagnosis);
}

static void senders_left_alone(void **state)
{
    cJSON *diagnosis = diagnose(TASK("5", "chan send, 1 minutes", "runtime.chansend1(0xc000010000, 0xc000077000)")
                                TASK("6", "chan send, 9 minutes", "runtime.chansend1(0xc000010000, 0xc000078000)")
                                TASK("7", "running", "main.other(0xc000077000)"));

    (void)state;
    assert_int_equal(stuck_count(diagnosis), 1);
    assert_string_equal(string(stuck(diagnosis, 0), "known_by"), "frame");
    assert_string_equal(string(stuck(diagnosis, 0), "address"), "0xc000010000");
    assert_int_equal(size(stuck(diagnosis, 0), "senders"), 2);
    assert_int_equal(number(stuck(diagnosis, 0), "longest_minutes"), 9);
    cJSON_Delete(diagnosis);
}

static void idle_workers_are_no_deadlock(void **state)
{
    cJSON *diagnosis = diagnose(TASK("5", "chan receive, 60 minutes", "main.worker(0xc000010000)")
                                TASK("6", "chan receive, 60 minutes", "main.worker(0xc000010000)") TASK("1", "IO wait", "net.wait(0x1)"));

    (void)state;
    assert_int_equal(stuck_count(diagnosis), 1);
    assert_string_equal(string(stuck(diagnosis, 0), "verdict"), "idle_or_leaked");
    cJSON_Delete(diagnosis);
}

static void mutexes_and_what_can_never_come(void **state)
{
    cJSON *diagnosis = diagnose(TASK("5", "sync.Mutex.Lock, 2 minutes", "sync.(*Mutex).lockSlow(0xc000010000)")
                                TASK("6", "semacquire", "sync.(*Mutex).Lock(0xc000020000)")
                                TASK("7", "chan receive (nil chan)", "main.f(0xc000030000)") TASK("8", "select (no cases)", "main.g()")
                                TASK("9", "running", "main.holder(0xc000020000)"));

    (void)state;
    assert_int_equal(stuck_count(diagnosis), 2); /* 6 may be woken by 9 */
    assert_string_equal(string(stuck(diagnosis, 0), "known_by"), "state");
    assert_int_equal(number(stuck(diagnosis, 0), "tasks"), 2);
    assert_string_equal(string(stuck(diagnosis, 1), "what"), "lock");
    assert_int_equal(size(stuck(diagnosis, 1), "waiters"), 1);
    cJSON_Delete(diagnosis);
}

static void largest_groups_come_first(void **state)
{
    cJSON *diagnosis = diagnose(TASK("5", "select", "main.a(0xc000010000)") TASK("6", "chan send, 4 minutes", "main.b(0xc000020000)")
                                TASK("7", "chan send, 8 minutes", "main.b(0xc000030000)"));
    const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(diagnosis, "groups"), 0);

    (void)state;
    assert_int_equal(number(diagnosis, "tasks"), 3);
    assert_int_equal(number(first, "tasks"), 2);
    assert_int_equal(number(first, "longest_minutes"), 8);
    assert_string_equal(string(first, "state"), "chan send");
    assert_int_equal(size(diagnosis, "states"), 2);
    cJSON_Delete(diagnosis);
}

/* What ended and what stayed: 5 and 6 never ended, 7 ended, 8 has another stack by now, 9 to 11 are new. */
static void growth_between_two_dumps(void **state)
{
    static const char before[] = TASK("5", "chan send", "main.b(0xc000020000)") TASK("6", "chan send, 1 minutes", "main.b(0xc000030000)")
        TASK("7", "select", "main.a()") TASK("8", "running", "main.c()");
    static const char after[] = TASK("5", "chan send, 5 minutes", "main.b(0xc000020000)") TASK("6", "chan send, 6 minutes", "main.b(0xc000030000)")
        TASK("8", "running", "main.d()") TASK("9", "chan send", "main.b(0x1)") TASK("10", "chan send", "main.b(0x1)") TASK("11", "select", "main.a()");
    struct go_dump one, two;
    cJSON *diagnosis, *growth, *grown;

    (void)state;
    assert_int_equal(parse(before, &one), 0);
    assert_int_equal(parse(after, &two), 0);
    diagnosis = go_diagnose(&two, &one);
    growth = cJSON_GetObjectItemCaseSensitive(diagnosis, "growth");
    assert_int_equal(number(growth, "before"), 4);
    assert_int_equal(number(growth, "after"), 6);
    assert_int_equal(number(growth, "never_ended"), 2);
    grown = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(growth, "grown"), 0);
    assert_int_equal(number(grown, "before"), 2);
    assert_int_equal(number(grown, "tasks"), 4);
    assert_int_equal(number(grown, "never_ended"), 2);
    assert_string_equal(string(grown, "state"), "chan send");
    assert_int_equal(size(growth, "grown"), 2); /* and main.d, once */
    cJSON_Delete(diagnosis);
    go_dump_done(&one);
    go_dump_done(&two);
}

/* ---- snapshots of locks ----------------------------------------------------------------------------------------------- */

static void snapshots_are_checked(void **state)
{
    static const struct {
        const char *text;
        size_t findings;
    } cases[] = { { "{\"kind\":\"perturb-locks\",\"version\":1,\"deadlocks\":[],\"threads\":[],\"order_cycles\":[]}", 0 },
                  { "{\"kind\":\"perturb-locks\",\"version\":2,\"deadlocks\":[],\"threads\":{},\"order_cycles\":[1]}", 3 },
                  { "{\"kind\":\"perturb-locks\",\"version\":1}", 3 },
                  { "{\"kind\":\"other\"}", 1 },
                  { "[]", 1 } };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cJSON *snapshot = cJSON_Parse(cases[i].text);

        errs.count = 0;
        assert_int_equal(locks_check(snapshot, "file", &errs), cases[i].findings ? -EINVAL : 0);
        assert_int_equal(errs.count, cases[i].findings);
        cJSON_Delete(snapshot);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_a_header),
        cmocka_unit_test(frames_and_makers),
        cmocka_unit_test(what_is_no_dump_is_refused_with_its_place),
        cmocka_unit_test(broken_dumps_are_read),
        cmocka_unit_test(two_that_wait_for_each_other),
        cmocka_unit_test(one_that_may_still_wake_them_clears_them),
        cmocka_unit_test(senders_left_alone),
        cmocka_unit_test(idle_workers_are_no_deadlock),
        cmocka_unit_test(mutexes_and_what_can_never_come),
        cmocka_unit_test(largest_groups_come_first),
        cmocka_unit_test(growth_between_two_dumps),
        cmocka_unit_test(snapshots_are_checked),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
