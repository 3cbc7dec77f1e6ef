/* A fault as one line: parsing is the inverse of printing for every fault, and what is wrong is refused, with its column. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/playbook/spec.h"
#include "scenarios/playbook/value.h"

#include <errno.h>
#include <inttypes.h>

#define ALL_LAYERS (BIT(LAYER_STREAM) | BIT(LAYER_CALL) | BIT(LAYER_HOST))

/* ---- parse after print --------------------------------------------------------------------------------------------------- */

static int64_t random_in(struct cases *cases, int64_t minimum, int64_t maximum)
{
    int64_t value = minimum + cases_magnitude(cases) % (maximum - minimum == INT64_MAX ? INT64_MAX : maximum - minimum + 1);

    return value < minimum ? minimum : value;
}

static const char *random_text(struct cases *cases)
{
    static const char *const texts[] = { "/var/lib/*", "a,b", "say \"hi\"", "it's", "both ' and \"", ",", "x=y", "with space", "to_client",
                                         "a:b", "\"'\"'", "@", "n\xc3\xb6" };

    return texts[cases_below(cases, ARRAY_SIZE(texts))];
}

static const char *random_address(struct cases *cases)
{
    static const char *const texts[] = { "10.0.0.0/8", "127.0.0.1:80-90", ":6379", "::1", "[2001:db8::/33]:443" };

    return texts[cases_below(cases, ARRAY_SIZE(texts))];
}

static void set_or_fail(struct fault_spec *spec, const char *key, enum operator_bits op, const char *value)
{
    struct errs errs = { 0 };

    if (fault_set(spec, key, op, value, "here", &errs) < 0) {
        errs_print(&errs, stderr);
        fail_msg("%s.%s refuses %s '%s'", layer_names[fault_descs[spec->rule.fault].layer], fault_descs[spec->rule.fault].name, key, value);
    }
}

static void set_random_selector(struct cases *cases, struct fault_spec *spec, enum selector_id id)
{
    const struct selector_desc *desc = &selector_descs[id];
    enum operator_bits op = desc->operators & OP_NE && cases_below(cases, 2) ? OP_NE : OP_EQ;
    char text[64];

    if (id == SELECTOR_peer || id == SELECTOR_client) {
        set_or_fail(spec, desc->name, op, random_address(cases));
    } else if (id == SELECTOR_direction) {
        set_or_fail(spec, desc->name, op, cases_below(cases, 2) ? "to_client" : "to_upstream");
    } else if (desc->unit == UNIT_TEXT) {
        set_or_fail(spec, desc->name, op, random_text(cases));
    } else if (id == SELECTOR_size && cases_below(cases, 2)) {
        set_or_fail(spec, desc->name, OP_GE, "1kB");
        set_or_fail(spec, desc->name, OP_LE, "1MiB");
    } else {
        int64_t low = desc->minimum > 1 ? desc->minimum : 1;

        unit_print(desc->unit, random_in(cases, low, desc->maximum), text, sizeof(text));
        set_or_fail(spec, desc->name, op, text);
    }
}

/* Draws parameters and selectors (a parameter of the same name hides the selector); pairs that contradict each other are left to the caller's fault_spec_finish. */
static void set_random_keys(struct cases *cases, struct fault_spec *spec)
{
    const struct fault_desc *fault = &fault_descs[spec->rule.fault];
    char text[64];

    for (size_t i = 0; i < fault->param_count; i++) {
        const struct param_desc *param = &fault->params[i];
        int64_t value = random_in(cases, param->minimum, param_maximum(param));

        if (!param->required && cases_below(cases, 2))
            continue;
        if (param->unit == UNIT_ERRNO && cases_below(cases, 2)) {
            static const char *const lists[] = { "any", "EIO+ENOSPC", "EIO:3+EINTR", "EAGAIN:65535+EPIPE:2+ENOMEM+EMFILE" };

            set_or_fail(spec, param->name, OP_EQ, lists[cases_below(cases, ARRAY_SIZE(lists))]);
            continue;
        }
        while (param->unit == UNIT_ERRNO && !strerrorname_np((int)value))
            value = 1 + (int64_t)cases_below(cases, 130);
        set_or_fail(spec, param->name, OP_EQ, value_print(param->unit, param->words, value, text, sizeof(text)));
    }
    for (size_t id = 0; id < SELECTOR_COUNT; id++)
        if (fault->selectors & BIT(id) && !fault_param(fault, selector_descs[id].name) && id != SELECTOR_after && id != SELECTOR_once &&
            !cases_below(cases, 3))
            set_random_selector(cases, spec, (enum selector_id)id);
    if (!cases_below(cases, 3))
        set_or_fail(spec, "name", OP_EQ, random_text(cases));
    if (!cases_below(cases, 3))
        set_or_fail(spec, fault->layer == LAYER_STREAM ? "proxy" : "target", OP_EQ, random_text(cases));
    if ((fault->layer == LAYER_STREAM || fault_places[fault->id] & ACTS_ON_OTHER) && !cases_below(cases, 3))
        set_or_fail(spec, "to", OP_EQ, "127.0.0.1:6379");
}

static void put_at_random_point(struct cases *cases, struct fault_spec *spec)
{
    size_t point = cases_below(cases, POINT_COUNT);
    struct errs errs = { 0 };

    if (fault_points[spec->rule.fault] & BIT(point))
        assert_int_equal(fault_spec_point(spec, point_descs[point].name, "here", &errs), 0);
}

static void parsing_is_the_inverse_of_printing(void **state)
{
    struct cases cases = cases_begin("specs");
    int compared = 0;

    (void)state;
    for (int n = 0; n < 400; n++)
        for (size_t id = 0; id < FAULT_COUNT; id++) {
            static struct fault_spec spec, back;
            static struct errs errs;
            char line[2048], again[2048];

            errs = (struct errs){ 0 };
            assert_non_null(fault_spec_begin(&spec, fault_descs[id].name, BIT(fault_descs[id].layer), "here", &errs));
            put_at_random_point(&cases, &spec);
            set_random_keys(&cases, &spec);
            if (fault_spec_finish(&spec, "here", &errs) < 0)
                continue;
            assert_int_equal(fault_spec_print(&spec, line, sizeof(line)), 0);
            if (fault_spec_parse(line, BIT(fault_descs[id].layer), "-f", &back, &errs) < 0) {
                errs_print(&errs, stderr);
                fail_msg("its own line is refused: %s", line);
            }
            assert_int_equal(fault_spec_print(&back, again, sizeof(again)), 0);
            assert_string_equal(again, line);
            if (memcmp(&back.rule, &spec.rule, sizeof(spec.rule)) != 0 || strcmp(back.to, spec.to) != 0)
                fail_msg("another rule came back: %s", line);
            compared++;
        }
    assert_true(compared > 100 * FAULT_COUNT);
}

/* ---- every parameter, its bounds and one beyond -------------------------------------------------------------------------- */

static int try_param(const struct fault_desc *fault, const struct param_desc *param, int64_t value, struct errs *errs)
{
    struct fault_spec spec;
    char text[64];

    *errs = (struct errs){ 0 };
    assert_non_null(fault_spec_begin(&spec, fault->name, BIT(fault->layer), "here", errs));
    unit_print(param->unit, value, text, sizeof(text));
    return fault_set(&spec, param->name, OP_EQ, text, "here", errs);
}

static void each_parameter_has_its_bounds(void **state)
{
    static struct errs errs;

    (void)state;
    for (size_t id = 0; id < FAULT_COUNT; id++)
        for (size_t i = 0; i < fault_descs[id].param_count; i++) {
            const struct fault_desc *fault = &fault_descs[id];
            const struct param_desc *param = &fault->params[i];

            if (param->unit == UNIT_ENUM || param->unit == UNIT_ERRNO || param->unit == UNIT_BOOL || param->unit == UNIT_IPV4)
                continue;
            assert_int_equal(try_param(fault, param, param->minimum, &errs), 0);
            assert_int_equal(try_param(fault, param, param->maximum, &errs), 0);
            assert_int_equal(try_param(fault, param, param->maximum + 1, &errs), -EINVAL);
            expect_finding(&errs, "here", "is above the maximum of", param->name);
            expect_finding(&errs, "here", param->name, param->name);
            if (param->minimum > 0) {
                assert_int_equal(try_param(fault, param, param->minimum - 1, &errs), -EINVAL);
                expect_finding(&errs, "here", "is below the minimum of", param->name);
            }
        }
}

static void words_are_taken_and_others_listed(void **state)
{
    (void)state;
    for (size_t id = 0; id < FAULT_COUNT; id++)
        for (size_t i = 0; i < fault_descs[id].param_count; i++) {
            const struct param_desc *param = &fault_descs[id].params[i];
            struct errs errs = { 0 };
            struct fault_spec spec;
            char word[32];

            if (!param->words)
                continue;
            for (int64_t index = 0; index <= param_maximum(param); index++) {
                assert_non_null(fault_spec_begin(&spec, fault_descs[id].name, BIT(fault_descs[id].layer), "here", &errs));
                set_or_fail(&spec, param->name, OP_EQ, words_at(param->words, index, word, sizeof(word)));
                assert_true(spec.rule.params.slot[param->slot] == index);
            }
            assert_non_null(fault_spec_begin(&spec, fault_descs[id].name, BIT(fault_descs[id].layer), "here", &errs));
            assert_int_equal(fault_set(&spec, param->name, OP_EQ, "nonsense", "here", &errs), -EINVAL);
            expect_finding(&errs, "here", param->words, param->name);
        }
}

/* ---- what it says ------------------------------------------------------------------------------------------------------- */

static struct fault_spec parsed(const char *line, uint64_t layers)
{
    struct errs errs = { 0 };
    struct fault_spec spec;

    if (fault_spec_parse(line, layers, "-f", &spec, &errs) < 0) {
        errs_print(&errs, stderr);
        fail_msg("'%s' is refused", line);
    }
    return spec;
}

static void lines_mean_what_they_say(void **state)
{
    struct fault_spec spec = parsed("latency@connect:200ms,peer=10.0.0.0/8", ALL_LAYERS);

    (void)state;
    assert_int_equal(spec.rule.fault, FAULT_CALL_latency);
    assert_true(spec.rule.points == POINT_BIT(connect));
    assert_true(spec.rule.params.CALL_latency.latency == 200000000);
    assert_true(spec.rule.selector.peer.present && !spec.rule.selector.peer.negate);
    spec = parsed("alloc_fail:1%,size>=1MiB", BIT(LAYER_CALL));
    assert_int_equal(spec.rule.selector.probability_ppm, 10000);
    assert_true(spec.rule.selector.size_min == 1048576 && spec.rule.selector.size_max == UINT64_MAX);
    spec = parsed("fail@write:ENOSPC,path=\"/var/lib/x,y\",after=100", BIT(LAYER_CALL));
    assert_int_equal(spec.rule.params.CALL_fail.error, ENOSPC);
    assert_string_equal(spec.rule.selector.path, "/var/lib/x,y");
    assert_int_equal(spec.rule.selector.first, 101);
    spec = parsed("latency:300ms,to=:6379", BIT(LAYER_CALL) | BIT(LAYER_STREAM));
    assert_int_equal(spec.rule.fault, FAULT_STREAM_latency);
    assert_string_equal(spec.to, ":6379");
    spec = parsed("latency:300ms", BIT(LAYER_CALL) | BIT(LAYER_STREAM));
    assert_int_equal(spec.rule.fault, FAULT_CALL_latency);
    spec = parsed("fail@read:EIO,path=/a,thread!=main,once=true,p=50%", BIT(LAYER_CALL));
    assert_true(spec.rule.selector.thread_negate && spec.rule.selector.budget == 1 && spec.rule.selector.probability_ppm == 500000);
    spec = parsed("blackhole:direction=to_client,client!=127.0.0.1", BIT(LAYER_STREAM));
    assert_true(spec.rule.selector.direction == DIRECTION_TO_CLIENT && spec.rule.selector.client.negate);
    parsed("pause", BIT(LAYER_HOST));
    parsed("stream.latency:5ms", BIT(LAYER_STREAM));
}

static const struct {
    const char *line, *where, *says;
} wrong_lines[] = {
    { "", "-f:1", "unknown fault ''" },
    { "latancy:5ms", "-f:1", "did you mean latency?" },
    { "nosuchfault", "-f:1", "`perturb faults` lists them" },
    { ":5ms", "-f:1", "unknown fault ''" },
    { "latency@nowhere:5ms", "-f:9", "cannot be put at 'nowhere'; its points are open read" },
    { "latency@:5ms", "-f:9", "cannot be put at ''" },
    { "latency@lock:5ms", "-f:9", "cannot be put at 'lock'" },
    { "kill@read", "-f:6", "it has no points" },
    { "latency@averyveryverylongpointnamethatdoesnotfitanywhere", "-f:9", "cannot be put at" },
    { "latency:5", "-f:9", "expected a duration such as 250ms" },
    { "latency:5parsec", "-f:9", "found '5parsec'" },
    { "latency:-5ms", "-f:9", "expected a duration" },
    { "latency:601s", "-f:9", "is above the maximum of 10m" },
    { "latency:99999999999999999999ms", "-f:9", "too large" },
    { "latency:5ms,", "-f:9", "the line ends in ','" },
    { "latency:,5ms", "-f:9", "an item is empty" },
    { "latency:5ms,,p=1%", "-f:13", "an item is empty" },
    { "latency:5ms,7ms", "-f:13", "expected KEY=VALUE" },
    { "latency:latency=5ms,7ms", "-f:21", "expected KEY=VALUE" },
    { "latency:5ms,latency=6ms", "-f:13", "latency is given twice" },
    { "latency:5ms,nth=2,nth=3", "-f:19", "nth is given twice" },
    { "latency:5ms,p=1%,probability=2%", "-f:18", "probability is given twice" },
    { "alloc_fail:1%,size>=1kB,size>=2kB", "-f:25", "size is given twice" },
    { "alloc_fail:1%,size=1kB,size<=2kB,size=3", "-f:24", "size is given twice" },
    { "latency:5ms,jiter=1ms", "-f:13", "did you mean jitter?" },
    { "latency:5ms,colour=red", "-f:13", "has no 'colour'; `perturb faults latency`" },
    { "latency:5ms,=3", "-f:13", "found '3', expected KEY=VALUE" },
    { "latency:5ms,direction=to_client", "-f:13", "takes no 'direction'" },
    { "alloc_fail:1%,path=/x", "-f:15", "takes no 'path'" },
    { "alloc_fail:101%", "-f:12", "is above the maximum of 100%" },
    { "alloc_fail:p>=1%", "-f:12", "this comparison is not one it has" },
    { "latency:latency>=5ms", "-f:9", "only '=' sets a parameter" },
    { "latency:5ms,nth=0", "-f:13", "below the minimum of 1" },
    { "latency:5ms,first=0", "-f:13", "below the minimum of 1" },
    { "latency:5ms,nth=1.5", "-f:13", "expected a whole number" },
    { "latency:5ms,once=maybe", "-f:13", "expected true or false" },
    { "latency:5ms,fd=-1", "-f:13", "below the minimum" },
    { "latency:5ms,peer=localhost", "-f:13", "'localhost' is no address" },
    { "latency:5ms,peer=10.0.0.0/40", "-f:13", "is no address" },
    { "latency:5ms,peer>=1.2.3.4", "-f:13", "this comparison" },
    { "fail:EWHAT", "-f:6", "is no errno name" },
    { "fail:ENOSPCC", "-f:6", "did you mean ENOSPC?" },
    { "fail:5", "-f:6", "is no errno name" },
    { "fail:EIO,path=\"/a", "-f:10", "the quote \" is not closed" },
    { "fail:EIO,path='/a", "-f:10", "the quote ' is not closed" },
    { "fail:EIO,thread=a-name-of-more-than-fifteen-bytes", "-f:10", "longer than 15 bytes" },
    { "clock:-", "-f:7", "expected a shift of time such as -90s" },
    { "clock:1h,p=5%", "-f:10", "takes no 'probability'" },
    { "clock:1h,rate=-1", "-f:10", "expected a ratio" },
    { "clock:36501d", "-f:7", "is above the maximum" },
    { "dns_fail:wrong,address=localhost", "-f:16", "expected an IPv4 address" },
    { "dns_fail:wrong,address=1.2.3.4.5", "-f:16", "expected an IPv4 address" },
    { "short_io@read:1,label=wal.*", "-f:17", "takes no 'label'" },
    { "fail@read:EIO,label=wal.*", "-f", "they are @code" },
    { "fail:EIO,host=a", "-f:10", "takes no 'host'" },
    { "kill:signal=STOP", "-f:6", "is none of: KILL TERM ABRT SEGV" },
    { "kill:KILL,nth=2", "-f:11", "takes no 'nth'" },
    { "pause:5s", "-f:7", "found '5s', expected KEY=VALUE" },
    { "bandwidth:to=:80", "-f", "needs 'rate', a rate such as 1MB/s" },
    { "bandwidth:0B/s,to=:80", "-f:11", "below the minimum of 1B/s" },
    { "bandwidth:1MB,to=:80", "-f:11", "expected a rate" },
    { "slicer:64,direction=up,to=:80", "-f:11", "is none of: to_upstream to_client both" },
    { "limit_data:5,close=maybe,to=:80", "-f:14", "is none of: fin rst" },
    { "fail:EIO,first=9,last=3", "-f", "last comes before first" },
    { "fail:EIO,first=9,after=3", "-f", "first and after say the same thing" },
    { "fail:EIO,once=true,budget=3", "-f", "once is a budget of 1" },
    { "fail:EIO,from=9s,until=3s", "-f", "until comes before from" },
    { "alloc_fail:1%,size>=2kB,size<=1kB", "-f", "no size lies in that range" },
    { "call.blackhole", "-f:1", "unknown fault 'call.blackhole'" },
    { "hosst.kill", "-f:1", "unknown fault" },
};

static void wrong_lines_are_refused_with_their_column(void **state)
{
    char longer[700];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong_lines); i++) {
        struct fault_spec spec = { .to = "untouched" };
        struct errs errs = { 0 };

        if (fault_spec_parse(wrong_lines[i].line, ALL_LAYERS, "-f", &spec, &errs) == 0)
            fail_msg("'%s' was taken", wrong_lines[i].line);
        expect_finding(&errs, wrong_lines[i].where, wrong_lines[i].says, wrong_lines[i].line);
        assert_string_equal(spec.to, "untouched");
    }
    memset(longer, 'x', sizeof(longer));
    memcpy(longer, "fail:EIO,path=", 14);
    longer[sizeof(longer) - 1] = '\0';
    for (size_t length = 270; length < sizeof(longer); length += 100) {
        struct fault_spec spec;
        struct errs errs = { 0 };

        assert_int_equal(fault_spec_parse(longer + sizeof(longer) - 1 - length, ALL_LAYERS, "-f", &spec, &errs), -EINVAL);
    }
    {
        struct fault_spec spec;
        struct errs errs = { 0 };

        assert_int_equal(fault_spec_parse(longer, ALL_LAYERS, "-f", &spec, &errs), -EINVAL);
        expect_finding(&errs, "-f:10", "longer than 255 bytes", longer);
    }
}

static void all_errors_of_a_line_are_told(void **state)
{
    struct fault_spec spec;
    struct errs errs = { 0 };

    (void)state;
    assert_int_equal(fault_spec_parse("latency:5,jiter=1ms,nth=0,p=200%", BIT(LAYER_CALL), "-f", &spec, &errs), -EINVAL);
    assert_int_equal(errs.count, 4);
}

/* Noise neither crashes nor is taken for a rule that a plan would refuse. */
static void noise_is_survived(void **state)
{
    static const char letters[] = "latencyfilp@:,=!<>\"'0123456789%msKMiB./*[]-";
    struct cases cases = cases_begin("noise");

    (void)state;
    for (int n = 0; n < 30000; n++) {
        char line[96] = "fail:";
        size_t length = cases_below(&cases, sizeof(line) - 6);
        struct fault_spec spec;
        static struct errs errs;

        errs.count = errs.dropped = 0;
        for (size_t i = 0; i < length; i++)
            line[5 + i] = letters[cases_below(&cases, sizeof(letters) - 1)];
        line[5 + length] = '\0';
        if (fault_spec_parse(line + cases_below(&cases, 6), ALL_LAYERS, "-f", &spec, &errs) < 0)
            assert_true(errs.count > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsing_is_the_inverse_of_printing),
        cmocka_unit_test(each_parameter_has_its_bounds),
        cmocka_unit_test(words_are_taken_and_others_listed),
        cmocka_unit_test(lines_mean_what_they_say),
        cmocka_unit_test(wrong_lines_are_refused_with_their_column),
        cmocka_unit_test(all_errors_of_a_line_are_told),
        cmocka_unit_test(noise_is_survived),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
