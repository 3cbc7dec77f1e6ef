/* Findings and the nearest valid name. Control plane only. */
#include "scenarios/base/err.h"
#include "scenarios/base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/param.h>

static int class_errno(enum err_class class)
{
    switch (class) {
    case ERR_USAGE:
    case ERR_INPUT:
        return -EINVAL;
    case ERR_WORLD:
        return -EIO;
    case ERR_INTERNAL:
        return -ENOTRECOVERABLE;
    }
    return -ENOTRECOVERABLE;
}

static void __attribute__((format(printf, 4, 0))) fill(struct err *err, enum err_class class, const char *where, const char *format, va_list args)
{
    err->class = class;
    snprintf(err->where, sizeof(err->where), "%s", where ? where : "");
    vsnprintf(err->text, sizeof(err->text), format, args);
    utf8_make_showable(err->where);
    utf8_make_showable(err->text);
}

int errs_add(struct errs *errs, enum err_class class, const char *where, const char *format, ...)
{
    va_list args;

    if (errs->count == ERRS_MAX) {
        errs->dropped++;
        return class_errno(class);
    }
    va_start(args, format);
    fill(&errs->list[errs->count++], class, where, format, args);
    va_end(args);
    return class_errno(class);
}

void errs_warn(struct errs *errs, const char *where, const char *format, ...)
{
    va_list args;

    if (errs->warning_count == WARNINGS_MAX)
        return;
    va_start(args, format);
    fill(&errs->warnings[errs->warning_count++], 0, where, format, args);
    va_end(args);
}

void errs_print_warnings(struct errs *errs, FILE *out)
{
    for (size_t i = 0; i < errs->warning_count; i++) {
        const struct err *err = &errs->warnings[i];

        fprintf(out, "perturb: warning: %s%s%s\n", err->where, err->where[0] ? ": " : "", err->text);
    }
    errs->warning_count = 0;
}

void errs_print(const struct errs *errs, FILE *out)
{
    for (size_t i = 0; i < errs->count; i++) {
        const struct err *err = &errs->list[i];

        fprintf(out, "perturb: %s%s%s\n", err->where, err->where[0] ? ": " : "", err->text);
    }
    if (errs->dropped)
        fprintf(out, "perturb: and %zu more errors\n", errs->dropped);
}

int errs_status(const struct errs *errs)
{
    int worst = 0;

    for (size_t i = 0; i < errs->count; i++)
        worst = MAX(worst, (int)errs->list[i].class);
    return worst;
}

/* Insertions, deletions, replacements and swaps of neighbours ("titel"), each of them 1. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { NAME_MAX_COMPARED = 48 };
    size_t rows[3][NAME_MAX_COMPARED + 1];
    size_t length_a = strlen(a), length_b = strlen(b);

    if (length_a > NAME_MAX_COMPARED || length_b > NAME_MAX_COMPARED)
        return SIZE_MAX;
    for (size_t j = 0; j <= length_b; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= length_a; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= length_b; j++) {
            row[j] = MIN(above[j - 1] + (a[i - 1] != b[j - 1]), MIN(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[length_a % 3][length_b];
}

int err_nearest(const char *name, const char *const *candidates, size_t count)
{
    size_t limit = MAX((size_t)1, strlen(name) / 3);
    size_t best = limit + 1;
    int found = -1;

    for (size_t i = 0; i < count; i++) {
        size_t distance = candidates[i] ? edit_distance(name, candidates[i]) : SIZE_MAX;

        if (distance < best) {
            best = distance;
            found = (int)i;
        }
    }
    return found;
}

bool err_is_shortage(int error)
{
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -EAGAIN || error == -EIO;
}
