/* Lists of fault points in programs' own code. */
#include "controller/cmd/code_points.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    const struct page_code *one = a, *other = b;
    int order = strcmp(one->name, other->name);

    order = order ? order : strcmp(one->file, other->file);
    return order ? order : (one->line > other->line) - (one->line < other->line);
}

/* What comes from a target's memory: a name may hold anything. */
static void put_plain(const char *text)
{
    for (; *text; text++)
        putchar(*text < ' ' || *text > '~' ? '?' : *text);
}

static void put_point(const char *name, const char *file, uint32_t line, bool gives_error)
{
    printf("  point ");
    put_plain(name);
    printf("  ");
    put_plain(file);
    printf(":%" PRIu32 "%s", line, gives_error ? "" : "  (takes no errno)");
}

void code_points_of_page(const struct page *page)
{
    static struct page_code list[CONTROL_CODE_MAX];
    size_t count = page_codes(page, list, CONTROL_CODE_MAX);

    qsort(list, count, sizeof(list[0]), by_name);
    for (size_t i = 0; i < count; i++) {
        put_point(list[i].name, list[i].file, list[i].line, list[i].gives_error);
        printf("  %" PRIu64 " hits while armed\n", list[i].hits);
    }
}

void code_points_of_program(struct inspection *inspection)
{
    const char *why = inspect_unreachable(inspection);

    if (!inspection->code_count)
        return;
    printf("\npoints in its own code: %zu, which %s%s\n", inspection->code_count, why ? "cannot act: " : "can act (@code)", why ? why : "");
    for (size_t i = 0; i < inspection->code_count; i++) {
        const struct inspected_code *code = &inspection->codes[i];

        put_point(code->name, code->file, code->line, code->gives_error);
        printf("\n");
    }
}
