/* Experiments of the Chaos Toolkit: tolerances, paths, names in texts, and what is refused, each by the rules that the format documents. */
#include "controller/ctk/ctk_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *tolerance, *output;
    bool holds;
} tolerances[] = {
    /* plain values: strict equality, with the status of what has one */
    { "true", "true", true },
    { "true", "false", false },
    { "5", "5", true },
    { "5", "\"5\"", false },
    { "\"up\"", "\"up\"", true },
    { "200", "{\"status\":200,\"body\":\"x\"}", true },
    { "200", "{\"status\":503,\"body\":\"x\"}", false },
    { "0", "{\"status\":0,\"stdout\":\"\",\"stderr\":\"\"}", true },
    /* two numbers are bounds, both included, but one-of where there is a status */
    { "[1,10]", "10", true },
    { "[1,10]", "0", false },
    { "[200,299]", "{\"status\":250}", false },
    { "[200,299]", "{\"status\":299}", true },
    { "[1,2,3]", "2", true },
    { "[1,2,3]", "2.5", false },
    { "[\"a\",\"b\"]", "\"b\"", true },
    /* a search, in a target or in the whole */
    { "{\"type\":\"regex\",\"pattern\":\"o+k\"}", "\"it is oook\"", true },
    { "{\"type\":\"regex\",\"pattern\":\"^ok$\",\"target\":\"stdout\"}", "{\"status\":0,\"stdout\":\"ok\"}", true },
    { "{\"type\":\"regex\",\"pattern\":\"ok\",\"target\":\"stderr\"}", "{\"status\":0,\"stdout\":\"ok\"}", false },
    { "{\"type\":\"regex\",\"pattern\":\"\\\\d{3}\",\"target\":\"body\"}", "{\"status\":200,\"body\":\"a 123 b\"}", true },
    /* all matches against all expected */
    { "{\"type\":\"jsonpath\",\"path\":\"$.a[*].b\",\"expect\":[1,2],\"target\":\"body\"}", "{\"status\":200,\"body\":{\"a\":[{\"b\":1},{\"b\":2}]}}", true },
    { "{\"type\":\"jsonpath\",\"path\":\"$.a[*].b\",\"expect\":[1],\"target\":\"body\"}", "{\"status\":200,\"body\":{\"a\":[{\"b\":1},{\"b\":2}]}}", false },
    { "{\"type\":\"jsonpath\",\"path\":\"$..id\",\"count\":3}", "{\"id\":1,\"x\":[{\"id\":2},{\"y\":{\"id\":3}}]}", true },
    { "{\"type\":\"jsonpath\",\"path\":\"$.items[?(@.kind=='red')].n\",\"expect\":[7]}", "{\"items\":[{\"kind\":\"red\",\"n\":7},{\"kind\":\"blue\",\"n\":8}]}", true },
    { "{\"type\":\"jsonpath\",\"path\":\"$.ok\",\"target\":\"stdout\"}", "{\"status\":0,\"stdout\":\"{\\\"ok\\\": true}\"}", true },
    { "{\"type\":\"jsonpath\",\"path\":\"$.missing\"}", "{\"a\":1}", false },
    /* decimals, in texts too */
    { "{\"type\":\"range\",\"range\":[0.5,1.5]}", "1.5", true },
    { "{\"type\":\"range\",\"range\":[0.5,1.5]}", "1.51", false },
    { "{\"type\":\"range\",\"range\":[1,3],\"target\":\"stdout\"}", "{\"status\":0,\"stdout\":\"2.5\\n\"}", true },
    { "{\"type\":\"range\",\"range\":[1,3],\"target\":\"stdout\"}", "{\"status\":0,\"stdout\":\"2.5 apples\"}", false },
    /* a probe that is handed what was found */
    { "{\"type\":\"probe\",\"provider\":{\"type\":\"process\",\"path\":\"true\"}}", "1", true },
    { "{\"type\":\"probe\",\"provider\":{\"type\":\"process\",\"path\":\"false\"}}", "1", false },
    { "{\"type\":\"probe\",\"provider\":{\"type\":\"process\",\"path\":\"test\",\"arguments\":{\"seven\":\"=\",\"value\":\"\"}}}", "\"seven\"", false },
};

static void tolerances_hold_or_not(void **state)
{
    const struct ctk_values values = { 0 };
    const atomic_bool stopping = false;

    (void)state;
    for (size_t i = 0; i < sizeof(tolerances) / sizeof(tolerances[0]); i++) {
        cJSON *tolerance = cJSON_Parse(tolerances[i].tolerance), *output = cJSON_Parse(tolerances[i].output);

        assert_non_null(tolerance);
        assert_non_null(output);
        if (ctk_tolerates(tolerance, output, &values, &stopping) != tolerances[i].holds)
            fail_msg("%s on %s: expected %s", tolerances[i].tolerance, tolerances[i].output, tolerances[i].holds ? "yes" : "no");
        cJSON_Delete(tolerance);
        cJSON_Delete(output);
    }
}

static void names_become_values(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        { "\"${n}\"", "5" },           { "\"$n\"", "5" },          { "\"at $n o'clock\"", "\"at 5 o'clock\"" }, { "\"${t}s\"", "\"trues\"" },
        { "\"$$n\"", "\"$n\"" },       { "\"$nobody\"", "\"$nobody\"" }, { "\"${x y}\"", "\"${x y}\"" },        { "\"$5\"", "\"$5\"" },
        { "{\"a\":[\"$n\",1]}", "{\"a\":[5,1]}" }, { "\"$token\"", "\"s3cret\"" },  { "\"${both}\"", "\"configured\"" },  { "\"$list\"", "[1,2]" },
    };
    struct ctk_values values = { cJSON_Parse("{\"n\":5,\"t\":true,\"both\":\"configured\",\"list\":[1,2]}"),
                                 cJSON_Parse("{\"api\":{\"token\":\"s3cret\",\"both\":\"secret\"}}") };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cJSON *given = cJSON_Parse(cases[i].text), *expected = cJSON_Parse(cases[i].expected), *got = ctk_substitute(given, &values);

        if (!cJSON_Compare(got, expected, 1))
            fail_msg("%s became %s", cases[i].text, cJSON_PrintUnformatted(got));
        cJSON_Delete(given);
        cJSON_Delete(expected);
        cJSON_Delete(got);
    }
    ctk_values_done(&values);
}

static void paths_outside_the_subset_are_refused(void **state)
{
    static const char *const paths[] = { "a.b", "$.", "$[", "$[x]", "$.a[?(@.b>3)]", "$.a[1:3]", "$.a b[", "$['a'", "$x" };
    cJSON *document = cJSON_Parse("{\"a\":[1,2]}"), *matches;

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (ctk_jsonpath(document, paths[i], &matches) == 0)
            fail_msg("'%s' was taken", paths[i]);
    assert_int_equal(ctk_jsonpath(document, "$.a[-1]", &matches), 0);
    assert_int_equal((int)cJSON_GetArrayItem(matches, 0)->valuedouble, 2);
    cJSON_Delete(matches);
    cJSON_Delete(document);
}

#define HEAD "title: t\ndescription: d\nmethod: []\n"

static const struct {
    const char *text, *said[3];
} refused[] = {
    { "title: t\nsteady-state-hypothesis: {title: h, probes: [{type: probe, name: p, tolerance: 1.5, provider: {type: process, path: x}}]}\nmethod: []\n",
      { "x.yaml:2:", "fraction" } },
    { HEAD "steady-state-hypothesis:\n  probes:\n    - {type: probe, name: p, provider: {type: process, path: x}}\n", { "x.yaml:6:7", "no tolerance" } },
    { "title: t\nmethod:\n  - {type: action, name: kill, provider: {type: python, module: chaosaws.ec2.actions, func: stop}}\n"
      "  - {type: probe, name: look, provider: {type: python, module: m, func: f}}\n",
      { "'kill' calls python (chaosaws.ec2.actions)", "'look' calls python", "x.yaml:4:" } },
    { HEAD "rollbacks: [{ref: nobody}]\n", { "no activity is named 'nobody'" } },
    { HEAD "secrets: {api: {token: {type: vault, path: p}}}\nrollbacks: [{type: action, name: a, provider: {type: process, path: x}}]\n", { "vault" } },
    { "method: [{type: stop, name: a, provider: {type: ftp, url: x}}]\n", { "no title", "none of: probe action", "none of: http process" } },
    { "title: t\nmethod: [{type: probe, name: a, provider: {type: http}}, {type: probe, name: b, provider: {type: process, path: x, timeout: {}}}]\n",
      { "no url", "timeout" } },
    { HEAD "runtime: {rollbacks: {strategy: perhaps}}\nsteady-state-hypothesis: {probes: [{type: probe, name: p, tolerance: {type: regex, pattern: '('}, "
      "provider: {type: process, path: x}}]}\n",
      { "'perhaps' is none of", "pattern:" } },
};

static void what_cannot_run_is_named_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct document document = { 0 };
        struct errs errs = { .count = 0 };
        char all[4096] = "";

        assert_int_equal(document_parse(&document, "x.yaml", refused[i].text, strlen(refused[i].text), false, &errs), 0);
        assert_true(ctk_is_experiment(&document));
        assert_true(ctk_check(&document, &errs, NULL) < 0);
        for (size_t j = 0; j < errs.count; j++)
            snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s: %s\n", errs.list[j].where, errs.list[j].text);
        for (size_t j = 0; j < 3 && refused[i].said[j]; j++)
            if (!strstr(all, refused[i].said[j]))
                fail_msg("case %zu: '%s' is not in:\n%s", i, refused[i].said[j], all);
        document_done(&document);
    }
}

static void playbooks_are_no_experiments(void **state)
{
    static const char *const texts[] = { "perturb: 1\ntitle: t\nmethod: [{fault: latency, proxy: x}]\n", "[1, 2]\n", "title: t\n",
                                         "title: t\nload: {}\nmethod: []\n" };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct document document = { 0 };
        struct errs errs = { .count = 0 };

        assert_int_equal(document_parse(&document, "x.yaml", texts[i], strlen(texts[i]), false, &errs), 0);
        assert_false(ctk_is_experiment(&document));
        document_done(&document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tolerances_hold_or_not),
        cmocka_unit_test(names_become_values),
        cmocka_unit_test(paths_outside_the_subset_are_refused),
        cmocka_unit_test(what_cannot_run_is_named_with_its_place),
        cmocka_unit_test(playbooks_are_no_experiments),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
