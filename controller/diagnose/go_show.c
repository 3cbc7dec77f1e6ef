/* The diagnosis of a Go dump, for people. */
#include "controller/diagnose/diagnose.h"

#include <cjson/cJSON.h>
#include <string.h>

enum { GROUPS_SHOWN_MAX = 8 };

static double number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *string(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsString(item) ? item->valuestring : "";
}

static void show_minutes(const cJSON *object, FILE *out)
{
    if (number(object, "longest_minutes") > 0)
        fprintf(out, ", up to %.0f minutes", number(object, "longest_minutes"));
}

static void show_stack(const cJSON *object, FILE *out)
{
    const cJSON *line;

    cJSON_ArrayForEach(line, cJSON_GetObjectItemCaseSensitive(object, "stack"))
        fprintf(out, "      %s\n", cJSON_IsString(line) ? line->valuestring : "");
}

static void show_ids(const cJSON *object, const char *key, const char *word, FILE *out)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, key), *id;
    const char *between = " ";

    if (!cJSON_GetArraySize(list))
        return;
    fprintf(out, "      %s: goroutines", word);
    cJSON_ArrayForEach(id, list)
    {
        fprintf(out, "%s%.0f", between, id->valuedouble);
        between = ", ";
    }
    fprintf(out, "\n");
}

static void show_one_stuck(const cJSON *stuck, FILE *out)
{
    if (!strcmp(string(stuck, "known_by"), "state"))
        fprintf(out, "  what can never come (nil channel, select without cases): %.0f tasks", number(stuck, "tasks"));
    else
        fprintf(out, "  %s %s: %.0f tasks", string(stuck, "what"), string(stuck, "address"), number(stuck, "tasks"));
    show_minutes(stuck, out);
    fprintf(out, "%s\n", !strcmp(string(stuck, "known_by"), "argument") ? "; likely this one, by the innermost frame's arguments" : "");
    show_ids(stuck, "senders", "senders", out);
    show_ids(stuck, "receivers", "receivers", out);
    show_ids(stuck, "waiters", "waiting", out);
    show_stack(stuck, out);
}

static int show_stuck(const cJSON *diagnosis, const char *verdict, const char *title, FILE *out)
{
    const cJSON *stuck;
    int shown = 0;

    cJSON_ArrayForEach(stuck, cJSON_GetObjectItemCaseSensitive(diagnosis, "stuck"))
    {
        if (strcmp(string(stuck, "verdict"), verdict) != 0)
            continue;
        if (!shown++)
            fprintf(out, "\n%s:\n", title);
        show_one_stuck(stuck, out);
    }
    return shown;
}

static void show_growth(const cJSON *growth, FILE *out)
{
    const cJSON *groups = cJSON_GetObjectItemCaseSensitive(growth, "grown"), *group;

    fprintf(out, "\n%.0f tasks before, %.0f after; %.0f are in both with the same stack and never ended\n", number(growth, "before"),
            number(growth, "after"), number(growth, "never_ended"));
    if (!cJSON_GetArraySize(groups))
        fprintf(out, "  no group of equal stacks grew\n");
    cJSON_ArrayForEach(group, groups)
    {
        fprintf(out, "  +%.0f: %.0f before, %.0f after, %.0f never ended: %s", number(group, "tasks") - number(group, "before"),
                number(group, "before"), number(group, "tasks"), number(group, "never_ended"), string(group, "state"));
        show_minutes(group, out);
        fprintf(out, "\n");
        show_stack(group, out);
    }
}

void go_show(const struct cJSON *diagnosis, FILE *out)
{
    const cJSON *growth = cJSON_GetObjectItemCaseSensitive(diagnosis, "growth"), *item;
    int shown = 0;

    fprintf(out, "Go dump of %.0f tasks", number(diagnosis, "tasks"));
    if (number(diagnosis, "may_run") < 1)
        fprintf(out, ", of which none can run");
    fprintf(out, "%s\n", cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(diagnosis, "truncated")) ? "; it ends in the middle of a task" : "");
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(diagnosis, "states"))
    {
        fprintf(out, "  %6.0f %s", number(item, "tasks"), string(item, "state"));
        show_minutes(item, out);
        fprintf(out, "\n");
    }
    if (!show_stuck(diagnosis, "stuck", "nobody is left to wake these, as far as the arguments in the dump show", out))
        fprintf(out, "\nno task is seen that nobody could wake\n");
    (void)show_stuck(diagnosis, "idle_or_leaked", "these only receive and nobody is seen who sends: idle, or leaked", out);
    if (growth)
        show_growth(growth, out);
    fprintf(out, "\nlargest groups of equal stacks:\n");
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(diagnosis, "groups"))
    {
        if (shown++ == GROUPS_SHOWN_MAX)
            break;
        fprintf(out, "  %.0f x %s", number(item, "tasks"), string(item, "state"));
        show_minutes(item, out);
        fprintf(out, ", e.g. goroutine %.0f\n", number(item, "example"));
        show_stack(item, out);
    }
}
