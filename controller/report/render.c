/* Formats by name. */
#include "controller/report/report.h"
#include "controller/base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 64 << 20 };

static int render_text(const cJSON *result, struct buf *ret_text)
{
    char *bytes = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&bytes, &length);
    int code = -ENOMEM;

    buf_init(ret_text, TEXT_BYTES_MAX);
    if (memory) {
        code = report_text(result, memory, false, 0);
        if (fclose(memory) != 0)
            code = -ENOMEM;
    }
    if (code == 0)
        code = buf_append(ret_text, bytes, length);
    free(bytes);
    return code;
}

static int render_json(const cJSON *result, struct buf *ret_text)
{
    char *json = json_pretty(result);
    int code;

    buf_init(ret_text, TEXT_BYTES_MAX);
    code = json ? buf_printf(ret_text, "%s\n", json) : -ENOMEM;
    cJSON_free(json);
    return code;
}

static const struct {
    const char *name;
    int (*render)(const cJSON *result, struct buf *ret_text); /* NULL: the page, which takes the events too */
} formats[] = {
    { "text", render_text },   { "json", render_json },   { "html", NULL },
    { "markdown", report_markdown }, { "junit", report_junit }, { "github", report_github }, { "journal", report_journal },
};

int report_format_find(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (strlen(formats[i].name) == length && memcmp(formats[i].name, name, length) == 0)
            return (int)i;
    return -ENOENT;
}

int report_render(int format, const cJSON *result, const struct buf *events_jsonl_or_null, struct buf *ret_text)
{
    if (format < 0 || (size_t)format >= sizeof(formats) / sizeof(formats[0])) {
        buf_init(ret_text, 0);
        return -EINVAL;
    }
    return formats[format].render ? formats[format].render(result, ret_text) : report_html(result, events_jsonl_or_null, ret_text);
}
