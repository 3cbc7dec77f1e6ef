/* What a run leaves beside its directory: where it stands among earlier runs, and the reports that the command line asked for. */
#include "controller/run/run_priv.h"

#include "controller/report/report.h"
#include "controller/store/store.h"

#include <errno.h>
#include <string.h>

enum { EARLIER_MAX = 10, EVENTS_BYTES_MAX = 64 << 20 };

void run_add_history(const struct run *run, cJSON *document)
{
    struct store_history *history = NULL;
    struct errs errs = { .count = 0 }; /* a history that cannot be read is told once, when the run is entered */
    struct store_run row;
    cJSON *list = NULL;

    if (run->request->guard_test || store_run_from_result(document, run->directory, &row) < 0)
        return;
    if (store_history_open(NULL, &history, &errs) == 0 && store_history_earlier(history, &row, EARLIER_MAX, &list, &errs) == 0)
        cJSON_AddItemToObject(document, "history", list);
    store_history_close(history);
    store_run_done(&row);
}

static int write_text(const char *path, const struct buf *text)
{
    FILE *out = fopen(path, "we");
    bool wrote = out && fwrite(text->data, 1, text->length, out) == text->length && fflush(out) == 0;
    int error = errno;

    if (out && fclose(out) != 0 && wrote) {
        wrote = false;
        error = errno;
    }
    return wrote ? 0 : -error;
}

void run_write_wanted_reports(const struct run_request *request, const struct run *run, const cJSON *document, struct errs *errs)
{
    char path[512];
    struct buf events;

    if (!request->report_count)
        return;
    snprintf(path, sizeof(path), "%s/events.jsonl", run->directory);
    buf_init(&events, EVENTS_BYTES_MAX);
    if (buf_read_file(&events, path) < 0)
        buf_done(&events);
    for (size_t i = 0; i < request->report_count; i++) {
        const struct wanted_report *wanted = &request->reports[i];
        struct buf text;
        int result = report_render(wanted->format, document, events.length ? &events : NULL, &text);

        if (result == 0)
            result = write_text(wanted->path, &text);
        if (result < 0)
            errs_add(errs, ERR_WORLD, wanted->path, "the report cannot be written: %s", strerror(-result));
        buf_done(&text);
    }
    buf_done(&events);
}
