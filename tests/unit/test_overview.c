/* The overview: golden files for each format, hostile texts, crippled documents; every fault has a class; and from a written history
 * to its document. */
#include "tests/unit/report_fixture.h"

#include "controller/cmd/overview.h"
#include "controller/report/assets.h"
#include "controller/report/classes.h"
#include "controller/report/doc.h"
#include "controller/report/overview.h"
#include "scenarios/vocab/fault.h"

#include <errno.h>
#include <ftw.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = { "../overview/director", "../overview/empty", "../overview/hostile" };

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

/* Without the embedded style and the policy, which have histories of their own. */
static void cut(struct buf *out, const char **text, const char *name, const char *from, const char *to)
{
    const char *found = memmem(*text, strlen(*text), from, (size_t)(to - from));

    assert_non_null(found);
    buf_append(out, *text, (size_t)(found - *text));
    buf_printf(out, "[%s]", name);
    *text = found + (to - from);
}

static void golden_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cJSON *document = fixture_document(names[i]);
        struct buf text, golden;
        const char *rest;

        assert_int_equal(overview_markdown(document, &text), 0);
        fixture_compare(names[i], ".md", text.data);
        buf_done(&text);
        assert_int_equal(overview_html(document, &text), 0);
        rest = text.data;
        buf_init(&golden, 4 << 20);
        cut(&golden, &rest, "policy", asset_policy, asset_policy_end);
        cut(&golden, &rest, "report.css", asset_report_css, asset_report_css_end);
        buf_puts(&golden, rest);
        fixture_compare(names[i], ".html", golden.data);
        buf_done(&golden);
        buf_done(&text);
        cJSON_Delete(document);
    }
}

static size_t occurrences(const char *text, const char *word)
{
    size_t count = 0;

    for (const char *at = text; (at = strcasestr(at, word)) != NULL; at += strlen(word))
        count++;
    return count;
}

static void hostile_text_breaks_out_of_nothing(void **state)
{
    cJSON *document = fixture_document("../overview/hostile");
    struct buf text;

    (void)state;
    assert_int_equal(overview_html(document, &text), 0);
    assert_int_equal(occurrences(text.data, "<script"), 0);
    assert_int_equal(occurrences(text.data, "</style"), 1);
    assert_null(strstr(text.data, "\u202e"));
    assert_null(strchr(text.data, '\033'));
    buf_done(&text);
    assert_int_equal(overview_markdown(document, &text), 0);
    assert_int_equal(occurrences(text.data, "<"), 0);
    assert_int_equal(occurrences(text.data, "\\]\\("), 0);
    assert_null(strstr(text.data, " | `")); /* a bar of the text would be a cell of the table */
    assert_null(strstr(text.data, " @"));
    assert_null(strchr(text.data, '\033'));
    buf_done(&text);
    cJSON_Delete(document);
}

static void render_and_drop(const cJSON *document)
{
    struct buf text;

    assert_int_equal(overview_html(document, &text), 0);
    buf_done(&text);
    assert_int_equal(overview_markdown(document, &text), 0);
    buf_done(&text);
}

static void any_key_may_be_missing(void **state)
{
    cJSON *document = fixture_document("../overview/director"), *list = cJSON_CreateArray();
    struct buf text;

    (void)state;
    fixture_mutate(document, document, render_and_drop);
    assert_int_equal(overview_html(list, &text), -EINVAL);
    buf_done(&text);
    assert_int_equal(overview_markdown(NULL, &text), -EINVAL);
    buf_done(&text);
    cJSON_Delete(list);
    cJSON_Delete(document);
}

static void every_fault_has_a_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        char name[80];

        snprintf(name, sizeof(name), "%s.%s", layer_names[fault_descs[i].layer], fault_descs[i].name);
        if (fault_class_of(name) == FAULT_CLASS_OTHER)
            fail_msg("%s is in no class of controller/report/classes.c", name);
    }
    assert_string_equal(fault_class_names[fault_class_of("stream.corrupt")], "wrong data");
    assert_string_equal(fault_class_names[fault_class_of("call.corrupt")], "disk");
    assert_int_equal(fault_class_of(""), FAULT_CLASS_OTHER);
    assert_int_equal(fault_class_of("stream."), FAULT_CLASS_OTHER);
    assert_int_equal(fault_class_of("crash kill"), FAULT_CLASS_OTHER);
}

/* ---- from a history ---------------------------------------------------------------------------------------------------------- */

enum { NOW_S = 1795435200, A_DAY_S = 86400 }; /* 2026-11-23T12:00:00Z */

struct past {
    const char *id, *service, *fault, *verdict;
    int status, days_ago, acted, planned, failed;
    double convergence_s;
};

static void write_past(struct store_history *history, const struct past *past)
{
    cJSON *document = cJSON_CreateObject(), *run = cJSON_AddObjectToObject(document, "run"), *part, *list;
    time_t at = NOW_S - (time_t)past->days_ago * A_DAY_S;
    char started[32], title[64], path[64];
    struct errs errs = { .count = 0 };
    struct store_run row;
    struct tm broken_down;
    char *directory;
    int64_t finding;

    gmtime_r(&at, &broken_down);
    strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", &broken_down);
    snprintf(title, sizeof(title), "%s under %s", past->service, past->fault);
    snprintf(path, sizeof(path), "/playbooks/%s-%s.yaml", past->service, past->fault);
    cJSON_AddNumberToObject(document, "schema", 1);
    cJSON_AddStringToObject(run, "id", past->id);
    cJSON_AddStringToObject(run, "title", title);
    cJSON_AddStringToObject(run, "service", past->service);
    cJSON_AddStringToObject(run, "playbook_path", path);
    cJSON_AddStringToObject(run, "rigour", "full");
    cJSON_AddStringToObject(run, "started", started);
    part = cJSON_AddObjectToObject(document, "verdict");
    cJSON_AddStringToObject(part, "verdict", past->verdict);
    cJSON_AddNumberToObject(part, "status", past->status);
    part = cJSON_AddObjectToObject(document, "convergence");
    if (past->convergence_s >= 0)
        cJSON_AddNumberToObject(part, "from_release_s", past->convergence_s);
    list = cJSON_AddArrayToObject(document, "faults");
    cJSON_AddItemToArray(list, part = cJSON_CreateObject());
    cJSON_AddStringToObject(part, "fault", past->fault);
    if (past->acted)
        cJSON_AddNumberToObject(part, "injected_s", 3);
    list = cJSON_AddArrayToObject(document, "loads");
    cJSON_AddItemToArray(list, part = cJSON_CreateObject());
    cJSON_AddNumberToObject(part, "planned", past->planned);
    cJSON_AddNumberToObject(part, "failed", past->failed);
    list = cJSON_AddArrayToObject(document, "expect");
    cJSON_AddItemToArray(list, part = cJSON_CreateObject());
    cJSON_AddStringToObject(part, "what", "convergence");
    cJSON_AddStringToObject(part, "bound", "at most 5s");
    cJSON_AddStringToObject(part, "outcome", past->status ? "broken" : "met");
    assert_int_equal(store_run_create(NULL, past->id, &directory, &errs), 0);
    assert_int_equal(store_write_json(directory, "result.json", document, &errs), 0);
    assert_int_equal(store_run_from_result(document, directory, &row), 0);
    assert_int_equal(store_history_end(history, &row, &errs), 0);
    assert_int_equal(store_findings_note(history, &row, "it did not come back", &finding, &errs), 0);
    store_run_done(&row);
    free(directory);
    cJSON_Delete(document);
}

static const cJSON *row_of(const cJSON *list, const char *key, const char *value)
{
    const cJSON *row;

    cJSON_ArrayForEach(row, list)
        if (doc_is(row, key, value))
            return row;
    fail_msg("no row whose %s is %s", key, value);
    return NULL;
}

static void a_history_becomes_an_overview(void **state)
{
    static const struct past all[] = {
        { "20260801-1", "mail", "stream.latency", "converged", 0, 114, 1, 100, 7, 1 },          /* before the time */
        { "20261101-1", "shop", "stream.latency", "converged", 0, 22, 1, 1000, 10, 0.5 },
        { "20261103-1", "shop", "stream.latency", "converged", 0, 20, 1, 1000, 30, 0.9 },
        { "20261104-1", "shop", "stream.latency", "not_converged", 1, 19, 1, 1000, 900, -1 },
        { "20261105-1", "shop", "host.kill", "not_injected", 2, 18, 0, 1000, 0, -1 },           /* never acted: not tested */
        { "20261106-1", "shop", "stream.latency", "indeterminate", 2, 17, 1, 1000, 0, -1 },     /* hides nothing */
        { "20261107-1", "pay", "call.fail", "absorbed", 0, 16, 1, 500, 0, -1 },
    };
    struct errs errs = { .count = 0 };
    struct store_history *history;
    const cJSON *cell, *row;
    cJSON *overview;

    (void)state;
    assert_int_equal(store_history_open(NULL, &history, &errs), 0);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        write_past(history, &all[i]);
    assert_int_equal(overview_build(history, (int64_t)90 * A_DAY_S * 1000000000, NOW_S, &overview, &errs), 0);
    store_history_close(history);
    assert_string_equal(doc_text(overview, "since"), "2026-08-25");
    assert_string_equal(doc_text(overview, "until"), "2026-11-23");
    assert_true(doc_number(doc_get(overview, "counts"), "runs") == 6);
    assert_true(doc_number(doc_get(overview, "counts"), "passed") == 3);
    assert_true(doc_number(doc_get(overview, "counts"), "undecided") == 2);

    row = row_of(doc_list(overview, "services"), "service", "shop");
    cell = overview_cell(row, "slow network");
    assert_true(doc_number(cell, "status") == 1 && doc_number(cell, "age_days") == 19 && doc_number(cell, "runs") == 4);
    assert_false(doc_true(cell, "stale"));
    assert_null(overview_cell(row, "crash or pause"));
    row = row_of(doc_list(overview, "services"), "service", "mail");
    assert_true(doc_true(overview_cell(row, "slow network"), "stale"));

    row = row_of(doc_list(overview, "convergence"), "service", "shop"); /* the broken one comes first */
    assert_ptr_equal(row, doc_list(overview, "convergence")->child);
    row = row_of(doc_list(overview, "convergence"), "title", "shop under stream.latency");
    assert_true(doc_number(row, "target_s") == 5 && doc_number(row, "runs") == 3 && doc_number(row, "never") == 1);
    assert_true(doc_number(row, "median_s") == 0.9); /* of 0.5, 0.9 and never */
    row = row_of(doc_list(overview, "lost"), "service", "shop");
    assert_true(doc_number(row, "planned") == 5000 && doc_number(row, "failed") == 940);
    assert_int_equal(doc_count(doc_list(overview, "findings")), 1);
    assert_string_equal(doc_text(doc_list(overview, "findings")->child, "opened"), "2026-11-04");
    cJSON_Delete(overview);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_has_a_class),
        cmocka_unit_test(golden_files),
        cmocka_unit_test(hostile_text_breaks_out_of_nothing),
        cmocka_unit_test(any_key_may_be_missing),
        cmocka_unit_test(a_history_becomes_an_overview),
    };
    char home[] = "/tmp/test-overview.XXXXXX";
    int failed;

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!mkdtemp(home) || setenv("XDG_STATE_HOME", home, 1) < 0)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    nftw(home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return failed;
}
