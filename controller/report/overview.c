/* What the overview says, in words: the same for every format. */
#include "controller/report/overview.h"

#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "controller/report/summary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *plural(double count)
{
    return count == 1 ? "" : "s";
}

static double count_of(const cJSON *object, const char *key)
{
    double count = doc_number(object, key);

    return count > 0 ? count : 0;
}

static void say_runs(const cJSON *counts, double days, size_t services, char *text)
{
    double runs = count_of(counts, "runs");
    int length;

    if (!(runs > 0)) {
        snprintf(text, OVERVIEW_TEXT_MAX, "No test was run in the last %s day%s.", fmt_count(days).text, plural(days));
        return;
    }
    length = snprintf(text, OVERVIEW_TEXT_MAX, "In the last %s day%s %s test%s of %zu service%s %s run: %s passed, %s failed, %s decided nothing",
                      fmt_count(days).text, plural(days), fmt_count(runs).text, plural(runs), services, services == 1 ? "" : "s", runs == 1 ? "was" : "were",
                      fmt_count(count_of(counts, "passed")).text, fmt_count(count_of(counts, "failed")).text,
                      fmt_count(count_of(counts, "undecided")).text);
    if (count_of(counts, "aborted") > 0)
        snprintf(text + length, OVERVIEW_TEXT_MAX - (size_t)length, ", %s gave up.", fmt_count(count_of(counts, "aborted")).text);
    else
        snprintf(text + length, OVERVIEW_TEXT_MAX - (size_t)length, ".");
}

static void say_coverage(const cJSON *overview, char *text)
{
    size_t classes = doc_count(doc_list(overview, "classes")), services = doc_count(doc_list(overview, "services")), tested = 0;
    const cJSON *service, *class;

    cJSON_ArrayForEach(service, doc_list(overview, "services"))
        cJSON_ArrayForEach(class, doc_list(overview, "classes"))
            tested += cJSON_IsString(class) && overview_cell(service, class->valuestring);
    snprintf(text, OVERVIEW_TEXT_MAX, "Of %zu combinations of a service and a kind of trouble, %zu %s tested and %zu never.",
             classes * services, tested, tested == 1 ? "was" : "were", classes * services - tested);
}

static void say_findings(const cJSON *overview, char *text)
{
    size_t open = doc_count(doc_list(overview, "findings")), overdue = 0, unowned = 0;
    const cJSON *finding;

    cJSON_ArrayForEach(finding, doc_list(overview, "findings")) {
        overdue += doc_true(finding, "overdue");
        unowned += !doc_text(finding, "owner")[0];
    }
    if (!open)
        snprintf(text, OVERVIEW_TEXT_MAX, "No finding is open.");
    else
        snprintf(text, OVERVIEW_TEXT_MAX, "%zu finding%s open; %zu past the date by which %s to be tested again, %zu without an owner.", open,
                 open == 1 ? " is" : "s are", overdue, overdue == 1 ? "it was" : "they were", unowned);
}

size_t overview_sentences(const cJSON *overview, char sentences[OVERVIEW_PARTS_MAX][OVERVIEW_TEXT_MAX])
{
    const cJSON *counts = doc_get(overview, "counts");
    double unproven = count_of(counts, "undo_not_proven"), cut_off = count_of(counts, "unfinished"), unread = count_of(counts, "unread");
    size_t services = doc_count(doc_list(overview, "services")), count = 0;

    say_runs(counts, doc_number(overview, "days"), (size_t)count_of(counts, "services"), sentences[count++]);
    if (unproven > 0)
        snprintf(sentences[count++], OVERVIEW_TEXT_MAX, "After %s test%s it is NOT PROVEN that everything was put back: perturb recover.",
                 fmt_count(unproven).text, plural(unproven));
    if (services)
        say_coverage(overview, sentences[count++]);
    say_findings(overview, sentences[count++]);
    if (cut_off > 0)
        snprintf(sentences[count++], OVERVIEW_TEXT_MAX, "%s test%s cut off, or not over yet.", fmt_count(cut_off).text,
                 cut_off == 1 ? " was" : "s were");
    if (unread > 0)
        snprintf(sentences[count++], OVERVIEW_TEXT_MAX, "%s result%s could not be read, so %s not counted below.", fmt_count(unread).text,
                 plural(unread), unread == 1 ? "is" : "are");
    return count;
}

const cJSON *overview_cell(const cJSON *service, const char *class_name)
{
    const cJSON *cell;

    cJSON_ArrayForEach(cell, doc_list(service, "cells"))
        if (doc_is(cell, "class", class_name))
            return cell;
    return NULL;
}

struct fmt overview_age(const cJSON *cell)
{
    double days = floor(doc_number(cell, "age_days"));
    struct fmt age = { "" };

    if (days == 0)
        snprintf(age.text, sizeof(age.text), "today");
    else if (days > 0)
        snprintf(age.text, sizeof(age.text), "%.36s day%s ago", fmt_count(days).text, plural(days));
    return age;
}

static const struct {
    const char *word, *style;
} endings[] = { { "passed", "pass" }, { "failed", "fail" }, { "not decided", "unsure" }, { "aborted", "unsure" }, { "undo not proven", "danger" } };

const char *overview_word(const cJSON *cell)
{
    double status = doc_number(cell, "status");

    return status >= 0 && status <= 4 ? endings[(int)status].word : "not decided";
}

const char *overview_style(const cJSON *cell)
{
    double status = doc_number(cell, "status");

    return status >= 0 && status <= 4 ? endings[(int)status].style : "unsure";
}

void overview_target_words(const cJSON *row, struct buf *out)
{
    double target_s = doc_number(row, "target_s");

    if (isfinite(target_s))
        buf_printf(out, "at most %s", fmt_seconds(target_s).text);
    else
        buf_puts(out, "none set");
}

void overview_measured_words(const cJSON *row, struct buf *out)
{
    double latest_s = doc_number(row, "latest_s"), low_s = doc_number(row, "low_s"), high_s = doc_number(row, "high_s"),
           longer_s = doc_number(row, "longer_than_s"), median_s = doc_number(row, "median_s"), runs = count_of(row, "runs");
    const char *words = summary_verdict_named(doc_text(row, "verdict"))->words;

    if (latest_s < 0)
        buf_printf(out, "back %s before it ended", fmt_seconds(-latest_s).text);
    else if (doc_is(row, "verdict", "absorbed"))
        buf_puts(out, "never left its band");
    else if (isfinite(latest_s))
        buf_puts(out, fmt_seconds(latest_s).text);
    else if (isfinite(doc_number(row, "from_start_s")))
        buf_printf(out, "%s after it began", fmt_seconds(doc_number(row, "from_start_s")).text);
    else if (isfinite(longer_s))
        buf_printf(out, "not back after %s", fmt_seconds(longer_s).text);
    else
        buf_printf(out, "no number%s%s", words[0] ? ": " : "", words);
    if (latest_s > 0 && isfinite(low_s) && isfinite(high_s))
        buf_printf(out, " (%s to %s)", fmt_seconds(fmax(0, low_s)).text, fmt_seconds(high_s).text);
    if (runs > 1 && median_s > 0)
        buf_printf(out, "; half of %s runs within %s", fmt_count(runs).text, fmt_seconds(median_s).text);
    if (count_of(row, "never") > 0)
        buf_printf(out, "; %s of %s never came back", fmt_count(count_of(row, "never")).text, fmt_count(runs).text);
    if (doc_true(row, "quick"))
        buf_puts(out, "; quick look only");
}

const char *overview_target_outcome(const cJSON *row)
{
    if (doc_is(row, "outcome", "met"))
        return "yes";
    if (doc_is(row, "outcome", "broken"))
        return "no";
    return doc_text(row, "outcome")[0] ? "not decided" : "-";
}

void overview_why(const cJSON *finding, struct buf *out)
{
    const char *why = doc_text(finding, "why");
    size_t length = strlen(why);

    buf_printf(out, "%s%s", why, length && why[length - 1] != '.' ? "." : "");
}

void overview_lost_words(const cJSON *row, struct buf *out)
{
    double failed = count_of(row, "failed"), planned = count_of(row, "planned"), runs = count_of(row, "runs"), loss_s = doc_number(row, "loss_s");

    if (failed > 0)
        buf_printf(out, "%s of %s request%s failed (%s)", fmt_count(failed).text, fmt_count(planned).text, plural(planned),
                   fmt_share(failed / fmax(planned, failed)).text);
    else
        buf_printf(out, "none of %s request%s failed", fmt_count(planned).text, plural(planned));
    buf_printf(out, " in %s test%s", fmt_count(runs).text, plural(runs));
    if (loss_s > 0)
        buf_printf(out, ", together as much as an outage of %s", fmt_seconds(loss_s).text);
}
