/* What a watched run looks like: lines folded and drawn at any size, hostile texts, and the veil over a secret scenario. */
#include "controller/report/clean.h"
#include "controller/watch/screen.h"
#include "controller/watch/veil.h"
#include "scenarios/base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HOSTILE "\\u001b[2J\\u009b31m\\u202egnp"

static const char plan_text[] = "{\"run\":\"r1\",\"title\":\"A title " HOSTILE "\",\"secret\":true,\"faults\":[{\"name\":\"latency\",\"spec\":\"latency:300ms\"},"
                                "{\"name\":\"pause\",\"spec\":\"pause\"}]}";
static const char armed[] = "{\"seq\":5,\"ns\":\"13000000000\",\"kind\":\"fault_armed\",\"fields\":{\"fault\":\"latency\",\"time_to_live_ns\":5000000000}}";
static const char sample[] =
    "{\"seq\":1,\"ns\":\"14000000000\",\"zero_ns\":\"10000000000\",\"t_s\":3.9,\"phase\":\"inject\",\"bin_s\":0.1,"
    "\"signals\":{\"main.goodput\":{\"value\":0.5},\"main.p99\":{\"value\":null}},"
    "\"again\":[{\"t_s\":3.8,\"loads\":{\"main\":{\"planned\":20,\"good\":18,\"failed\":2,\"p99_s\":0.5}}}],"
    "\"loads\":{\"main\":{\"planned\":20,\"good\":0,\"failed\":10,\"p99_s\":null}},\"amplification\":1.5,"
    "\"guards\":[{\"guard\":\"main.errors above 99%\",\"value\":0.5,\"limit\":0.99,\"margin\":0.495,\"breached\":false}],"
    "\"faults\":[{\"name\":\"latency\",\"armed\":true,\"matched\":\"12\",\"fired\":\"7\"},{\"name\":\"pause\",\"armed\":false,\"matched\":\"0\",\"fired\":\"0\"}]}";

/* ---- the state ----------------------------------------------------------------------------------------------------------------------- */

static void fold(struct watch *watch)
{
    cJSON *plan = cJSON_Parse(plan_text);

    watch_init(watch);
    watch_take_plan(watch, plan);
    cJSON_Delete(plan);
    watch_take_event(watch, "{\"seq\":1,\"ns\":\"9000000000\",\"kind\":\"phase\",\"fields\":{\"phase\":\"inject\"}}");
    watch_take_event(watch, armed);
    watch_take_event(watch, "{\"seq\":6,\"ns\":\"13500000000\",\"kind\":\"mark\",\"fields\":{\"mark\":\"detected\",\"text\":\"" HOSTILE "\"}}");
    watch_take_event(watch, "{\"seq\":7,\"ns\":\"13600000000\",\"kind\":\"hold_begun\",\"fields\":{\"hold\":\"ready? " HOSTILE "\",\"at_most_ns\":60000000000}}");
    watch_take_sample(watch, sample);
}

static void lines_are_folded(void **state)
{
    struct watch watch;

    (void)state;
    fold(&watch);
    assert_string_equal(watch.phase, "inject");
    assert_int_equal(watch.load_count, 1);
    assert_int_equal(watch.loads[0].count, 40);
    assert_int_equal(watch.loads[0].bins[38].good, 18);
    assert_int_equal(watch.loads[0].bins[39].failed, 10);
    assert_int_equal(watch.fault_count, 2);
    assert_true(watch.faults[0].is_armed && !watch.faults[1].is_armed);
    assert_string_equal(watch.faults[0].fired, "7");
    assert_true(watch_seconds(&watch, watch.faults[0].from_ns) == 3.0);
    assert_int_equal(watch.mark_count, 1);
    assert_true(watch.hold[0] && watch.hold_until_ns == 73600000000);
    watch_take_event(&watch, "{\"seq\":8,\"ns\":\"13700000000\",\"kind\":\"hold_ended\",\"fields\":{\"hold\":\"ready?\",\"outcome\":\"go\"}}");
    assert_string_equal(watch.hold, "");
    watch_done(&watch);
}

static void lines_that_are_none_change_nothing(void **state)
{
    static const char *const lines[] = { "", "{", "[]", "null", "{\"seq\":1}", "{\"seq\":1,\"kind\":7,\"fields\":[]}", "{\"t_s\":-5,\"loads\":{\"main\":{}}}",
                                         "{\"t_s\":1e300,\"loads\":{\"main\":{\"good\":1}}}", "{\"t_s\":\"1\"}" };
    struct watch watch;

    (void)state;
    watch_init(&watch);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        watch_take_event(&watch, lines[i]);
        watch_take_sample(&watch, lines[i]);
    }
    assert_int_equal(watch.fault_count + watch.mark_count, 0);
    for (size_t i = 0; i < watch.load_count; i++)
        assert_int_equal(watch.loads[i].count, 0);
    watch_done(&watch);
}

/* ---- the screen ---------------------------------------------------------------------------------------------------------------------- */

/* Lines of the frame are no wider than the screen, colours apart, and hold no control. */
static void check_frame(const struct buf *frame, int columns, int rows)
{
    int lines = 1;

    for (const char *line = frame->data; *line; lines++) {
        char plain[4096];
        size_t length = 0;

        while (*line && *line != '\n') {
            if (*line == '\033') {
                assert_int_equal(line[1], '[');
                line += 2 + strspn(line + 2, "0123456789;");
                assert_int_equal(*line++, 'm');
                continue;
            }
            assert_true((unsigned char)*line >= 0x20 && *line != 0x7f);
            assert_true(length + 1 < sizeof(plain));
            plain[length++] = *line++;
        }
        plain[length] = '\0';
        assert_null(strstr(plain, "\xc2\x9b"));
        assert_null(strstr(plain, "\xe2\x80\xae"));
        assert_true(clean_width(plain) <= (size_t)columns);
        if (!*line++)
            break;
    }
    assert_true(lines <= rows);
}

static void every_size_is_kept(void **state)
{
    struct watch watch;

    (void)state;
    fold(&watch);
    for (int columns = 20; columns <= 250; columns += 23)
        for (int rows = 5; rows <= 60; rows += 5)
            for (int form = 0; form < 4; form++) {
                struct screen screen = { .columns = columns, .rows = rows, .has_colour = form & 1, .has_utf8 = form & 2, .is_halted = form & 1,
                                         .has_ended = form & 2, .footer = "h HALT  a abort", .now_ns = 14000000000 };
                struct buf frame;

                assert_int_equal(screen_draw(&watch, &screen, &frame), 0);
                check_frame(&frame, columns, rows);
                assert_non_null(strstr(frame.data, "h HALT"));
                if (!screen.has_colour)
                    assert_null(strchr(frame.data, '\033'));
                buf_done(&frame);
            }
    watch_done(&watch);
}

static void what_matters_is_shown(void **state)
{
    struct screen screen = { .columns = 100, .rows = 30, .is_halted = true, .footer = "", .now_ns = 14000000000 };
    static const char *const shown[] = { "A title ?", "inject", "0:04.0", "HALTED", "HOLD, 60 s left", "ready? ?", "latency", "###", " 7", "marks",
                                         "D",         "main",   "50 %",   "never",  "49.5 % left",     "1.50x",    "detected" };
    struct watch watch;
    struct buf frame;

    (void)state;
    fold(&watch);
    assert_int_equal(screen_draw(&watch, &screen, &frame), 0);
    for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
        if (!strstr(frame.data, shown[i]))
            fail_msg("'%s' is not in\n%s", shown[i], frame.data);
    buf_done(&frame);
    watch_done(&watch);
}

/* ---- the veil ------------------------------------------------------------------------------------------------------------------------ */

static void expect_line(struct veil *veil, const char *line, const char *hidden, const char *shown)
{
    char *veiled = veil_line(veil, line);

    if (hidden)
        assert_true(veiled && !strstr(veiled, hidden) && strstr(veiled, shown));
    else
        assert_null(veiled);
    free(veiled);
}

static void names_are_hidden_until_released(void **state)
{
    cJSON *plan = cJSON_Parse(plan_text);
    struct veil *veil = veil_new(plan);
    cJSON *shown = veil_plan(veil, plan);
    char *text = cJSON_PrintUnformatted(shown);

    (void)state;
    assert_true(!strstr(text, "latency") && !strstr(text, "pause") && strstr(text, "secret-2") && strstr(text, "A title"));
    expect_line(veil, armed, "latency", "secret-1");
    expect_line(veil, sample, "pause", "secret-2");
    expect_line(veil, "{\"seq\":9,\"kind\":\"fault_acted\",\"fields\":{\"fault\":\"unheard-of\"}}", "unheard-of", "secret");
    expect_line(veil, "{\"seq\":9,\"kind\":\"mark\",\"fields\":{\"mark\":\"note\"}}", NULL, NULL);
    expect_line(veil, "no line", NULL, NULL);
    expect_line(veil, "{\"seq\":9,\"kind\":\"phase\",\"fields\":{\"phase\":\"release\"}}", NULL, NULL);
    expect_line(veil, armed, "latency", "secret-1");
    expect_line(veil, "{\"seq\":10,\"kind\":\"phase\",\"fields\":{\"phase\":\"observe\"}}", NULL, NULL);
    expect_line(veil, armed, NULL, NULL);
    assert_false(veil_hides(veil));
    free(text);
    cJSON_Delete(shown);
    cJSON_Delete(plan);
    veil_free(veil);
}

static void what_is_no_secret_is_shown(void **state)
{
    struct veil *veil = veil_new(NULL);

    (void)state;
    expect_line(veil, armed, NULL, NULL);
    assert_false(veil_hides(veil));
    assert_false(veil_hides(NULL));
    assert_null(veil_free(veil));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_folded),     cmocka_unit_test(lines_that_are_none_change_nothing), cmocka_unit_test(every_size_is_kept),
        cmocka_unit_test(what_matters_is_shown), cmocka_unit_test(names_are_hidden_until_released),    cmocka_unit_test(what_is_no_secret_is_shown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
