/* A number in a file, which is read whole each time. */
#include "controller/probe/probe_priv.h"

#include <errno.h>
#include <string.h>

enum { CONTENT_MAX = 16 << 20 };

static int file_open(const struct probe *probe, const char *where, struct errs *errs, void **ret_state)
{
    struct pattern *pattern = NULL;
    int result = probe->file.pattern ? pattern_new(probe->file.pattern, where, errs, &pattern) : 0;

    if (result == 0 && pattern && !pattern_has_group(pattern)) {
        pattern_free(pattern);
        return errs_add(errs, ERR_INPUT, where, "pattern: '%s' has no group that would be the number: put it in (...)", probe->file.pattern);
    }
    *ret_state = pattern;
    return result;
}

static void file_close(void *state)
{
    pattern_free(state);
}

static int file_read(struct reading *reading)
{
    const struct file_probe *file = &reading->probe->file;
    struct buf content;
    double value;
    int result;

    buf_init(&content, CONTENT_MAX);
    result = buf_read_file(&content, file->path);
    if (result < 0)
        result = reading_fail(reading, "%s: %s", file->path, strerror(-result));
    else if (reading->state ? pattern_number(reading->state, content.data, content.length, &value) < 0 : text_first_number(content.data, &value) < 0)
        result = reading_fail(reading, "%s holds no number%s", file->path, file->pattern ? " by the pattern" : "");
    else
        reading_put(reading, reading->now_ns, value);
    buf_done(&content);
    return result;
}

const struct probe_reader probe_file = { .open = file_open, .close = file_close, .read = file_read };
