/* Webhooks: a document of our own, signed when it is sent; and the shape that Slack, Mattermost and Rocket.Chat take. */
#include "controller/outlet/delivery.h"

#include "controller/base/json.h"
#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "scenarios/base/buf.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_time(cJSON *object, const char *key, const struct story *story, uint64_t ns)
{
    char text[40];

    if (ns)
        cJSON_AddStringToObject(object, key, story_time(story, ns, text, sizeof(text)));
    else
        cJSON_AddNullToObject(object, key);
}

static void put_run(cJSON *body, const struct story *story)
{
    cJSON *run = cJSON_AddObjectToObject(body, "run"), *tags;

    cJSON_AddStringToObject(run, "id", story->run);
    cJSON_AddStringToObject(run, "title", story->title);
    cJSON_AddStringToObject(run, "service", story->service);
    cJSON_AddStringToObject(run, "playbook", story->playbook);
    tags = cJSON_AddArrayToObject(run, "tags");
    for (size_t i = 0; i < story->tag_count; i++)
        cJSON_AddItemToArray(tags, cJSON_CreateString(story->tags[i]));
    put_time(run, "started", story, story->began_ns);
}

static void put_fault(cJSON *body, const struct story *story, const struct story_fault *fault)
{
    cJSON *object = cJSON_AddObjectToObject(body, "fault");

    cJSON_AddStringToObject(object, "name", fault->name);
    put_time(object, "armed", story, fault->armed_ns);
    put_time(object, "injected", story, fault->acted_ns);
    put_time(object, "released", story, fault->released_ns);
    cJSON_AddNumberToObject(object, "matched", (double)fault->matched);
    cJSON_AddNumberToObject(object, "fired", (double)fault->fired);
}

static void put_end(cJSON *body, const struct story *story)
{
    const cJSON *convergence = doc_get(story->result, "convergence");
    cJSON *verdict = cJSON_AddObjectToObject(body, "verdict"), *object;

    cJSON_AddStringToObject(verdict, "verdict", story_verdict(story));
    cJSON_AddNumberToObject(verdict, "status", story_status(story));
    cJSON_AddStringToObject(verdict, "why", story_why(story));
    object = cJSON_AddObjectToObject(body, "convergence");
    cJSON_AddStringToObject(object, "signal", doc_text(convergence, "signal"));
    json_put_number(object, "from_release_s", doc_number(convergence, "from_release_s"));
    json_put_number(object, "low_s", doc_number(convergence, "low_s"));
    json_put_number(object, "high_s", doc_number(convergence, "high_s"));
    json_put_number(object, "from_injection_s", doc_number(convergence, "from_injection_s"));
}

void webhook_tell(const struct telling *telling)
{
    const struct story_moment *moment = telling->moment;
    cJSON *body;

    if (!telling_is_wanted(telling))
        return;
    body = cJSON_CreateObject();
    cJSON_AddNumberToObject(body, "schema", 1);
    cJSON_AddStringToObject(body, "event", moment_name(moment->moment));
    put_time(body, "time", telling->story, moment->ns);
    put_run(body, telling->story);
    if (moment->fault)
        put_fault(body, telling->story, moment->fault);
    if (moment->what[0])
        cJSON_AddStringToObject(body, "what", moment->what);
    if (moment->text[0])
        cJSON_AddStringToObject(body, "text", moment->text);
    if (moment->moment == MOMENT_ENDED)
        put_end(body, telling->story);
    telling_put_json(telling, "POST", "", body, NULL);
}

/* ---- Slack ---------------------------------------------------------------------------------------------------------------------- */

/* `& < >` are all that Slack wants escaped; what marks text up becomes an apostrophe, so that no title can link, ring or look bold. An
 * underscore inside a word marks nothing up. */
static void put_escaped(struct buf *out, const char *text, size_t length_max)
{
    struct buf plain;

    buf_init(&plain, 8192);
    clean_plain(&plain, text, length_max);
    for (const char *at = plain.data; *at; at++)
        if (*at == '&')
            buf_puts(out, "&amp;");
        else if (*at == '<')
            buf_puts(out, "&lt;");
        else if (*at == '>')
            buf_puts(out, "&gt;");
        else if (strchr("*~`", *at) || (*at == '_' && (at == plain.data || !isalnum((unsigned char)at[-1]) || !isalnum((unsigned char)at[1]))))
            buf_puts(out, "'");
        else
            buf_append(out, at, 1);
    buf_done(&plain);
}

static void put_convergence(struct buf *out, const struct story *story)
{
    const cJSON *convergence = doc_get(story->result, "convergence");
    double value = doc_number(convergence, "from_release_s"), low = doc_number(convergence, "low_s"), high = doc_number(convergence, "high_s");

    if (!isfinite(value))
        return;
    buf_printf(out, ", %s after the release", fmt_seconds(value).text);
    if (isfinite(low) && isfinite(high))
        buf_printf(out, " (95 %% interval %s to %s)", fmt_seconds(low).text, fmt_seconds(high).text);
}

static void put_sentence(struct buf *out, const struct story *story, const struct story_moment *moment)
{
    static const char *const marks[] = { ":white_check_mark:", ":x:", ":grey_question:", ":warning:", ":rotating_light:" };
    int status = moment->moment == MOMENT_ENDED ? story_status(story) : -1;

    if (status >= 0)
        buf_printf(out, "%s ", marks[status < 5 ? status : 4]);
    buf_puts(out, "*");
    put_escaped(out, story->title[0] ? story->title : story->playbook, 120);
    buf_puts(out, "*: ");
    if (status >= 0) {
        put_escaped(out, story_verdict(story), 60);
        put_convergence(out, story);
        buf_puts(out, "\n");
        put_escaped(out, story_why(story), 400);
    } else {
        buf_puts(out, moment_name(moment->moment));
        if (moment->fault)
            buf_puts(out, " ");
        if (moment->fault)
            put_escaped(out, moment->fault->name, 120);
        if (moment->what[0])
            buf_puts(out, " ");
        put_escaped(out, moment->what, 120);
        if (moment->text[0])
            buf_puts(out, ": ");
        put_escaped(out, moment->text, 240);
    }
    buf_puts(out, "\nrun ");
    put_escaped(out, story->run, 60);
    if (story->service[0])
        buf_puts(out, " of ");
    put_escaped(out, story->service, 80);
}

void slack_tell(const struct telling *telling)
{
    cJSON *body;
    struct buf text;

    if (!telling_is_wanted(telling))
        return;
    buf_init(&text, 16384);
    put_sentence(&text, telling->story, telling->moment);
    body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "text", text.data);
    buf_done(&text);
    telling_put_json(telling, "POST", "", body, NULL);
}
