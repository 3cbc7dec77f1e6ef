/* The end of a run: targets ended, everything undone and proven, the wire drained; then the reports. */
#include "controller/run/run_priv.h"
#include "controller/run/undo.h"

#include "controller/report/report.h"
#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { FINISH_TIMEOUT_MS = 20000, WIRE_EXIT_TIMEOUT_MS = 3000 };

static void note_undo(struct run *run, const char *entry, const char *outcome)
{
    cJSON *line = cJSON_CreateObject();

    cJSON_AddStringToObject(line, "entry", entry);
    cJSON_AddStringToObject(line, "outcome", outcome);
    cJSON_AddItemToArray(run->undo, line);
    event_log_note(&run->log, EVENT_undo, entry, outcome, 0, 0);
}

static void note_proof(struct run *run, const char *what, bool proven)
{
    cJSON *entry = cJSON_CreateObject();

    cJSON_AddStringToObject(entry, "what", what);
    cJSON_AddStringToObject(entry, "outcome", proven ? "proven" : "NOT PROVEN");
    cJSON_AddItemToArray(run->verify, entry);
    event_log_note(&run->log, EVENT_verified, what, proven ? "proven" : "NOT PROVEN", 0, 0);
    run->unproven |= !proven;
}

/* Lines "ENTRY\tOUTCOME\n" of the guardian's ledger. */
static void take_ledger(struct run *run, char *ledger)
{
    char *line, *rest = NULL;

    for (line = strtok_r(ledger, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *tab = strchr(line, '\t');

        if (tab)
            *tab++ = '\0';
        note_undo(run, line, tab ? tab : "");
    }
}

static void ledger_entry(void *context, const struct journal_entry *entry, const char *outcome)
{
    char text[JOURNAL_ARGUMENT_MAX + JOURNAL_VERB_MAX + 2];

    snprintf(text, sizeof(text), "%s %s", entry->verb, entry->argument);
    note_undo(context, text, outcome);
}

/* The guardian is dead: the journal is ours now. */
static void undo_in_its_place(struct run *run)
{
    struct process_id left[8];
    struct journal journal;
    char path[JOURNAL_PATH_MAX];
    int resisted = -1;

    snprintf(path, sizeof(path), "%s/journal", run->directory);
    if (journal_open(&journal, path) == 0) {
        resisted = undo_all(&journal, ledger_entry, run);
        journal_close(&journal);
    }
    if (process_find_marked(run->id, left, ARRAY_SIZE(left)))
        resisted = -EBUSY;
    note_proof(run, "nothing that the run spawned is left", resisted == 0);
    snprintf(path, sizeof(path), "%s/runs/%s", run->registry.path, run->id);
    if (resisted == 0)
        unlink(path);
    snprintf(path, sizeof(path), "%s/runs/.%s", run->registry.path, run->id); /* a draft, if it died while registering */
    unlink(path);
}

static void let_wire_drain(struct run *run)
{
    struct process_id id;
    bool known = process_identify(run->wire_pid, &id) == 0;

    if (run->wire.fd < 0)
        return;
    executor_ask(&run->wire, MESSAGE_QUIT, run->epoch, 0, NULL, 0, EXECUTOR_TIMEOUT_MS, NULL);
    close(run->wire.fd);
    run->wire.fd = -1;
    if (known && process_wait_gone(&id, WIRE_EXIT_TIMEOUT_MS) < 0)
        cJSON_AddItemToArray(run->notes, cJSON_CreateString("connections through the proxies are still open; the wire executor passes them on and leaves when they end"));
}

int run_finish(struct run *run)
{
    struct message answer = { .payload = NULL };
    int result;

    for (size_t i = 0; i < run->playbook->targets.count; i++) {
        run_locks_end(&run->targets[i]);
        run->targets[i].page = page_close(run->targets[i].page);
    }
    result = run->guardian_gone ? -ECONNRESET
                                : executor_ask(&run->guardian, MESSAGE_FINISH, run->epoch, 0, NULL, 0, FINISH_TIMEOUT_MS, &answer);
    if (result == -ECONNRESET || result == -EPIPE) {
        run->guardian_gone = true;
        undo_in_its_place(run);
    } else {
        if (answer.payload)
            take_ledger(run, answer.payload);
        note_proof(run, "nothing that the run spawned is left", result == 0);
    }
    message_done(&answer);
    let_wire_drain(run);
    return 0;
}

int run_write_reports(struct run *run, const cJSON *document)
{
    char path[512];
    struct buf events, html;
    int result = store_write_json(run->directory, "result.json", document, run->errs);

    buf_init(&events, 64 << 20);
    snprintf(path, sizeof(path), "%s/events.jsonl", run->directory);
    if (err_is_shortage(buf_read_file(&events, path)))
        errs_add(run->errs, ERR_WORLD, path, "cannot be read: report.html is without it");
    if (result == 0) {
        result = report_html(document, &events, &html);
        if (result < 0)
            errs_add(run->errs, ERR_INTERNAL, "report.html", "the report cannot be rendered: %s", strerror(-result));
        else
            result = store_write_file(run->directory, "report.html", html.data, html.length, run->errs);
        buf_done(&html);
    }
    buf_done(&events);
    return result;
}
