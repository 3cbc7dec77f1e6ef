/* The run's event log. */
#include "controller/run/events.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

int event_log_open(struct event_log *log, const char *directory)
{
    char path[512];
    int fd;

    snprintf(path, sizeof(path), "%s/events.jsonl", directory);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    log->file = fdopen(fd, "a");
    return log->file ? 0 : -ENOMEM;
}

void event_log_close(struct event_log *log)
{
    if (log->file)
        fclose(log->file);
    free(log->list);
    *log = (struct event_log){ .list = NULL };
}

static void tell(const struct event_log *log, const struct event *event)
{
    struct buf line;

    buf_init(&line, 4096);
    event_print_json(event, &line);
    if (log->file && fprintf(log->file, "%s\n", line.data) > 0)
        fflush(log->file);
    if (log->stream && !log->stream_is_json) {
        line.length = 0;
        event_print_text(event, log->origin_ns ? log->origin_ns : event->ns, &line);
    }
    if (log->stream) {
        fprintf(log->stream, "%s%s", line.data, log->stream_is_json ? "\n" : "");
        fflush(log->stream);
    }
    buf_done(&line);
}

void event_log_add(struct event_log *log, const struct event *event)
{
    struct event numbered = *event;

    if (log->count == EVENTS_MAX) {
        log->dropped++;
        return;
    }
    if (log->count == log->capacity) {
        size_t capacity = log->capacity ? log->capacity * 2 : 256;
        struct event *grown = realloc(log->list, capacity * sizeof(*grown));

        if (!grown) {
            log->dropped++;
            return;
        }
        log->list = grown;
        log->capacity = capacity;
    }
    numbered.seq = log->count + 1;
    log->list[log->count++] = numbered;
    tell(log, &numbered);
    if (log->observer)
        log->observer(log->context, &numbered);
}

void event_log_note(struct event_log *log, enum event_kind kind, const char *text0, const char *text1, int64_t number0, int64_t number1)
{
    struct event event;

    event_init(&event, kind, SOURCE_RUNNER, clock_now_ns(), text0, text1);
    event.number[0] = number0;
    event.number[1] = number1;
    event_log_add(log, &event);
}
