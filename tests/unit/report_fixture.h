/* Result documents of tests/golden/report and what the report tests do with them. Tests run from the top of the tree.
 * PERTURB_GOLDEN_UPDATE=1 rewrites the golden files: read the difference before you believe it. */
#ifndef PERTURB_TESTS_REPORT_FIXTURE_H
#define PERTURB_TESTS_REPORT_FIXTURE_H

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "tests/support/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE_DIRECTORY "tests/golden/report/"

static const char *const fixture_names[] = { "converged", "metastable", "indeterminate", "undo-not-proven", "hostile", "full" };

static inline void fixture_read_file(const char *name, const char *ending, struct buf *ret_text)
{
    char path[160];
    int result;

    snprintf(path, sizeof(path), FIXTURE_DIRECTORY "%s%s", name, ending);
    buf_init(ret_text, 16 << 20);
    result = buf_read_file(ret_text, path);
    if (result < 0)
        fail_msg("%s: %s (run the tests from the top of the tree; PERTURB_GOLDEN_UPDATE=1 writes missing golden files)", path,
                 strerror(-result));
}

static inline cJSON *fixture_document(const char *name)
{
    struct buf text;
    cJSON *document;

    fixture_read_file(name, ".json", &text);
    document = cJSON_ParseWithLength(text.data, text.length);
    buf_done(&text);
    assert_non_null(document);
    return document;
}

/* Compares with tests/golden/report/NAME ENDING, or writes it. */
static inline void fixture_compare(const char *name, const char *ending, const char *text)
{
    char path[160];
    struct buf golden;
    size_t line = 1;
    FILE *out;

    snprintf(path, sizeof(path), FIXTURE_DIRECTORY "%s%s", name, ending);
    if (getenv("PERTURB_GOLDEN_UPDATE")) {
        out = fopen(path, "we");
        assert_non_null(out);
        assert_true(fputs(text, out) >= 0);
        assert_int_equal(fclose(out), 0);
        return;
    }
    fixture_read_file(name, ending, &golden);
    for (size_t i = 0;; i++) {
        if (golden.data[i] != text[i])
            fail_msg("%s differs at line %zu, byte %zu: \"%.60s\" instead of \"%.60s\"", path, line, i, text + i,
                     golden.data + i);
        if (!text[i])
            break;
        line += text[i] == '\n';
    }
    buf_done(&golden);
}

/* Renders the document with every value in turn missing, null, a text, a number out of all bounds, an empty list and an empty
 * object: none may crash it. Values are changed in place and put back; of a list the first three entries are tried. */
static inline void fixture_mutate(const cJSON *root, const cJSON *parent, void (*render)(const cJSON *root))
{
    static char gone[] = "gone", text[] = "x";
    int index = 0;

    for (cJSON *node = parent->child; node && (cJSON_IsObject(parent) || index < 3); node = node->next, index++) {
        const cJSON saved = *node;
        const cJSON stand_ins[] = {
            { .type = cJSON_NULL, .string = saved.string },
            { .type = cJSON_String, .valuestring = text, .string = saved.string },
            { .type = cJSON_Number, .valuedouble = -1e300, .string = saved.string },
            { .type = cJSON_Array, .string = saved.string },
            { .type = cJSON_Object, .string = saved.string },
            { .type = saved.type,
              .valuestring = saved.valuestring,
              .valuedouble = saved.valuedouble,
              .child = saved.child,
              .string = gone },
        };

        for (size_t i = 0; i < slice_of(ARRAY_SIZE(stand_ins)); i++) {
            *node = stand_ins[i];
            node->next = saved.next;
            node->prev = saved.prev;
            render(root);
        }
        *node = saved;
        fixture_mutate(root, node, render);
    }
}

#endif
