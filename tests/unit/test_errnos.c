/* Errnos of a rule: the notation, its refusals, the table of the manual pages, the warnings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenarios/base/cleanup.h"
#include "scenarios/playbook/playbook.h"
#include "scenarios/playbook/spec.h"
#include "scenarios/playbook/spec_errors.h"
#include "scenarios/vocab/errnos.h"

#include <errno.h>
#include <string.h>

static struct errs errs;

static struct fault_spec parsed(const char *line)
{
    struct fault_spec spec;

    memset(&errs, 0, sizeof(errs));
    if (fault_spec_parse(line, BIT(LAYER_CALL), "-f", &spec, &errs) < 0) {
        errs_print(&errs, stderr);
        fail_msg("%s", line);
    }
    return spec;
}

static void lists_are_read_and_printed(void **state)
{
    static const char *const lines[][2] = {
        { "fail@read:EIO:3+EINTR:1", "fail@read:error=EIO:3+EINTR" }, { "fail@read:EIO", "fail@read" },
        { "fail@write:ENOSPC:9", "fail@write:error=ENOSPC" },         { "fail@write:error=any,nth=2", "fail@write:error=any,nth=2" },
        { "drop_connection@send:EPIPE+ECONNRESET:2", "drop_connection@send:error=EPIPE+ECONNRESET:2" },
    };
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct fault_spec spec = parsed(lines[i][0]), again;

        assert_int_equal(fault_spec_print(&spec, text, sizeof(text)), 0);
        assert_string_equal(text, lines[i][1]);
        again = parsed(text);
        assert_memory_equal(again.rule.errors, spec.rule.errors, sizeof(spec.rule.errors));
        assert_int_equal(again.rule.error_count, spec.rule.error_count);
        assert_int_equal(again.rule.error_any, spec.rule.error_any);
        assert_int_equal(errs.warning_count, 0);
    }
}

static void wrong_lists_are_refused(void **state)
{
    static const char *const lines[][2] = {
        { "fail@read:EOI", "did you mean EIO" },
        { "fail@read:EIO+", "no errno name" },
        { "fail@read:+EIO", "no errno name" },
        { "fail@read:EIO:0", "below the minimum" },
        { "fail@read:EIO:65536", "above the maximum" },
        { "fail@read:EIO:x", "expected" },
        { "fail@read:EIO+EIO:2", "stands there twice" },
        { "fail@read:any+EIO", "no errno name" },
        { "fail@read:EIO|EINTR", "no errno name" },
        { "fail@read:E2BIG+EACCES+EAGAIN+EBADF+EBUSY+ECHILD+EDOM+EEXIST+EFAULT", "more than 8" },
        { "fail@read:EIO,error=EINTR", "given twice" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct fault_spec spec;

        memset(&errs, 0, sizeof(errs));
        assert_true(fault_spec_parse(lines[i][0], BIT(LAYER_CALL), "-f", &spec, &errs) < 0);
        if (!strstr(errs.list[0].text, lines[i][1]))
            fail_msg("%s: said '%s'", lines[i][0], errs.list[0].text);
    }
}

static void strange_errnos_are_warned_of(void **state)
{
    (void)state;
    parsed("fail@close:ENOSPC");
    assert_int_equal(errs.warning_count, 0);
    parsed("fail@close:ECONNREFUSED");
    assert_int_equal(errs.warning_count, 1);
    assert_non_null(strstr(errs.warnings[0].text, "ECONNREFUSED is not an errno that calls at @close return"));
    assert_string_equal(errs.warnings[0].where, "-f");
    parsed("fail@read:EIO+EXDEV+ECHILD");
    assert_int_equal(errs.warning_count, 1);
    parsed("fail:EMFILE"); /* some of the points return it */
    assert_int_equal(errs.warning_count, 0);
    parsed("fail@write:any");
    assert_int_equal(errs.warning_count, 0);
}

static void rules_that_never_act_are_warned_of(void **state)
{
    static const char *const pairs[][3] = {
        { "fail:EIO,name=a", "fail@write:EINTR,name=b", "yes" },
        { "fail@write:EIO,name=a", "fake_success@write:name=b", "yes" },
        { "fail@write:EIO,name=a", "fail@read:EIO,name=b", NULL },
        { "fail@write:EIO,nth=2,name=a", "fail@write:EIO,name=b", NULL },
        { "latency@write:1s,name=a", "fail@write:EIO,name=b", NULL },
        { "fail@write:EIO,name=a", "latency@write:1s,name=b", NULL },
        { "fail@write:EIO,observe=true,name=a", "fail@write:EIO,name=b", NULL },
        { "fail@write:EIO,target=x,name=a", "fail@write:EIO,target=y,name=b", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct fault_spec a = parsed(pairs[i][0]), b = parsed(pairs[i][1]);
        const struct plan_rule *rules[] = { &a.rule, &b.rule };

        memset(&errs, 0, sizeof(errs));
        spec_rules_warn(rules, 2, 1, "-f", &errs);
        assert_int_equal(errs.warning_count, pairs[i][2] ? 1 : 0);
        assert_int_equal(errs.count, 0);
    }
}

static void draws_come_from_the_list(void **state)
{
    (void)state;
    for (size_t point = 0; point < POINT_COUNT; point++) {
        const uint16_t *list = errno_list((enum point)point);

        for (uint64_t i = 0; list && i < 64; i++) {
            int error = errno_any(BIT(point), i << 58);

            assert_true(error > 0 && errno_fits(BIT(point), error));
        }
        for (size_t i = 0; list && list[i]; i++) /* no errno stands there twice */
            for (size_t k = 0; k < i; k++)
                assert_int_not_equal(list[i], list[k]);
        assert_true(list || errno_any(BIT(point), 1) == 0);
    }
    assert_int_equal(errno_any(POINT_BIT(alloc), UINT64_MAX), ENOMEM);
    assert_false(errno_fits(POINT_BIT(thread), EIO));
    assert_true(errno_fits(POINT_BIT(thread) | POINT_BIT(read), EIO));
}

/* A step is warned of when another before it ends its calls for all of its time. */
static void steps_that_never_act_are_warned_of(void **state)
{
    static const struct {
        const char *target, *error, *times, *later;
        bool warned;
    } cases[] = {
        { "a", "EIO", "at: 1s, for: 5s", "at: 2s, for: 1s", true },  { "a", "EIO", "at: 1s", "at: 2s", true },
        { "a", "EIO", "at: 1s, for: 5s", "at: 2s, for: 9s", false }, { "a", "EIO", "at: 1s, for: 5s", "at: 0s, for: 1s", false },
        { "b", "EIO", "at: 1s, for: 5s", "at: 2s, for: 1s", false }, { "a", "EIO, probability: 50%", "at: 1s", "at: 2s", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct playbook playbook;
        struct errs found = { 0 };
        const struct playbook_options options = { NULL, 0, NULL, NULL };
        char text[1024];

        snprintf(text, sizeof(text),
                 "perturb: 1\ntitle: x\ntargets: {a: {command: [sleep, \"9\"]}, b: {command: [sleep, \"9\"]}}\n"
                 "load: {main: {resp: {url: \"redis://127.0.0.1:1\"}, rate: 1/s}}\n"
                 "steady-state-hypothesis: [{signal: main.goodput, min: 1%%}]\nmethod:\n"
                 "  - {fault: fail, target: %s, point: write, error: %s, %s}\n  - {fault: fail, target: a, point: write, error: ENOSPC, %s}\n",
                 cases[i].target, cases[i].error, cases[i].times, cases[i].later);
        assert_int_equal(playbook_parse(&playbook, "p.yaml", text, strlen(text), false, &options, &found), 0);
        assert_int_equal(found.warning_count, cases[i].warned);
        if (cases[i].warned)
            assert_non_null(strstr(found.warnings[0].text, "never acts: 'fail'"));
        playbook_done(&playbook);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read_and_printed),
        cmocka_unit_test(wrong_lists_are_refused),
        cmocka_unit_test(strange_errnos_are_warned_of),
        cmocka_unit_test(rules_that_never_act_are_warned_of),
        cmocka_unit_test(draws_come_from_the_list),
        cmocka_unit_test(steps_that_never_act_are_warned_of),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
