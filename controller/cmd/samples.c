/* Columns, times, and which reader a file is for; see samples.h. */
#include "controller/cmd/samples.h"

#include "scenarios/base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void samples_done(struct samples *samples)
{
    for (size_t i = 0; i < samples->columns; i++) {
        free(samples->column[i].at_s);
        free(samples->column[i].value);
    }
    free(samples->column);
    *samples = (struct samples){ 0 };
}

struct sample_column *samples_new_column(struct samples *samples, const char *name)
{
    struct sample_column *column;

    if (!samples->column)
        samples->column = calloc(SAMPLES_COLUMNS_MAX, sizeof(*samples->column));
    if (!samples->column || samples->columns == SAMPLES_COLUMNS_MAX)
        return NULL;
    column = &samples->column[samples->columns++];
    snprintf(column->name, sizeof(column->name), "%s", name);
    return column;
}

int samples_add(struct sample_column *column, double at_s, double value)
{
    if (column->count == column->capacity) {
        size_t capacity = column->capacity ? 2 * column->capacity : 1024;
        double *at = realloc(column->at_s, capacity * sizeof(double)), *values;

        if (!at)
            return -ENOMEM;
        column->at_s = at;
        values = realloc(column->value, capacity * sizeof(double));
        if (!values)
            return -ENOMEM;
        column->value = values;
        column->capacity = capacity;
    }
    if (!isfinite(value)) {
        value = NAN;
        column->unknown++;
    }
    column->at_s[column->count] = at_s;
    column->value[column->count++] = value;
    return 0;
}

/* What follows the time of day: "", "Z", or "+hh:mm" as seconds east. */
static bool parse_zone(const char *text, double *ret_east_s)
{
    int hours, minutes, used = 0;
    char sign;

    *ret_east_s = 0;
    if (!text[0] || !strcmp(text, "Z") || !strcmp(text, "z"))
        return true;
    if (sscanf(text, "%c%2d:%2d%n", &sign, &hours, &minutes, &used) != 3 || text[used] || (sign != '+' && sign != '-') || hours > 23 ||
        minutes > 59)
        return false;
    *ret_east_s = (sign == '-' ? -1 : 1) * (hours * 3600.0 + minutes * 60.0);
    return true;
}

bool samples_time(const char *text, double *ret_s)
{
    struct tm tm = { 0 };
    double second, east_s;
    char *end, mark;
    int used = 0;

    *ret_s = strtod(text, &end);
    if (end != text && !*end)
        return isfinite(*ret_s);
    if (sscanf(text, "%4d-%2d-%2d%c%2d:%2d:%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &mark, &tm.tm_hour, &tm.tm_min, &used) != 6 || !used ||
        !strchr("Tt ", mark) || tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || text[used] < '0' || text[used] > '9')
        return false;
    second = strtod(text + used, &end);
    if (!(second >= 0 && second < 61) || !parse_zone(end, &east_s))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret_s = (double)timegm(&tm) + second - east_s;
    return true;
}

static void count_order(struct samples *samples)
{
    for (size_t i = 0; i < samples->columns; i++) {
        const struct sample_column *column = &samples->column[i];
        size_t backwards = 0, repeated = 0;

        for (size_t j = 1; j < column->count; j++) {
            backwards += column->at_s[j] < column->at_s[j - 1];
            repeated += column->at_s[j] == column->at_s[j - 1];
        }
        if (backwards > samples->backwards)
            samples->backwards = backwards;
        if (repeated > samples->repeated)
            samples->repeated = repeated;
    }
}

static int read_text(const char *file, struct buf *text, struct errs *errs)
{
    int result = strcmp(file, "-") ? buf_read_file(text, file) : buf_read_fd(text, STDIN_FILENO);

    if (result == -E2BIG)
        return errs_add(errs, ERR_INPUT, file, "is larger than 1 GiB");
    if (result < 0)
        return errs_add(errs, ERR_WORLD, file, "cannot be read: %s", strerror(-result));
    if (memchr(text->data, '\0', text->length))
        return errs_add(errs, ERR_INPUT, file, "holds a NUL byte: it is no text");
    return 0;
}

int samples_read(const char *file, struct samples *ret_samples, struct errs *errs)
{
    struct samples samples = { 0 };
    struct buf text;
    size_t start;
    int result;

    buf_init(&text, SAMPLES_BYTES_MAX);
    result = read_text(file, &text, errs);
    if (result == 0) {
        start = strncmp(text.data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* a byte order mark */
        if (text.data[start + strspn(text.data + start, " \t\r\n")] == '{')
            result = samples_read_prometheus(file, text.data + start, text.length - start, &samples, errs);
        else
            result = samples_read_table(file, text.data + start, text.length - start, &samples, errs);
    }
    buf_done(&text);
    if (result == 0 && (!samples.columns || !samples.column[0].count))
        result = errs_add(errs, ERR_INPUT, file, "holds no samples");
    if (result < 0) {
        samples_done(&samples);
        return result;
    }
    count_order(&samples);
    *ret_samples = samples;
    return 0;
}
