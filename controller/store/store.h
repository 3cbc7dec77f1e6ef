/* What a run leaves behind: its directory (the truth) and one row of the history (an index over the directories).
 *
 *  1. A run directory is 0700, its files 0600 (DESIGN section 5.6). A file appears whole or not at all.
 *  2. A run has its row before it disturbs anything, so that a run that was cut off is accounted for: a row still "running"
 *     whose process is gone reads as "interrupted".
 *  3. Losing the history loses no result: every row can be made again from DIRECTORY/result.json.
 *
 * The state directory is $PERTURB_STATE (of a service with a directory of its own), else $XDG_STATE_HOME/perturb (absolute, else ignored: XDG Base Directory 0.8), else
 * $HOME/.local/state/perturb. */
#ifndef PERTURB_STORE_H
#define PERTURB_STORE_H

#include "scenarios/base/buf.h"
#include "scenarios/base/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- directories and files ---- */

/* Returns new: the absolute state directory, made if need be. 0; negative with an error added. */
int store_state_directory(char **ret_directory, struct errs *errs);

/* Makes the directory of one run, with its `logs/`.
 *   out_dir_or_null   the directory of the run itself (made with its parents; refused when it exists and is not empty);
 *                     NULL means STATE/runs/ID
 *   id                of the run: letters, digits, '-', '_', '.'; not starting with '.'
 * Returns 0 with a new absolute path; negative with an error added. */
int store_run_create(const char *out_dir_or_null, const char *id, char **ret_directory, struct errs *errs);

/* Writes DIRECTORY/NAME whole, durably and atomically: temporary file, fsync, rename, fsync of the directory.
 *   name   no '/'; mode 0600
 * Returns 0; negative with an error added, and then no file NAME has changed. */
int store_write_file(const char *directory, const char *name, const void *bytes, size_t length, struct errs *errs);

/* The same for a document, printed for reading. */
int store_write_json(const char *directory, const char *name, const cJSON *document, struct errs *errs);

/* Reads DIRECTORY/result.json. Returns 0 with a new document (cJSON_Delete); negative with an error added when it is missing, is
 * no JSON object, or its "schema" is none this program knows. */
int store_read_result(const char *directory, cJSON **ret_result, struct errs *errs);

/* ---- history ---- */

/* One run. Texts are UTF-8 and may be NULL (unknown); numbers may be NaN (unknown). */
struct store_run {
    const char *id;
    const char *playbook;      /* path as given */
    const char *playbook_hash; /* hex */
    const char *pins_hash; /* of what must agree for two runs to be compared: rigour, band, hold, bin, loads, deciding signals */
    const char *title;
    const char *service;
    const char *rigour;
    const char *seed;
    const char *started; /* RFC 3339, UTC */
    const char *verdict; /* DESIGN section 7; "running" or "interrupted" when there is none */
    const char *directory;
    int status; /* exit status; -1 when there is none */
    double duration_s;
    double convergence_s; /* from the release, with its interval */
    double convergence_low_s;
    double convergence_high_s;
    double loss_s; /* of full outage, to the end of the hold, of the signal that decided */
    double observed_s; /* from the release to the end: a run that never came back took longer than this */
    const char *series; /* which playbook: the real path of its file */
    const char *batch;  /* of the runs that one command made together: the id of the first */
    void *storage; /* owned: what the texts point into; NULL when they are borrowed */
};

struct store_history;

/* Opens STATE/history.db, or `path_or_null`; makes or migrates it. Safe with several processes at a time (WAL, busy timeout 5 s).
 * 0; negative with an error added that names the file: not a database, damaged, of a newer version, not writable. */
int store_history_open(const char *path_or_null, struct store_history **ret_history, struct errs *errs);
void store_history_close(struct store_history *history); /* accepts NULL */

/* Adds the row of a run that begins: `verdict` and what follows from it are ignored. The calling process is taken for the runner.
 * 0; -EEXIST when the id is taken. */
int store_history_begin(struct store_history *history, const struct store_run *run, struct errs *errs);

/* Completes the row (adds it if there is none). `run` is usually store_run_from_result()'s. */
int store_history_end(struct store_history *history, const struct store_run *run, struct errs *errs);

/* The newest `limit` runs (0: all), newest first. Returns 0 with a new array, to be freed with store_runs_free(). */
int store_history_list(struct store_history *history, size_t limit, struct store_run **ret_runs, size_t *ret_count,
                       struct errs *errs);
struct store_run *store_runs_free(struct store_run *runs, size_t count); /* accepts NULL, returns NULL */

/* Which runs a page of the history shows: members that are NULL choose nothing. */
struct store_filter {
    const char *playbook, *series; /* as the run has it; with a series the playbook chooses nothing */
    const char *verdict, *service, *batch;
    const char *since;                       /* started at or after: RFC 3339, UTC */
    const char *before_started, *before_id;  /* both or none: what follows this run in the order of the list */
    enum { STORE_ANY, STORE_LIVE, STORE_ENDED } live;
};

/* The newest `limit` runs of those, newest first, in an order that runs added later do not change. Free as above. */
int store_history_page(struct store_history *history, const struct store_filter *filter, size_t limit, struct store_run **ret_runs,
                       size_t *ret_count, struct errs *errs);

/* A text that differs when the runs of the series do: for what is made of them and kept. */
int store_history_state(struct store_history *history, const char *series, char *text, size_t size, struct errs *errs);

/* All runs of one playbook (`series`), or of one batch, newest first; free as above. */
int store_history_series(struct store_history *history, const char *series, struct store_run **ret_runs, size_t *ret_count,
                         struct errs *errs);
int store_history_batch(struct store_history *history, const char *batch, struct store_run **ret_runs, size_t *ret_count,
                        struct errs *errs);

/* The newest `limit` runs of the series of `now` but itself and those that still run, as `history` of docs/result-document.md: new
 * list (cJSON_Delete). 0; negative with an error added. */
int store_history_earlier(struct store_history *history, const struct store_run *now, size_t limit, cJSON **ret_list, struct errs *errs);

/* Finds one run by id, by a prefix only it has, or by the word "last" (the newest). 0 with `ret_run` to be ended by
 * store_run_done(); -ENOENT, or -ENOTUNIQ with an error that names the candidates. */
int store_history_find(struct store_history *history, const char *key, struct store_run *ret_run, struct errs *errs);
void store_run_done(struct store_run *run);

/* ---- the ledger of findings ---- */

/* A finding is opened by a failed run of a playbook that has none open, counts further failures, and is closed by a passing run of
 * the same playbook and by nothing else (C12). Texts may be NULL. */
struct store_finding {
    int64_t id;
    const char *series, *playbook, *title, *service;
    const char *opened_run, *opened; /* the first failed run, and when it started */
    const char *last_run, *last;     /* the latest */
    int64_t failures;
    const char *verdict, *why; /* of the latest */
    const char *owner, *due;   /* who mends it, and when it is to be tested again: YYYY-MM-DD */
    const char *closed_run, *closed;
    void *storage; /* owned */
};

/* What a run that ended means for the ledger: status 1 and 4 open or count, 0 closes, others say nothing. `why` is its sentence.
 * *ret_id is the finding that was opened, counted or closed; 0 for none. */
int store_findings_note(struct store_history *history, const struct store_run *run, const char *why, int64_t *ret_id, struct errs *errs);

/* The open ones, or all, those that are due first. 0 with a new array, to be freed with store_findings_free(). */
int store_findings_list(struct store_history *history, bool all, struct store_finding **ret_findings, size_t *ret_count, struct errs *errs);
cJSON *store_finding_json(const struct store_finding *finding); /* returns new */
struct store_finding *store_findings_free(struct store_finding *findings, size_t count); /* accepts NULL, returns NULL */

/* Sets what is not NULL. 0; -ENOENT with an error added. */
int store_findings_assign(struct store_history *history, int64_t id, const char *owner, const char *due, struct errs *errs);

/* Fills a row from a result document: texts are borrowed from it, but for `pins_hash`, which lies in `storage`
 * (store_run_done). `directory` is borrowed; NULL takes the document's. 0 or -ENOMEM. */
int store_run_from_result(const cJSON *result, const char *directory, struct store_run *ret_run);

#endif
