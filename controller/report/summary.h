/* What a run says in one breath, worded once for every report. */
#ifndef PERTURB_REPORT_SUMMARY_H
#define PERTURB_REPORT_SUMMARY_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* How the run ended, by exit status (DESIGN section 7). */
struct summary_outcome {
    const char *word;  /* "PASSED" */
    const char *style; /* CSS class and colour name: pass, fail, unsure, abort, danger */
    const char *sign;  /* one UTF-8 character, so that colour is never the only mark */
    const char *ansi;  /* terminal escape that sets the colour */
};

const struct summary_outcome *summary_outcome(const cJSON *result);

/* The verdict in words ("recovered under fault") and what it means to one who has never seen it; both "" when unknown. */
struct summary_verdict {
    const char *name; /* as in the document */
    const char *words;
    const char *meaning;
};

const struct summary_verdict *summary_verdict(const cJSON *result);
const struct summary_verdict *summary_verdict_named(const char *name);

/* The one number. `value` is never empty. */
struct summary_headline {
    char value[64];             /* "400 ms", "> 12 s", "none" */
    char label[200];            /* "from the end of the fault until main.goodput was back for good", cut, hostile: escape it */
    char interval[128];         /* "95 % interval 360 ms to 460 ms"; "" when there is none */
    double at_s, low_s, high_s; /* the number and its interval as plotted; NaN when there is none */
};

void summary_headline(const cJSON *result, struct summary_headline *ret);

/* The signal that decided, an entry of "signals"; NULL when none did. Borrowed. */
const cJSON *summary_signal(const cJSON *result);

bool summary_quick(const cJSON *result);

/* Style word of an outcome of a table ("met", "broken", "FAILED" ...): pass, fail, unsure, danger, or "" when unknown. */
const char *summary_outcome_style(const char *word);

#endif
