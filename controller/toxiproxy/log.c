/* JSON lines on stdout. */
#include "controller/toxiproxy/log.h"

#include "controller/base/json.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

static const char *const level_names[] = { "trace", "debug", "info", "warn", "error", "fatal", "panic", "disabled" };
static enum log_level level_least;

void log_level_set(const char *word)
{
    level_least = LOG_LEVEL_TRACE;
    for (size_t i = 0; word && i < ARRAY_SIZE(level_names); i++)
        if (!strcasecmp(word, level_names[i]))
            level_least = (enum log_level)i;
}

void log_line(enum log_level level, const char *message, ...)
{
    time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
    cJSON *object;
    char time_text[32] = "";
    struct tm parts;
    va_list pairs;
    char *line;

    if (level < level_least)
        return;
    if (gmtime_r(&now, &parts))
        strftime(time_text, sizeof(time_text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "level", level_names[level]);
    va_start(pairs, message);
    for (const char *name; (name = va_arg(pairs, const char *));) {
        const char *value = va_arg(pairs, const char *);

        if (value)
            cJSON_AddStringToObject(object, name, value);
    }
    va_end(pairs);
    cJSON_AddStringToObject(object, "time", time_text);
    cJSON_AddStringToObject(object, "message", message);
    line = json_text(object);
    if (line) {
        puts(line);
        fflush(stdout);
    }
    cJSON_free(line);
    cJSON_Delete(object);
}
