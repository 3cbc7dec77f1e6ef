/* How a game day went: what the run says, how fast people were, whether the plan was carried out; and the findings it leaves. */
#include "controller/gameday/gameday.h"

#include "controller/base/json.h"
#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "controller/store/store.h"
#include "scenarios/base/buf.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FINDINGS_MAX = 16 };

/* ---- the card ---------------------------------------------------------------------------------------------------------------------- */

static void put_part(cJSON *plan, const char *what, size_t done, size_t of)
{
    cJSON *part = cJSON_CreateObject();

    cJSON_AddItemToArray(plan, part);
    cJSON_AddStringToObject(part, "what", what);
    cJSON_AddNumberToObject(part, "done", (double)done);
    cJSON_AddNumberToObject(part, "of", (double)of);
}

static size_t count_with(const cJSON *list, const char *key, const char *text)
{
    const cJSON *item;
    size_t count = 0;

    cJSON_ArrayForEach(item, list)
        count += text ? doc_is(item, key, text) : doc_text(item, key)[0] != '\0';
    return count;
}

static void put_plan(cJSON *card, const cJSON *gameday, const cJSON *result)
{
    cJSON *plan = cJSON_AddArrayToObject(card, "plan");
    const cJSON *items = doc_list(gameday, "checklist"), *holds = doc_list(result, "holds"), *faults = doc_list(result, "faults");
    const cJSON *verify = doc_list(result, "verify"), *fault;
    size_t acted = 0;

    cJSON_ArrayForEach(fault, faults)
        acted += isfinite(doc_number(fault, "injected_s")) ? 1 : 0;
    put_part(plan, "items of the checklist ticked", count_with(items, "at", NULL), doc_count(items));
    put_part(plan, "holds answered", count_with(holds, "outcome", "go"), doc_count(holds));
    put_part(plan, "faults acted", acted, doc_count(faults));
    put_part(plan, "claims proven from outside", count_with(verify, "outcome", "proven"), doc_count(verify));
}

static void put_score(cJSON *card)
{
    size_t met = 0, of = 0;
    const cJSON *item;

    cJSON_ArrayForEach(item, doc_list(card, "timers")) {
        of += isfinite(doc_number(item, "target_s")) ? 1 : 0;
        met += doc_is(item, "outcome", "met");
    }
    cJSON_ArrayForEach(item, doc_list(card, "plan")) {
        of += doc_number(item, "of") > 0;
        met += doc_number(item, "of") > 0 && doc_number(item, "done") >= doc_number(item, "of");
    }
    of++;
    met += doc_number(card, "status") == 0;
    cJSON_AddNumberToObject(card, "met", (double)met);
    cJSON_AddNumberToObject(card, "of", (double)of);
}

cJSON *gameday_scorecard(const cJSON *gameday, const cJSON *result)
{
    const cJSON *verdict = doc_get(result, "verdict"), *timers = doc_list(result, "timers");
    cJSON *card = cJSON_CreateObject();

    cJSON_AddStringToObject(card, "verdict", doc_text(verdict, "verdict"));
    cJSON_AddStringToObject(card, "why", doc_text(verdict, "why"));
    json_put_number(card, "status", doc_number(verdict, "status"));
    json_put_number(card, "convergence_s", doc_number(doc_get(result, "convergence"), "from_release_s"));
    cJSON_AddItemToObject(card, "timers", timers ? cJSON_Duplicate(timers, 1) : cJSON_CreateArray());
    put_plan(card, gameday, result);
    put_score(card);
    return card;
}

/* ---- findings ------------------------------------------------------------------------------------------------------------------------ */

struct ledger {
    struct store_history *history;
    struct store_run run;
    int64_t opened[FINDINGS_MAX]; /* ids of the findings of this day */
    size_t count;
    struct errs *errs;
};

/* Of a part of the day that has a series of its own. Status 1 opens or counts, 0 closes. */
static void note_part(struct ledger *ledger, const char *part, int status, const char *why)
{
    struct store_run run = ledger->run;
    char series[4300], title[400];
    int64_t id = 0;

    snprintf(series, sizeof(series), "%s#%s", ledger->run.series ? ledger->run.series : "", part);
    snprintf(title, sizeof(title), "%.250s: %.100s", ledger->run.title ? ledger->run.title : "", part);
    run.series = series;
    run.title = title;
    run.status = status;
    run.verdict = status ? "goal missed" : "goal met";
    if (store_findings_note(ledger->history, &run, why, &id, ledger->errs) == 0 && status && id && ledger->count < FINDINGS_MAX)
        ledger->opened[ledger->count++] = id;
}

static void note_timers(struct ledger *ledger, const cJSON *card)
{
    const cJSON *timer;

    cJSON_ArrayForEach(timer, doc_list(card, "timers")) {
        double value_s = doc_number(timer, "value_s");
        bool broken = doc_is(timer, "outcome", "broken");
        char why[200], goal[64];

        snprintf(goal, sizeof(goal), "the goal is %s", fmt_seconds(doc_number(timer, "target_s")).text);
        if (isfinite(value_s))
            snprintf(why, sizeof(why), "it took %s; %s", fmt_seconds(value_s).text, goal);
        else
            snprintf(why, sizeof(why), "nobody did in %s; %s", fmt_seconds(doc_number(timer, "at_least_s")).text, goal);
        if (broken || doc_is(timer, "outcome", "met"))
            note_part(ledger, doc_text(timer, "timer"), broken, why);
    }
}

static void note_holds(struct ledger *ledger, const cJSON *card)
{
    const cJSON *part;

    cJSON_ArrayForEach(part, doc_list(card, "plan"))
        if (doc_is(part, "what", "holds answered") && doc_number(part, "of") > 0)
            note_part(ledger, "the plan", doc_number(part, "done") < doc_number(part, "of"), "a hold was not answered");
}

static void due_date(double due_s, char *text, size_t size)
{
    time_t due = time(NULL) + (time_t)(isfinite(due_s) ? due_s : 14 * 86400.0);
    struct tm broken_down;

    localtime_r(&due, &broken_down);
    strftime(text, size, "%Y-%m-%d", &broken_down);
}

static bool is_of_today(const struct ledger *ledger, const struct store_finding *finding)
{
    for (size_t i = 0; i < ledger->count; i++)
        if (ledger->opened[i] == finding->id)
            return true;
    return finding->last_run && ledger->run.id && !strcmp(finding->last_run, ledger->run.id);
}

/* Owner and date where nobody has set them, and the list of the card. */
static void assign(struct ledger *ledger, const cJSON *gameday, cJSON *card)
{
    const cJSON *section = doc_get(gameday, "findings");
    struct store_finding *findings = NULL;
    cJSON *list = cJSON_AddArrayToObject(card, "findings");
    const char *owner = doc_text(section, "owner");
    size_t count = 0;
    char due[24];

    due_date(doc_number(section, "due_s"), due, sizeof(due));
    if (store_findings_list(ledger->history, false, &findings, &count, ledger->errs) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        const struct store_finding *finding = &findings[i];
        cJSON *object;

        if (!is_of_today(ledger, finding))
            continue;
        store_findings_assign(ledger->history, finding->id, finding->owner || !owner[0] ? NULL : owner, finding->due ? NULL : due, ledger->errs);
        object = cJSON_CreateObject();
        cJSON_AddItemToArray(list, object);
        cJSON_AddNumberToObject(object, "id", (double)finding->id);
        cJSON_AddStringToObject(object, "title", finding->title ? finding->title : "");
        cJSON_AddStringToObject(object, "why", finding->why ? finding->why : "");
        cJSON_AddStringToObject(object, "owner", finding->owner ? finding->owner : owner);
        cJSON_AddStringToObject(object, "due", finding->due ? finding->due : due);
    }
    store_findings_free(findings, count);
}

static void keep_findings(const cJSON *gameday, cJSON *card, struct errs *errs)
{
    struct ledger ledger = { .errs = errs };

    if (store_history_open(NULL, &ledger.history, errs) < 0)
        return;
    if (store_history_find(ledger.history, doc_text(gameday, "run"), &ledger.run, errs) == 0) {
        note_timers(&ledger, card);
        note_holds(&ledger, card);
        assign(&ledger, gameday, card);
        store_run_done(&ledger.run);
    }
    store_history_close(ledger.history);
}

int gameday_finish(struct gameday *gameday, int status, struct errs *errs)
{
    size_t errors_before = errs->count;
    cJSON *result = NULL, *card;
    bool has_result = store_read_result(doc_text(gameday->document, "directory"), &result, errs) == 0;

    card = gameday_scorecard(gameday->document, has_result ? result : NULL);
    if (has_result) {
        cJSON_Delete(result);
        keep_findings(gameday->document, card, errs);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(gameday->document, "state");
    cJSON_AddStringToObject(gameday->document, "state", "ended");
    cJSON_AddNumberToObject(gameday->document, "status", status);
    cJSON_DeleteItemFromObjectCaseSensitive(gameday->document, "scorecard");
    cJSON_AddItemToObject(gameday->document, "scorecard", card);
    store_write_json(gameday->directory, "gameday.json", gameday->document, errs);
    return errs->count == errors_before ? 0 : -EIO;
}

int gameday_status(const struct gameday *gameday)
{
    const cJSON *card = doc_get(gameday->document, "scorecard");
    double status = doc_number(gameday->document, "status");

    if (status != 0)
        return isfinite(status) ? (int)status : ERR_INTERNAL;
    return count_with(doc_list(card, "timers"), "outcome", "broken") ? 1 : 0;
}

/* ---- on a terminal ------------------------------------------------------------------------------------------------------------------- */

static void put_line(FILE *out, const char *label, const char *text)
{
    struct buf clean;

    buf_init(&clean, 8192);
    clean_plain(&clean, text, 600);
    fprintf(out, "%-14s %s\n", label, clean.data);
    buf_done(&clean);
}

static void print_timers(const cJSON *card, FILE *out)
{
    const cJSON *timer;
    bool first = true;

    cJSON_ArrayForEach(timer, doc_list(card, "timers")) {
        double value_s = doc_number(timer, "value_s"), at_least_s = doc_number(timer, "at_least_s"), target_s = doc_number(timer, "target_s");
        char text[200], goal[80] = "";

        if (isfinite(target_s))
            snprintf(goal, sizeof(goal), ", goal %s: %.10s", fmt_seconds(target_s).text, doc_text(timer, "outcome"));
        if (isfinite(value_s))
            snprintf(text, sizeof(text), "%.40s %s%s", doc_text(timer, "timer"), fmt_seconds(value_s).text, goal);
        else if (isfinite(at_least_s))
            snprintf(text, sizeof(text), "%.40s: nobody, longer than %s%s", doc_text(timer, "timer"), fmt_seconds(at_least_s).text, goal);
        else
            snprintf(text, sizeof(text), "%.40s: not known%s", doc_text(timer, "timer"), goal);
        put_line(out, first ? "People" : "", text);
        first = false;
    }
}

void gameday_print_scorecard(const cJSON *gameday, FILE *out)
{
    const cJSON *card = doc_get(gameday, "scorecard"), *item;
    char text[800];
    bool first = true;

    fprintf(out, "\n");
    put_line(out, "Game day", doc_text(gameday, "title"));
    snprintf(text, sizeof(text), "%s: %s", doc_text(card, "verdict")[0] ? doc_text(card, "verdict") : "no result", doc_text(card, "why"));
    put_line(out, "Verdict", text);
    print_timers(card, out);
    cJSON_ArrayForEach(item, doc_list(card, "plan"))
        if (doc_number(item, "of") > 0) {
            snprintf(text, sizeof(text), "%.0f of %.0f %s", doc_number(item, "done"), doc_number(item, "of"), doc_text(item, "what"));
            put_line(out, first ? "Plan" : "", text);
            first = false;
        }
    first = true;
    cJSON_ArrayForEach(item, doc_list(card, "findings")) {
        snprintf(text, sizeof(text), "#%.0f %s; %s; %s, tested again by %s", doc_number(item, "id"), doc_text(item, "title"), doc_text(item, "why"),
                 doc_text(item, "owner")[0] ? doc_text(item, "owner") : "nobody's yet", doc_text(item, "due"));
        put_line(out, first ? "Findings" : "", text);
        first = false;
    }
    snprintf(text, sizeof(text), "%.0f of %.0f", doc_number(card, "met"), doc_number(card, "of"));
    put_line(out, "Score", text);
    snprintf(text, sizeof(text), "%s, report %s/report.html", doc_text(gameday, "run"), doc_text(gameday, "directory"));
    put_line(out, "Run", text);
}
