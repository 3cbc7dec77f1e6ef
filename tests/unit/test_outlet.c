/* What outlets are told, without anybody who listens: the exposition, signatures, waiting times, the outbox, stories, shapes. */
#include "controller/base/digest.h"
#include "controller/outlet/history.h"
#include "controller/outlet/outbox.h"
#include "controller/outlet/send.h"
#include "controller/outlet/teller.h"
#include "controller/outlet/worker.h"
#include "controller/report/doc.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/matcher.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* ---- metrics ------------------------------------------------------------------------------------------------------------------- */

static void an_empty_service_is_told(void **state)
{
    const struct metrics_snapshot snapshot = { .version = "1", .lever_engaged = -1, .scheduler_paused = -1, .problems = NAN, .findings_open = NAN, .watchers = NAN };
    struct buf text;

    (void)state;
    buf_init(&text, METRICS_TEXT_MAX);
    assert_int_equal(metrics_print(&snapshot, &text), 0);
    assert_string_equal(text.data, "# HELP perturb_build_info 1, with the version as its label.\n# TYPE perturb_build_info gauge\nperturb_build_info{version=\"1\"} 1\n"
                                   "# HELP perturb_runs_live Runs that go on now.\n# TYPE perturb_runs_live gauge\nperturb_runs_live 0\n");
    buf_done(&text);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

static void no_series_comes_twice_and_labels_are_escaped(void **state)
{
    const struct metrics_load loads[] = { { "main", 0.5, NAN } };
    const struct metrics_run runs[] = {
        { .run = "b", .playbook = "x\"\\\n\x01\xff", .service = NULL, .phase = "inject", .elapsed_s = 1.5, .faults_armed = 2, .loads = loads, .load_count = 1,
          .amplification = INFINITY, .guard_margin = NAN },
        { .run = "a", .playbook = "x\"\\\n\x01\xff", .phase = "observe", .elapsed_s = 9, .loads = loads, .load_count = 1, .amplification = 1, .guard_margin = 1 },
    };
    const struct metrics_snapshot snapshot = { .version = "1", .problems = NAN, .findings_open = NAN, .watchers = NAN, .runs = runs, .run_count = 2 };
    struct buf text;

    (void)state;
    buf_init(&text, METRICS_TEXT_MAX);
    assert_int_equal(metrics_print(&snapshot, &text), 0);
    assert_non_null(strstr(text.data, "perturb_run_info{run=\"b\",playbook=\"x\\\"\\\\\\n \xef\xbf\xbd\",service=\"\"} 1\n"));
    assert_int_equal(count_of(text.data, "\nperturb_run_info{"), 2);
    assert_int_equal(count_of(text.data, "\nperturb_run_phase{"), 1);
    assert_int_equal(count_of(text.data, "phase=\"inject\"} 1\n"), 1);
    assert_int_equal(count_of(text.data, "\nperturb_run_elapsed_seconds{"), 1);
    assert_int_equal(count_of(text.data, "} 1.5\n"), 1);
    assert_int_equal(count_of(text.data, "load=\"main\"} 0.5\n"), 1);
    assert_int_equal(count_of(text.data, "run_latency"), 0);
    assert_int_equal(count_of(text.data, "run_guard"), 0);
    assert_int_equal(count_of(text.data, "perturb_run_amplification_ratio{playbook=\"x\\\"\\\\\\n \xef\xbf\xbd\"} +Inf\n"), 1);
    buf_done(&text);
}

static const char *playbook_of(void *context, const struct store_run *run)
{
    (void)context;
    return run->playbook;
}

static void the_history_is_grouped(void **state)
{
    const struct store_run runs[] = {
        { .playbook = "a", .verdict = "running", .started = "2026-01-04T00:00:00Z", .status = -1, .convergence_s = NAN },
        { .playbook = "a", .verdict = "not_converged", .started = "2026-01-03T00:00:00Z", .status = 1, .convergence_s = NAN, .service = "shop" },
        { .playbook = "a", .verdict = "converged", .started = "2026-01-02T00:00:00Z", .status = 0, .convergence_s = 2, .convergence_low_s = 1, .convergence_high_s = 3, .loss_s = 4 },
        { .playbook = "b", .verdict = "interrupted", .started = "2026-01-01T12:00:00Z", .status = -1, .convergence_s = NAN },
        { .playbook = "a", .verdict = "converged", .started = "2026-01-01T00:00:00Z", .status = 0, .convergence_s = 9, .loss_s = 9 },
    };
    struct metrics_history history;

    (void)state;
    assert_int_equal(metrics_history_take(runs, ARRAY_SIZE(runs), playbook_of, NULL, &history), 0);
    assert_int_equal(history.count, 2);
    assert_string_equal(history.playbooks[0].service, "shop");
    assert_int_equal(history.playbooks[0].verdict_count, 2);
    assert_int_equal(history.playbooks[0].verdicts[1].runs, 2);
    assert_int_equal(history.playbooks[0].last_status, 1);
    assert_true(fabs(history.playbooks[0].last_run_s - 1767398400.0) < 1);
    assert_true(fabs(history.playbooks[0].last_success_s - 1767312000.0) < 1);
    assert_true(fabs(history.playbooks[0].convergence_s - 2) < 1e-9 && fabs(history.playbooks[0].loss_s - 4) < 1e-9);
    assert_true(isnan(history.playbooks[1].convergence_s) && !(history.playbooks[1].last_success_s > 0));
    metrics_history_done(&history);
}

/* ---- signatures, waiting ----------------------------------------------------------------------------------------------------------- */

/* Expected values by Python's hmac and hashlib. */
static void signs_as_others_do(void **state)
{
    char text[SIGNATURE_SIZE], id[TRACE_ID_SIZE];

    (void)state;
    assert_string_equal(signature_of("key", "1700000000", "{\"a\":1}", 7, text), "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03");
    digest_id("run-1", "trace", TRACE_ID_SIZE - 1, id);
    assert_string_equal(id, "432eb6aee0cc5742abac8bb41fb8b077");
}

static void waits_longer_each_time_and_as_long_as_asked(void **state)
{
    (void)state;
    for (unsigned attempts = 0; attempts < 40; attempts++) {
        uint64_t plain_ms = attempts < 10 ? UINT64_C(500) << attempts : 300000, wait_ms = send_backoff_ms("x", attempts, 0);

        plain_ms = plain_ms > 300000 ? 300000 : plain_ms;
        assert_in_range(wait_ms, plain_ms * 3 / 4, plain_ms * 5 / 4);
    }
    assert_int_equal(send_backoff_ms("x", 0, 7), 7000);
    assert_int_equal(send_backoff_ms("x", 0, 1e12), 3600000);
    assert_in_range(send_backoff_ms("x", 9, 1), 192000, 320000);
}

/* ---- configuration ----------------------------------------------------------------------------------------------------------------- */

static struct outlet_config *read_config(const char *text)
{
    struct errs *errs = calloc(1, sizeof(*errs));
    struct outlet_config *config = NULL;

    if (outlet_config_parse("o.yaml", text, strlen(text), errs, &config) < 0)
        errs_print(errs, stderr);
    free(errs);
    return config;
}

static void secrets_are_not_shown(void **state)
{
    struct outlet_config *config;
    const struct outlet *outlet;
    char shown[64], message[] = "POST https://u:p@x.example:8443/T0/B0/abcdef?k=v failed for s3cr3t";

    (void)state;
    setenv("TEST_URL", "https://u:p@x.example:8443/T0/B0/abcdef?k=v", 1);
    setenv("TEST_KEY", "s3cr3t", 1);
    config = read_config("outlets: {a: {kind: webhook, url-env: TEST_URL, secret-env: TEST_KEY}}");
    assert_non_null(config);
    outlet = outlet_find(config, "a");
    assert_string_equal(outlet_shown(outlet, shown, sizeof(shown)), "https://x.example:8443");
    outlet_redact(outlet, message);
    assert_null(strstr(message, "abcdef"));
    assert_null(strstr(message, "s3cr3t"));
    assert_null(outlet_find(config, "b"));
    outlet_config_free(config);
}

static void matchers_are_read(void **state)
{
    static const char *const wrong[] = { "", "=x", "a", "a!x", "a b=c", "7=x", "a-b=c" };
    struct matcher matcher;

    (void)state;
    assert_int_equal(matcher_parse("a=", &matcher), 0);
    assert_true(matcher.is_equal && !matcher.is_regex && !matcher.value[0]);
    assert_int_equal(matcher_parse("team!~x=.*", &matcher), 0);
    assert_true(!matcher.is_equal && matcher.is_regex);
    assert_string_equal(matcher.value, "x=.*");
    assert_int_equal(matcher_parse("a!=b", &matcher), 0);
    assert_true(!matcher.is_equal && !matcher.is_regex);
    assert_int_equal(matcher_parse("a=~b", &matcher), 0);
    assert_true(matcher.is_equal && matcher.is_regex);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(matcher_parse(wrong[i], &matcher), -EINVAL);
}

static void playbooks_have_one_name(void **state)
{
    char name[64];

    (void)state;
    assert_string_equal(teller_playbook_name("/a/playbooks/b/playbooks/c/d.yaml", name, sizeof(name)), "c/d.yaml");
    assert_string_equal(teller_playbook_name("playbooks/d.yaml", name, sizeof(name)), "d.yaml");
    assert_string_equal(teller_playbook_name("/a/myplaybooks/d.json", name, sizeof(name)), "d.json");
    assert_string_equal(teller_playbook_name("d.yaml", name, sizeof(name)), "d.yaml");
}

/* ---- the outbox ------------------------------------------------------------------------------------------------------------------------ */

static void the_oldest_goes_when_the_queue_is_full(void **state)
{
    const char *temporary = getenv("TMPDIR");
    char root[256], path[300], name[OUTBOX_NAME_MAX];
    struct delivery delivery = { .id = "x", .method = "POST", .path = "/\"\n", .body = (char[]){ "{\"a\":\"\xc3\xa4\\n\"}" } }, found;

    (void)state;
    snprintf(root, sizeof(root), "%s/outbox-XXXXXX", temporary ? temporary : "/tmp");
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/run", root);
    assert_int_equal(mkdir(path, 0700), 0);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "%010d-00.json", i);
        assert_int_equal(outbox_put(path, "a", name, &delivery, 3), i < 3 ? 0 : 1);
    }
    assert_int_equal(outbox_count(path, "a"), 3);
    assert_int_equal(outbox_count(path, "b"), 0);
    assert_int_equal(outbox_first(path, "a", name, &found), 0);
    assert_string_equal(name, "0000000002-00.json");
    assert_string_equal(found.body, delivery.body);
    assert_string_equal(found.path, delivery.path);
    delivery_done(&found);
    assert_false(outbox_remove_if_empty(path));
    assert_int_equal(outbox_set_cursor(path, 7), 0);
    assert_int_equal(outbox_cursor(path), 7);
    for (int i = 2; i < 5; i++) {
        snprintf(name, sizeof(name), "%010d-00.json", i);
        outbox_drop(path, "a", name);
    }
    assert_int_equal(outbox_first(path, "a", name, &found), -ENOENT);
    assert_true(outbox_remove_if_empty(path));
    assert_int_equal(rmdir(root), 0);
}

static void an_id_that_never_came_has_its_other_way(void **state)
{
    struct delivery delivery = { .method = "PATCH", .path = "/a/{id}/x", .needs = "k", .otherwise = "/a" };
    const char *method;
    char path[64];

    (void)state;
    assert_true(worker_address(&delivery, "17", path, sizeof(path), &method));
    assert_string_equal(path, "/a/17/x");
    assert_string_equal(method, "PATCH");
    assert_true(worker_address(&delivery, "", path, sizeof(path), &method));
    assert_string_equal(path, "/a");
    assert_string_equal(method, "POST");
    delivery.otherwise[0] = '\0';
    assert_false(worker_address(&delivery, "", path, sizeof(path), &method));
}

/* ---- stories ----------------------------------------------------------------------------------------------------------------------------- */

static struct story_moment take(struct story *story, const char *line)
{
    struct story_moment moment = { .moment = MOMENTS };

    assert_int_equal(story_take(story, line, &moment), 0);
    return moment;
}

static void a_story_is_told_by_its_events(void **state)
{
    struct story *story = calloc(1, sizeof(*story));
    struct story_moment moment;
    char text[40];

    (void)state;
    story_init(story);
    story->wall_offset_ns = -INT64_C(1000000000);
    assert_int_equal(story_take(story, "{\"seq\":", &moment), -EINVAL);
    assert_int_equal(story_take(story, "{\"seq\":1}", &moment), -EINVAL);
    assert_int_equal(take(story, "{\"seq\":1,\"ns\":\"5000000000\",\"kind\":\"run_started\",\"fields\":{}}").moment, MOMENT_STARTED);
    assert_int_equal(take(story, "{\"seq\":2,\"ns\":\"5000000001\",\"kind\":\"phase\",\"fields\":{\"phase\":\"inject\"}}").moment, MOMENTS);
    assert_int_equal(take(story, "{\"seq\":3,\"ns\":\"5100000000\",\"kind\":\"fault_armed\",\"fields\":{\"fault\":\"slow\"}}").moment, MOMENTS);
    assert_int_equal(story_faults_armed(story), 1);
    assert_int_equal(take(story, "{\"seq\":4,\"ns\":\"5200000000\",\"kind\":\"fault_acted\",\"fields\":{\"fault\":\"slow\"}}").moment, MOMENT_INJECTED);
    assert_int_equal(take(story, "{\"seq\":5,\"ns\":\"5300000000\",\"kind\":\"fault_acted\",\"fields\":{\"fault\":\"slow\"}}").moment, MOMENTS);
    moment = take(story, "{\"seq\":6,\"ns\":\"6000000000\",\"kind\":\"fault_released\",\"fields\":{\"fault\":\"slow\",\"matched\":\"9007199254740993\",\"fired\":3}}");
    assert_int_equal(moment.moment, MOMENT_RELEASED);
    assert_true(moment.fault->matched == INT64_C(9007199254740993) && moment.fault->fired == 3);
    assert_int_equal(story_faults_armed(story), 0);
    assert_string_equal(story_time(story, moment.ns, text, sizeof(text)), "1970-01-01T00:00:05.000Z");
    assert_int_equal(take(story, "{\"seq\":7,\"ns\":\"6000000001\",\"kind\":\"something_new\",\"fields\":null}").moment, MOMENTS);
    story_end(story, NULL, 0, &moment);
    assert_int_equal(moment.moment, MOMENT_ENDED);
    assert_int_equal(story_status(story), 3);
    assert_string_equal(story_verdict(story), "interrupted");
    story_done(story);
    free(story);
}

static void keep(void *context, struct delivery *delivery)
{
    char **body = context;

    free(*body);
    *body = delivery->body;
    delivery->body = NULL;
}

static void slack_texts_cannot_mark_up(void **state)
{
    struct story *story = calloc(1, sizeof(*story));
    struct story_moment moment;
    const struct outlet outlet = { .kind = OUTLET_SLACK, .moments = 1U << MOMENT_FAILED };
    char *body = NULL;
    const struct telling telling = { .outlet = &outlet, .story = story, .moment = &moment, .put = keep, .context = &body };
    cJSON *document;

    (void)state;
    snprintf(story->title, sizeof(story->title), "<!channel> & *bold* `x` _i_\n\x1b[31m");
    story_end(story, cJSON_Parse("{\"verdict\":{\"verdict\":\"converged\",\"status\":0}}"), 1, &moment);
    outlet_tell(&telling);
    assert_null(body);
    story_end(story, cJSON_Parse("{\"verdict\":{\"verdict\":\"not_converged\",\"status\":1,\"why\":\"<http://evil|here>\"}}"), 1, &moment);
    outlet_tell(&telling);
    document = cJSON_Parse(body);
    assert_non_null(strstr(doc_text(document, "text"), "*&lt;!channel&gt; &amp; 'bold' 'x' 'i' ?[31m*: not_converged"));
    assert_null(strpbrk(doc_text(document, "text"), "<>\x1b"));
    cJSON_Delete(document);
    free(body);
    story_done(story);
    free(story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_service_is_told),
        cmocka_unit_test(no_series_comes_twice_and_labels_are_escaped),
        cmocka_unit_test(the_history_is_grouped),
        cmocka_unit_test(signs_as_others_do),
        cmocka_unit_test(waits_longer_each_time_and_as_long_as_asked),
        cmocka_unit_test(secrets_are_not_shown),
        cmocka_unit_test(matchers_are_read),
        cmocka_unit_test(playbooks_have_one_name),
        cmocka_unit_test(the_oldest_goes_when_the_queue_is_full),
        cmocka_unit_test(an_id_that_never_came_has_its_other_way),
        cmocka_unit_test(a_story_is_told_by_its_events),
        cmocka_unit_test(slack_texts_cannot_mark_up),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
