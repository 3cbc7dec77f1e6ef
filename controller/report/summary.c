/* Verdicts, outcomes and the headline number in words. */
#include "controller/report/summary.h"

#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "scenarios/base/cleanup.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct summary_outcome outcomes[] = {
    { "PASSED", "pass", "\u2713", "\033[1;32m" },          { "FAILED", "fail", "\u2717", "\033[1;31m" },
    { "INCONCLUSIVE", "unsure", "?", "\033[1;33m" },       { "ABORTED", "abort", "\u25a0", "\033[1;35m" },
    { "UNDO NOT PROVEN", "danger", "!", "\033[1;37;41m" },
};

static const struct summary_outcome outcome_unknown = { "NO VERDICT", "unsure", "?", "\033[1;33m" };

static const struct summary_verdict verdicts[] = {
    { "converged", "converged", "It left its band, came back, and stayed." },
    { "absorbed", "absorbed", "The fault acted and nothing left its band." },
    { "recovered_under_fault", "recovered under fault", "It came back while the fault was still acting." },
    { "converged_to_new_level", "converged to a new level", "It settled, but not where it had been before." },
    { "converged_then_redegraded", "converged, then degraded again", "It came back for the hold, then left its band once more." },
    { "flapping", "flapping", "It kept coming back and leaving again." },
    { "not_converged", "not converged", "It was still out of its band when the observation ended." },
    { "metastable", "metastable", "The fault is gone and the load is as before, yet it does not come back by itself." },
    { "censored", "censored", "It was back in its band at the end, but not for as long as the hold asks." },
    { "not_injected", "not injected", "The fault never acted, so nothing was tested." },
    { "baseline_unfit", "baseline unfit", "The service was not steady before the fault, so there is nothing to compare with." },
    { "load_unfit", "load unfit", "The load generator itself fell behind, so its figures cannot be trusted." },
    { "indeterminate", "indeterminate", "The data cannot resolve the question that was asked." },
    { "aborted", "aborted", "The run gave up its plan; faults were released and the recovery was still observed." },
};

static const struct summary_verdict verdict_unknown = { "", "", "" };

const struct summary_outcome *summary_outcome(const cJSON *result)
{
    double status = doc_number(doc_get(result, "verdict"), "status");

    for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++)
        if (status == (double)i)
            return &outcomes[i];
    return &outcome_unknown;
}

const struct summary_verdict *summary_verdict_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++)
        if (strcmp(name, verdicts[i].name) == 0)
            return &verdicts[i];
    return &verdict_unknown;
}

const struct summary_verdict *summary_verdict(const cJSON *result)
{
    return summary_verdict_named(doc_text(doc_get(result, "verdict"), "verdict"));
}

const cJSON *summary_signal(const cJSON *result)
{
    const char *name = doc_text(doc_get(result, "convergence"), "signal");
    const cJSON *signal;

    cJSON_ArrayForEach(signal, doc_list(result, "signals"))
        if (name[0] ? doc_is(signal, "signal", name) : doc_true(signal, "deciding"))
            return signal;
    return NULL;
}

bool summary_quick(const cJSON *result)
{
    return doc_is(doc_get(result, "run"), "rigour", "quick");
}

static void set_interval(struct summary_headline *ret, double low_s, double high_s)
{
    ret->low_s = low_s;
    ret->high_s = high_s;
    if (isfinite(low_s) && isfinite(high_s))
        snprintf(ret->interval, sizeof(ret->interval), "95 %% interval %s to %s", fmt_seconds(low_s).text,
                 fmt_seconds(high_s).text);
}

static void set_number(const cJSON *convergence, const char *verdict, struct summary_headline *ret)
{
    const char *signal = doc_text(convergence, "signal");
    double release_s = doc_number(convergence, "from_release_s"), inject_s = doc_number(convergence, "from_injection_s");
    double low_s = doc_number(convergence, "low_s"), high_s = doc_number(convergence, "high_s");
    bool under_fault = strcmp(verdict, "recovered_under_fault") == 0;
    bool from_injection = isfinite(inject_s) && (under_fault || !isfinite(release_s));
    double own_low_s = doc_number(convergence, "from_injection_low_s"),
           own_high_s = doc_number(convergence, "from_injection_high_s");
    double shift_s = from_injection && isfinite(release_s) ? inject_s - release_s : 0;

    ret->at_s = from_injection ? inject_s : release_s;
    snprintf(ret->value, sizeof(ret->value), "%s", fmt_seconds(ret->at_s).text);
    snprintf(ret->label, sizeof(ret->label), "from the %s of the fault until %.80s was back in its band%s",
             from_injection ? "start" : "end", signal[0] ? signal : "the service",
             under_fault ? ", while the fault still acted" : " for good");
    if (from_injection && isfinite(own_low_s) && isfinite(own_high_s))
        set_interval(ret, own_low_s, own_high_s);
    else
        set_interval(ret, low_s + shift_s, high_s + shift_s);
}

/* No convergence time: say what is known instead. */
static void set_bound(const cJSON *result, const char *verdict, struct summary_headline *ret)
{
    const cJSON *instants = doc_get(result, "instants_s");
    double from_s = doc_number(instants, "released"), end_s = doc_number(instants, "end");
    bool out = strcmp(verdict, "not_converged") == 0 || strcmp(verdict, "metastable") == 0 || strcmp(verdict, "flapping") == 0 ||
               strcmp(verdict, "censored") == 0;

    if (!isfinite(from_s))
        from_s = doc_number(instants, "injected");
    if (out && isfinite(end_s - from_s)) {
        snprintf(ret->value, sizeof(ret->value), "> %s", fmt_seconds(end_s - from_s).text);
        snprintf(ret->label, sizeof(ret->label), "%s", "not back for good by the end of the observation, so no convergence time");
        return;
    }
    snprintf(ret->value, sizeof(ret->value), "none");
    snprintf(ret->label, sizeof(ret->label), "%s", "this run gives no convergence time");
}

void summary_headline(const cJSON *result, struct summary_headline *ret)
{
    const cJSON *convergence = doc_get(result, "convergence");
    const char *verdict = doc_text(doc_get(result, "verdict"), "verdict");

    memset(ret, 0, sizeof(*ret));
    ret->at_s = ret->low_s = ret->high_s = (double)NAN;
    if (strcmp(verdict, "absorbed") == 0) {
        ret->at_s = 0;
        snprintf(ret->value, sizeof(ret->value), "0 s");
        snprintf(ret->label, sizeof(ret->label), "nothing left its band");
        if (isfinite(doc_number(convergence, "smallest_dip")))
            snprintf(ret->label, sizeof(ret->label), "nothing left its band; a dip of %s would have been seen",
                     fmt_share(doc_number(convergence, "smallest_dip")).text);
        return;
    }
    if (isfinite(doc_number(convergence, "from_release_s")) || isfinite(doc_number(convergence, "from_injection_s")))
        set_number(convergence, verdict, ret);
    else
        set_bound(result, verdict, ret);
}

const char *summary_outcome_style(const char *word)
{
    static const struct {
        const char *word, *style;
    } styles[] = {
        { "met", "pass" },         { "held", "pass" },      { "proven", "pass" },   { "undone", "pass" },
        { "expired", "pass" },     { "moot", "pass" },      { "broken", "fail" },   { "missed", "fail" },
        { "straddles", "unsure" }, { "no_data", "unsure" }, { "FAILED", "danger" }, { "NOT PROVEN", "danger" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(styles); i++)
        if (strcmp(word, styles[i].word) == 0)
            return styles[i].style;
    return "";
}
