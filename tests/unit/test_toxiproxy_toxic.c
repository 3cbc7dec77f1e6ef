/* Toxics in Toxiproxy's words turned into rules, for every stream fault of the table; addresses as Go splits them. */
#include "tests/unit/scenario_cases.h"

#include "controller/toxiproxy/lookup.h"
#include "controller/toxiproxy/model.h"

#include <errno.h>

/* A toxic of a request's text; NULL with the reason printed when it is refused. */
static struct toxic *make(const char *text)
{
    struct toxic_request request = { .toxicity = 1 };
    enum direction direction = DIRECTION_TO_CLIENT;
    const struct fault_desc *fault = NULL;
    struct toxic *toxic = NULL;
    cJSON *body = NULL;
    struct buf why;

    buf_init(&why, 1024);
    assert_int_equal(json_decode(text, strlen(text), &body, &why), 0);
    if (toxic_request_read(body, &request, &why) == 0 &&
        (!request.stream || toxic_stream_parse(request.stream, &direction, &why) == 0) &&
        toxic_type_parse(request.type, &fault, &why) == 0) {
        toxic = toxic_new(&request, fault, direction);
        assert_non_null(toxic);
        if (toxic_attributes_merge(fault, request.attributes, true, &toxic->attributes, &why) < 0 ||
            toxic_duration_set(toxic, request.duration, 1000, &why) < 0) {
            toxic_free(toxic);
            toxic = NULL;
        }
    }
    if (!toxic)
        printf("# %s: %s\n", text, why.data);
    assert_true(toxic || why.length);
    buf_done(&why);
    cJSON_Delete(body);
    return toxic;
}

static struct plan_rule rule_of(const char *text)
{
    struct toxic *toxic = make(text);
    struct plan_rule rule;

    assert_non_null(toxic);
    assert_true(toxic_rule(toxic, "proxy", "scope", &rule));
    toxic_free(toxic);
    return rule;
}

static void translates_units(void **state)
{
    struct plan_rule rule = rule_of("{\"type\":\"latency\",\"attributes\":{\"latency\":250,\"jitter\":30}}");

    (void)state;
    assert_int_equal(rule.fault, FAULT_STREAM_latency);
    assert_int_equal(rule.params.STREAM_latency.latency, 250000000);
    assert_int_equal(rule.params.STREAM_latency.jitter, 30000000);
    assert_int_equal(rule.selector.direction, DIRECTION_TO_CLIENT);
    assert_int_equal(rule.selector.probability_ppm, PPM);
    assert_string_equal(rule.name, "proxy/latency_downstream");
    assert_string_equal(rule.scope, "scope");
    rule = rule_of("{\"type\":\"latency\"}"); /* absent is zero, not the fault's own default */
    assert_int_equal(rule.params.STREAM_latency.latency, 0);
    rule = rule_of("{\"type\":\"bandwidth\",\"stream\":\"Upstream\",\"attributes\":{\"rate\":3}}");
    assert_int_equal(rule.params.STREAM_bandwidth.rate, 3000);
    assert_int_equal(rule.selector.direction, DIRECTION_TO_UPSTREAM);
    rule = rule_of("{\"type\":\"slicer\",\"attributes\":{\"average_size\":9,\"size_variation\":2,\"delay\":5}}");
    assert_int_equal(rule.params.STREAM_slicer.size, 9);
    assert_int_equal(rule.params.STREAM_slicer.variation, 2);
    assert_int_equal(rule.params.STREAM_slicer.delay, 5000); /* microseconds */
    rule = rule_of("{\"type\":\"timeout\",\"attributes\":{\"timeout\":7}}");
    assert_int_equal(rule.params.STREAM_timeout.after, 7000000);
    rule = rule_of("{\"type\":\"reset_peer\",\"attributes\":{\"after\":\"7us\"}}");
    assert_int_equal(rule.params.STREAM_reset_peer.after, 7000);
    rule = rule_of("{\"type\":\"limit_data\",\"attributes\":{\"bytes\":7,\"close\":\"rst\"}}");
    assert_int_equal(rule.params.STREAM_limit_data.bytes, 7);
    assert_int_equal(rule.params.STREAM_limit_data.close, 1);
}

static void acts_at_the_nearest_end_of_a_range(void **state)
{
    struct plan_rule rule =
        rule_of("{\"type\":\"latency\",\"toxicity\":7,\"attributes\":{\"latency\":9223372036854775807,\"jitter\":-5}}");

    (void)state;
    assert_int_equal(rule.params.STREAM_latency.latency, 600 * INT64_C(1000000000));
    assert_int_equal(rule.params.STREAM_latency.jitter, 0);
    assert_int_equal(rule.selector.probability_ppm, PPM);
    assert_int_equal(rule_of("{\"type\":\"latency\",\"toxicity\":-1}").selector.probability_ppm, 0);
    assert_int_equal(rule_of("{\"type\":\"latency\",\"toxicity\":0.3}").selector.probability_ppm, 300000);
    assert_int_equal(
        rule_of("{\"type\":\"limit_data\",\"attributes\":{\"bytes\":-9223372036854775808}}").params.STREAM_limit_data.bytes, 0);
}

static void zeros_mean_what_they_meant(void **state)
{
    struct toxic *slicer = make("{\"type\":\"slicer\"}"), *noop = make("{\"type\":\"noop\",\"attributes\":{\"a\":1}}");
    struct plan_rule rule = rule_of("{\"type\":\"bandwidth\"}");

    (void)state;
    assert_int_equal(rule.fault, FAULT_STREAM_blackhole);
    assert_false(toxic_rule(slicer, "p", "p", &rule));
    assert_false(toxic_rule(noop, "p", "p", &rule));
    assert_null(make("{\"type\":\"slicer\",\"attributes\":{\"average_size\":0}}"));
    assert_null(make("{\"type\":\"slicer\",\"attributes\":{\"average_size\":-3}}"));
    assert_null(make("{\"type\":\"bandwidth\",\"attributes\":{\"rate\":-3}}"));
    toxic_free(slicer);
    toxic_free(noop);
}

static bool needs_an_attribute(const struct fault_desc *fault)
{
    bool needs = false;

    for (size_t i = 0; i < fault->param_count; i++) {
        bool has_alias = false;

        for (size_t a = 0; a < fault->alias_count; a++)
            has_alias = has_alias || fault->aliases[a].slot == fault->params[i].slot;
        needs = needs || (fault->params[i].required && !has_alias);
    }
    return needs;
}

/* With nothing but its zeros, where it needs nothing; with each parameter at an end of its range; and the rule is sound. */
static void every_stream_fault_is_a_type(void **state)
{
    (void)state;
    for (size_t f = 0; f < FAULT_COUNT; f++) {
        const struct fault_desc *fault = &fault_descs[f];
        AUTO_FREE struct plan *plan = calloc(1, PLAN_SIZE(1));
        struct toxic *toxic;
        char text[512];

        assert_non_null(plan);
        if (fault->layer != LAYER_STREAM)
            continue;
        *plan = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(struct plan_rule) };
        snprintf(text, sizeof(text), "{\"type\":\"%s\",\"name\":\"t\",\"toxicity\":0.5,\"duration\":1500}", fault->name);
        toxic = make(text);
        assert_true(needs_an_attribute(fault) == !toxic);
        if (toxic)
            plan->rule_count = toxic_rule(toxic, "p", "p", &plan->rules[0]);
        assert_int_equal(plan_check(plan, PLAN_SIZE(1)), 0);
        if (plan->rule_count)
            assert_int_equal(plan->rules[0].selector.until_ns, 1500000000);
        toxic_free(toxic);
        for (size_t i = 0; i < fault->param_count; i++) {
            const struct param_desc *param = &fault->params[i];
            char value[64];

            if (param->unit == UNIT_ENUM)
                words_at(param->words, param_maximum(param), value, sizeof(value));
            else
                unit_print(param->unit, param->maximum, value, sizeof(value));
            snprintf(text, sizeof(text), "{\"type\":\"%s\",\"attributes\":{\"%s\":\"%s\"}}", fault->name, param->name, value);
            toxic = make(text);
            if (!toxic && fault->params[i].required == false && needs_an_attribute(fault))
                continue;
            assert_non_null(toxic);
            if (!toxic_rule(toxic, "p", "p", &plan->rules[0]))
                assert_true(fault->alias_count > 1); /* another attribute is absent, and its zero passes all */
            else if (plan->rules[0].fault == fault->id)
                assert_int_equal(plan->rules[0].params.slot[param->slot], param_maximum(param));
            toxic_free(toxic);
        }
    }
}

static char *printed(const struct toxic *toxic, bool for_file)
{
    cJSON *document = toxic_print(toxic, for_file, 1000);
    char *text = cJSON_PrintUnformatted(document);

    cJSON_Delete(document);
    return text;
}

/* A file's zeros are left out, because a zero that is written is refused where it once crashed. */
static void a_file_reads_back(void **state)
{
    static const char *const cases[] = {
        "{\"type\":\"slicer\"}",
        "{\"type\":\"latency\",\"stream\":\"UPSTREAM\",\"attributes\":{\"latency\":\"1ns\",\"jitter\":-2,\"wave\":\"sine\"}}",
        "{\"type\":\"latency\",\"toxicity\":0.1,\"attributes\":{\"distribution\":\"normal\"}}",
        "{\"type\":\"timeout\",\"duration\":\"90s\",\"attributes\":{\"after\":\"1500us\"}}",
        "{\"type\":\"refuse\",\"attributes\":{\"close_open\":true}}",
        "{\"type\":\"noop\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct toxic *toxic = make(cases[i]), *again;
        char *file, *before, *after;

        assert_non_null(toxic);
        file = printed(toxic, true);
        before = printed(toxic, false);
        again = make(file);
        assert_non_null(again);
        after = printed(again, false);
        assert_string_equal(before, after);
        cJSON_free(file);
        cJSON_free(before);
        cJSON_free(after);
        toxic_free(toxic);
        toxic_free(again);
    }
}

static void draws_follow_from_names_alone(void **state)
{
    struct toxic *toxic = make("{\"type\":\"latency\",\"name\":\"a/b\"}");
    struct plan_rule rule, other;

    (void)state;
    assert_true(toxic_rule(toxic, "p", "p", &rule) && toxic_rule(toxic, "p", "q", &other));
    assert_true(rule.name_hash == other.name_hash && rule.name[0] == '~');
    assert_true(toxic_rule(toxic, "p2", "p", &other));
    assert_true(rule.name_hash != other.name_hash);
    toxic_free(toxic);
}

static void splits_addresses_as_go_does(void **state)
{
    static const struct {
        const char *address, *host, *port, *reason;
    } cases[] = {
        { "127.0.0.1:80", "127.0.0.1", "80", NULL },
        { ":http", "", "http", NULL },
        { "[::1]:80", "::1", "80", NULL },
        { "a:", "a", "", NULL },
        { "a", NULL, NULL, "address a: missing port in address" },
        { "[::1]", NULL, NULL, "address [::1]: missing port in address" },
        { "::1:80", NULL, NULL, "address ::1:80: too many colons in address" },
        { "[::1:80", NULL, NULL, "address [::1:80: missing ']' in address" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char host[ADDRESS_PART_MAX], port[ADDRESS_PART_MAX];
        struct buf why;

        buf_init(&why, 512);
        assert_int_equal(address_split(cases[i].address, host, port, &why), cases[i].reason ? -EINVAL : 0);
        if (cases[i].reason)
            assert_string_equal(why.data, cases[i].reason);
        else
            assert_true(!strcmp(host, cases[i].host) && !strcmp(port, cases[i].port));
        buf_done(&why);
    }
}

static void listens_where_go_would(void **state)
{
    static const struct {
        const char *address, *listen;
        bool strict;
    } cases[] = {
        { "127.0.0.1:7070", "127.0.0.1:7070", false },
        { "localhost:7070", "127.0.0.1:7070", false },
        { "0.0.0.0:1", "0.0.0.0:1", false },
        { "[::1]:5", "[::1]:5", false },
    };
    char listen[ADDRESS_TEXT_MAX], wildcard[ADDRESS_TEXT_MAX];
    struct buf why;

    (void)state;
    buf_init(&why, 512);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(address_to_listen(cases[i].address, cases[i].strict, listen, &why), 0);
        assert_string_equal(listen, cases[i].listen);
    }
    assert_int_equal(address_to_listen(":9", false, wildcard, &why), 0);
    assert_int_equal(address_to_listen("0.0.0.0:9", true, listen, &why), 0);
    assert_string_equal(listen, wildcard); /* [::]:9, or 0.0.0.0:9 where there is no IPv6 */
    assert_int_equal(address_to_listen("", false, listen, &why), 0);
    assert_int_equal(address_to_listen("127.0.0.1:65536", false, listen, &why), -EINVAL);
    buf_done(&why);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(translates_units),
        cmocka_unit_test(acts_at_the_nearest_end_of_a_range),
        cmocka_unit_test(zeros_mean_what_they_meant),
        cmocka_unit_test(every_stream_fault_is_a_type),
        cmocka_unit_test(a_file_reads_back),
        cmocka_unit_test(draws_follow_from_names_alone),
        cmocka_unit_test(splits_addresses_as_go_does),
        cmocka_unit_test(listens_where_go_would),
    };

    return cmocka_run_group_tests_name("toxiproxy_toxic", tests, NULL, NULL);
}
