/* The located tree: YAML and JSON give the same one, and what a playbook may not hold is refused where it stands. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/base/buf.h"
#include "scenarios/playbook/node.h"

#include <errno.h>

static struct document parsed(const char *name, const char *text, bool is_json)
{
    struct document document;
    struct errs errs = { 0 };

    if (document_parse(&document, name, text, strlen(text), is_json, &errs) < 0) {
        errs_print(&errs, stderr);
        fail_msg("refused: %s", text);
    }
    assert_int_equal(errs.count, 0);
    return document;
}

static void expect_same(const struct node *a, const struct node *b, bool with_places)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(!a->text, !b->text);
    if (a->text)
        assert_string_equal(a->text, b->text);
    assert_int_equal(!a->key, !b->key);
    if (a->key)
        assert_string_equal(a->key, b->key);
    if (with_places) {
        assert_int_equal(a->line, b->line);
        assert_int_equal(a->column, b->column);
        assert_int_equal(a->key_line, b->key_line);
        assert_int_equal(a->key_column, b->key_column);
    }
    assert_int_equal(a->weight, b->weight);
    for (a = a->first, b = b->first; a && b; a = a->next, b = b->next)
        expect_same(a, b, with_places);
    assert_null(a);
    assert_null(b);
}

/* JSON is YAML: the same bytes through both front ends give the same tree and the same places. */
static void both_front_ends_agree(void **state)
{
    static const char *const texts[] = {
        "{\"a\": 1, \"b\": [true, false, null, \"x\"], \"c\": {}, \"d\": []}",
        "{\n  \"title\": \"na\xc3\xafve \xe2\x82\xac\", \"after\": 2,\n  \"deep\": {\"er\": [[1, [2]], -0.5e+3]}\n}\n",
        "{\r\n\"a\": 1,\r\n  \"b\": 2\r\n}\r\n",
        "[1, 2, \"three\"]",
        "\"alone\"",
        "17",
        "{\"quote\": \"a \\\"b\\\" \\\\ \\n \\u00e9\", \"next\": 5}",
        "{\"emoji \xf0\x9f\x92\xa5\": {\"x\": 1}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct document yaml = parsed("y", texts[i], false), json = parsed("j", texts[i], true);

        expect_same(yaml.root, json.root, true);
        document_done(&yaml);
        document_done(&json);
    }
}

static void block_style_gives_the_same_tree(void **state)
{
    struct document yaml = parsed("y", "a: 1\nb:\n  - true\n  - ~\n  - 'x'\n  - plain text # note\nc: {}\n", false);
    struct document json = parsed("j", "{\"a\":1,\"b\":[true,null,\"x\",\"plain text\"],\"c\":{}}", true);

    (void)state;
    assert_string_equal(yaml.root->first->next->first->next->text, "~"); /* as written; the kind is null */
    assert_int_equal(yaml.root->first->next->first->next->kind, NODE_NULL);
    ((struct node *)(uintptr_t)yaml.root->first->next->first->next)->text = "null";
    expect_same(yaml.root, json.root, false);
    document_done(&yaml);
    document_done(&json);
}

/* Every value and key is where an editor would show it. */
static void places_are_where_editors_show_them(void **state)
{
    static const char yaml_text[] = "\xef\xbb\xbf"
                                    "title: x\n"
                                    "n\xc3\xa4me: {k: v}\n"
                                    "list:\n"
                                    "  - one\r\n"
                                    "  - two\n";
    static const char json_text[] = "\xef\xbb\xbf{\n  \"n\xc3\xa4me\": {\"k\": \"v\"}\n}";
    struct document yaml = parsed("p.yaml", yaml_text, false), json = parsed("p.json", json_text, true);
    char place[ERR_WHERE_MAX];

    (void)state;
    assert_string_equal(node_key_where(&yaml, node_member(yaml.root, "n\xc3\xa4me"), place, sizeof(place)), "p.yaml:2:1");
    assert_string_equal(node_where(&yaml, node_member(yaml.root, "n\xc3\xa4me"), place, sizeof(place)), "p.yaml:2:7");
    assert_string_equal(node_where(&yaml, node_member(yaml.root, "n\xc3\xa4me")->first, place, sizeof(place)), "p.yaml:2:11");
    assert_string_equal(node_where(&yaml, node_member(yaml.root, "list")->first->next, place, sizeof(place)), "p.yaml:5:5");
    assert_string_equal(node_where(&json, node_member(json.root, "n\xc3\xa4me"), place, sizeof(place)), "p.json:2:11");
    assert_string_equal(node_where(&json, node_member(json.root, "n\xc3\xa4me")->first, place, sizeof(place)), "p.json:2:17");
    document_done(&yaml);
    document_done(&json);
}

static void types_are_those_of_json(void **state)
{
    static const struct {
        const char *text;
        enum node_kind kind;
    } rows[] = {
        { "1", NODE_NUMBER },     { "-1.5e-3", NODE_NUMBER }, { "0", NODE_NUMBER },   { "01", NODE_TEXT },       { "0x10", NODE_TEXT },
        { "1_000", NODE_TEXT },   { "12:30:00", NODE_TEXT },  { ".5", NODE_TEXT },    { "1.", NODE_TEXT },       { "+1", NODE_TEXT },
        { "1e", NODE_TEXT },      { "true", NODE_BOOL },      { "false", NODE_BOOL }, { "True", NODE_TEXT },     { "yes", NODE_TEXT },
        { "no", NODE_TEXT },      { "on", NODE_TEXT },        { "null", NODE_NULL },  { "~", NODE_NULL },        { "Null", NODE_TEXT },
        { "\"1\"", NODE_TEXT },   { "'true'", NODE_TEXT },    { "250ms", NODE_TEXT }, { "2026-01-01", NODE_TEXT }, { ".inf", NODE_TEXT },
        { "\"null\"", NODE_TEXT }, { "5%", NODE_TEXT },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[64];
        struct document document;

        snprintf(text, sizeof(text), "k: %s\n", rows[i].text);
        document = parsed("t", text, false);
        if (document.root->first->kind != rows[i].kind)
            fail_msg("%s is %s", rows[i].text, node_kind_name(document.root->first->kind));
        document_done(&document);
    }
}

static void aliases_share_what_they_name(void **state)
{
    struct document document = parsed("a", "x: &one {p: 1, q: [1, 2]}\ny: *one\nz: &s text\nw: *s\n&k key: v\n", false);
    const struct node *copy = node_member(document.root, "y");

    (void)state;
    assert_int_equal(copy->kind, NODE_MAP);
    assert_string_equal(node_member(copy, "p")->text, "1");
    assert_int_equal(copy->weight, node_member(document.root, "x")->weight);
    assert_string_equal(node_member(document.root, "w")->text, "text");
    assert_string_equal(node_member(document.root, "key")->text, "v");
    document_done(&document);
}

struct refusal {
    bool is_json;
    const char *text, *where, *says;
};

static void expect_refusal(const struct refusal *row, size_t length)
{
    struct document document;
    struct errs errs = { 0 };

    if (document_parse(&document, "f", row->text, length, row->is_json, &errs) != -EINVAL)
        fail_msg("was taken: %s", row->text);
    expect_finding(&errs, row->where, row->says, row->text);
    document_done(&document);
}

static void what_may_not_be_is_refused_where_it_stands(void **state)
{
    static const struct refusal rows[] = {
        { false, "a: 1\nb: 2\na: 3\n", "f:3:1", "key 'a' is given twice; first at line 1" },
        { true, "{\"a\": 1,\n \"a\": 2}", "f:2:2", "key 'a' is given twice; first at line 1" },
        { true, "{\"a\": {\"b\": 1, \"b\": 1}}", "f:1:16", "key 'b' is given twice" },
        { false, "a: !!str 1\n", "f:1:4", "tags are not allowed: tag:yaml.org,2002:str" },
        { false, "a: !local {}\n", "f:1:4", "tags are not allowed: !local" },
        { false, "a: *nobody\n", "f:1:4", "unknown alias: nobody" },
        { false, "a: &x [1, *x]\n", "f:1:11", "an alias inside its own anchor: x" },
        { false, "a: 1\n---\nb: 2\n", "f:2:1", "a second document starts here" },
        { false, "? [a]\n: 1\n", "f:1:", "a map key must be plain text" },
        { false, "a: [1, 2\n", NULL, "not YAML" },
        { false, "a: 1\n b: 2\n", "f:2:3", "not YAML" },
        { false, "a:\n\t- 1\n", "f:2:1", "not YAML" },
        { false, "a: \"\\0\"\n", "f:1:4", "cannot hold the character NUL" },
        { false, "a: \"x\\0y\"\n", "f:1:4", "cannot hold the character NUL" },
        { false, "\"a\\0\": 1\n", "f:1:1", "cannot hold the character NUL" },
        { true, "{\"a\": \"x\\u0000y\"}", "f:1:", "cannot hold the character NUL" },
        { true, "{\"a\\u0000\": 1}", "f:1:", "cannot hold the character NUL" },
        { false, "a: x\xff\n", "f:1:5", "not UTF-8" },
        { true, "{\"a\":\n \"\xc3\"}", "f:2:3", "not UTF-8" },
        { false, "n\xc3\xa4: \xed\xa0\x80", "f:1:5", "not UTF-8" },
        { false, "a: 1\nb: \x01\n", "f:2:4", "not YAML: control characters are not allowed" },
        { false, "", "f", "the file is empty" },
        { false, "# only a remark\n", "f", "the file is empty" },
        { true, "", "f:1:1", "not JSON: the file ends too early" },
        { true, "{\"a\": 1", "f:1:8", "ends too early" },
        { true, "{\"a\": 1,}", "f:1:9", "not JSON: found '}'" },
        { true, "{\"a\" 1}", "f:1:6", "not JSON: found '1}'" },
        { true, "{a: 1}", "f:1:2", "not JSON: found 'a: 1}'" },
        { true, "{,}", "f:1:2", "not JSON: found ',}'" },
        { true, "[1,\n]", "f:2:1", "not JSON: found ']'" },
        { true, "{\"a\": 1,\n}", "f:2:1", "not JSON: found '}'" },
        { true, "{} x", "f:1:4", "not JSON: found 'x'" },
        { true, "{\"a\": 1}\n// no", "f:2:1", "not JSON" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct refusal row = rows[i];
        size_t length = strlen(row.where ? row.where : "");

        if (length && row.where[length - 1] == ':')
            row.where = NULL; /* the line is promised, the column is the library's */
        expect_refusal(&row, strlen(row.text));
    }
    expect_refusal(&(struct refusal){ false, "a: 1\nb\0: 2\n", "f:2:2", "NUL byte" }, 11);
    expect_refusal(&(struct refusal){ true, "{\"a\":\0 1}", "f:1:6", "NUL byte" }, 9);
}

static void put_many(struct buf *out, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++)
        assert_int_equal(buf_puts(out, text), 0);
}

static void depth_is_bounded(void **state)
{
    static const size_t depths[] = { NODE_DEPTH_MAX + 1, 500, 900, 5000 };

    (void)state;
    for (int is_json = 0; is_json <= 1; is_json++) {
        struct document document;
        struct buf text;

        for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
            struct refusal row = { is_json, NULL, NULL, depths[i] < 1000 ? "nested too deeply" : "" };

            buf_init(&text, 1 << 20);
            put_many(&text, "[", depths[i] + 1);
            put_many(&text, "]", depths[i] + 1);
            row.text = text.data;
            expect_refusal(&row, text.length);
            buf_done(&text);
        }
        buf_init(&text, 1 << 20);
        put_many(&text, "[", NODE_DEPTH_MAX - 1);
        put_many(&text, "]", NODE_DEPTH_MAX - 1);
        document = parsed("d", text.data, is_json);
        document_done(&document);
        buf_done(&text);
    }
}

/* Ten to the power of ten values from a kilobyte. */
static void alias_bombs_do_not_go_off(void **state)
{
    struct refusal row = { false, NULL, NULL, "the document grows beyond 20000 values" };
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    buf_puts(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 10; i++) {
        buf_printf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            buf_printf(&text, "%s*a%d", j ? ", " : "", i - 1);
        buf_puts(&text, "]\n");
    }
    row.text = text.data;
    expect_refusal(&row, text.length);
    buf_done(&text);
}

static void too_many_values_end_the_reading(void **state)
{
    (void)state;
    for (int is_json = 0; is_json <= 1; is_json++)
        for (int is_map = 0; is_map <= 1; is_map++) {
            struct refusal row = { is_json, NULL, NULL, "the document grows beyond 20000 values" };
            struct buf text;

            buf_init(&text, 4 << 20);
            buf_puts(&text, is_map ? "{\"first\": 0" : "[0");
            for (int i = 0; i < 100000; i++)
                buf_printf(&text, is_map ? ", \"k%d\": 1" : ", %d", i);
            buf_puts(&text, is_map ? "}" : "]");
            row.text = text.data;
            expect_refusal(&row, text.length);
            buf_done(&text);
        }
}

/* Cut or changed at random, a text is read or refused with at least one finding; never anything else. */
static void noise_is_survived(void **state)
{
    static const char text[] = "perturb: 1\ntitle: \"a \\u00e9 b\"\nlist: [1, {a: &x y}, *x]\nmap:\n  - k: 'v'\n    l: |\n      block\n";
    static const char json[] = "{\"perturb\": 1, \"title\": \"a \\u00e9 \\\" b\", \"list\": [1, {\"a\": null}, true], \"map\": {\"k\": -1.5e3}}";
    struct cases cases = cases_begin("noise");

    (void)state;
    for (int n = 0; n < 20000; n++) {
        bool is_json = cases_below(&cases, 2);
        const char *source = is_json ? json : text;
        size_t length = strlen(source);
        char changed[256];
        struct document document;
        static struct errs errs;
        int result;

        errs.count = errs.dropped = 0;
        memcpy(changed, source, length);
        for (uint64_t flips = cases_below(&cases, 4); flips; flips--)
            changed[cases_below(&cases, length)] = (char)cases_draw(&cases);
        if (cases_below(&cases, 2))
            length = cases_below(&cases, length);
        result = document_parse(&document, "noise", changed, length, is_json, &errs);
        assert_int_equal(result < 0, errs.count > 0);
        assert_true(result == 0 || result == -EINVAL);
        document_done(&document);
    }
}

static void files_that_cannot_be_read_are_told(void **state)
{
    struct document document;
    struct errs errs = { 0 };

    (void)state;
    assert_int_equal(document_read(&document, "/nonexistent/p.yaml", &errs), -EINVAL);
    expect_finding(&errs, "/nonexistent/p.yaml", "cannot be read: No such file", "a missing file");
    document_done(&document);
    assert_int_equal(document_read(&document, "/", &errs), -EINVAL);
    expect_finding(&errs, "/", "cannot be read: Is a directory", "a directory");
    document_done(&document);
    assert_int_equal(document_read(&document, "/dev/zero", &errs), -EINVAL);
    expect_finding(&errs, "/dev/zero", "larger than 4 MiB", "an endless file");
    document_done(&document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_front_ends_agree),
        cmocka_unit_test(block_style_gives_the_same_tree),
        cmocka_unit_test(places_are_where_editors_show_them),
        cmocka_unit_test(types_are_those_of_json),
        cmocka_unit_test(aliases_share_what_they_name),
        cmocka_unit_test(what_may_not_be_is_refused_where_it_stands),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(alias_bombs_do_not_go_off),
        cmocka_unit_test(too_many_values_end_the_reading),
        cmocka_unit_test(noise_is_survived),
        cmocka_unit_test(files_that_cannot_be_read_are_told),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
