/* The ledger: what failed and has not been proved mended. */
#include "controller/store/store_priv.h"

#include "controller/base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS                                                                                                                   \
    "series, playbook, title, service, opened_run, opened, last_run, last, verdict, why, owner, due, closed_run, closed, failures, id"

enum { TEXT_COLUMNS = 14, GROWTH = 32 };

static int bind_and_step(struct store_history *history, const char *sql, const char *const *texts, size_t count, const char *what,
                         struct errs *errs)
{
    sqlite3_stmt *statement;
    int result;

    if (sqlite3_prepare_v2(history->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return store_fail(history, what, errs);
    for (size_t i = 0; i < count; i++)
        sqlite3_bind_text(statement, (int)i + 1, texts[i], -1, SQLITE_TRANSIENT);
    result = sqlite3_step(statement);
    result = result == SQLITE_DONE || result == SQLITE_ROW ? 0 : store_fail(history, what, errs);
    sqlite3_finalize(statement);
    return result;
}

/* The id of the open finding of a series, or of the one that a run closed; 0 for none. */
static int64_t find_id(struct store_history *history, const char *sql, const char *key)
{
    sqlite3_stmt *statement;
    int64_t id = 0;

    if (sqlite3_prepare_v2(history->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return 0;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_TRANSIENT);
    if (sqlite3_step(statement) == SQLITE_ROW)
        id = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return id;
}

int store_findings_note(struct store_history *history, const struct store_run *run, const char *why, int64_t *ret_id, struct errs *errs)
{
    const char *const texts[] = { run->series, run->playbook, run->title, run->service, run->id, run->started, run->verdict, why };
    int result;

    *ret_id = 0;
    if (!run->series || (run->status != 0 && run->status != 1 && run->status != 4))
        return 0;
    if (run->status == 0) {
        result = bind_and_step(history, "UPDATE finding SET closed_run = ?5, closed = ?6 WHERE series = ?1 AND closed_run IS NULL", texts, 6,
                               "close a finding", errs);
        *ret_id = find_id(history, "SELECT id FROM finding WHERE closed_run = ?1", run->id);
        return result;
    }
    result = bind_and_step(history,
                           "INSERT INTO finding (series, playbook, title, service, opened_run, opened, last_run, last, verdict, why)"
                           " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5, ?6, ?7, ?8)"
                           " ON CONFLICT (series) WHERE closed_run IS NULL"
                           " DO UPDATE SET failures = failures + 1, last_run = ?5, last = ?6, verdict = ?7, why = ?8",
                           texts, 8, "open a finding", errs);
    *ret_id = find_id(history, "SELECT id FROM finding WHERE series = ?1 AND closed_run IS NULL", run->series);
    return result;
}

static int take_finding(sqlite3_stmt *statement, struct store_finding *ret_finding)
{
    struct store_finding finding = { .id = sqlite3_column_int64(statement, TEXT_COLUMNS + 1) };
    const char **slots[TEXT_COLUMNS] = { &finding.series, &finding.playbook, &finding.title,   &finding.service, &finding.opened_run,
                                         &finding.opened, &finding.last_run, &finding.last,    &finding.verdict, &finding.why,
                                         &finding.owner,  &finding.due,      &finding.closed_run, &finding.closed };
    size_t bytes = 1;
    char *at;

    for (int i = 0; i < TEXT_COLUMNS; i++)
        bytes += (size_t)sqlite3_column_bytes(statement, i) + 1;
    finding.storage = at = malloc(bytes);
    if (!at)
        return -ENOMEM;
    for (int i = 0; i < TEXT_COLUMNS; i++) {
        const unsigned char *text = sqlite3_column_text(statement, i);
        size_t length = text ? strlen((const char *)text) : 0;

        if (!text)
            continue;
        *slots[i] = memcpy(at, text, length + 1);
        at += length + 1;
    }
    finding.failures = sqlite3_column_int64(statement, TEXT_COLUMNS);
    *ret_finding = finding;
    return 0;
}

int store_findings_list(struct store_history *history, bool all, struct store_finding **ret_findings, size_t *ret_count, struct errs *errs)
{
    static const char open_ones[] = "SELECT " COLUMNS " FROM finding WHERE closed_run IS NULL ORDER BY due IS NULL, due, opened, id";
    static const char every[] = "SELECT " COLUMNS " FROM finding ORDER BY closed_run IS NOT NULL, due IS NULL, due, opened, id";
    struct store_finding *findings = NULL;
    sqlite3_stmt *statement;
    size_t count = 0;
    int step = SQLITE_DONE, result = 0;

    if (sqlite3_prepare_v2(history->db, all ? every : open_ones, -1, &statement, NULL) != SQLITE_OK)
        return store_fail(history, "read the findings", errs);
    while (result == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        if (count % GROWTH == 0) {
            struct store_finding *grown = realloc(findings, (count + GROWTH) * sizeof(*findings));

            if (!grown) {
                result = -ENOMEM;
                break;
            }
            findings = grown;
        }
        result = take_finding(statement, &findings[count]);
        count += result == 0;
    }
    if (result < 0)
        errs_add(errs, ERR_INTERNAL, history->path, "out of memory");
    else if (step != SQLITE_DONE)
        result = store_fail(history, "read the findings", errs);
    sqlite3_finalize(statement);
    if (result < 0) {
        store_findings_free(findings, count);
        return result;
    }
    *ret_findings = findings;
    *ret_count = count;
    return 0;
}

cJSON *store_finding_json(const struct store_finding *finding)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddNumberToObject(object, "id", (double)finding->id);
    json_put_text(object, "playbook", finding->playbook);
    json_put_text(object, "title", finding->title);
    json_put_text(object, "service", finding->service);
    json_put_text(object, "verdict", finding->verdict);
    json_put_text(object, "why", finding->why);
    cJSON_AddNumberToObject(object, "failures", (double)finding->failures);
    json_put_text(object, "opened", finding->opened);
    json_put_text(object, "opened_run", finding->opened_run);
    json_put_text(object, "last", finding->last);
    json_put_text(object, "last_run", finding->last_run);
    json_put_text(object, "owner", finding->owner);
    json_put_text(object, "due", finding->due);
    json_put_text(object, "closed", finding->closed);
    json_put_text(object, "closed_run", finding->closed_run);
    return object;
}

struct store_finding *store_findings_free(struct store_finding *findings, size_t count)
{
    for (size_t i = 0; findings && i < count; i++)
        free(findings[i].storage);
    free(findings);
    return NULL;
}

int store_findings_assign(struct store_history *history, int64_t id, const char *owner, const char *due, struct errs *errs)
{
    char key[24], where[40];
    const char *const texts[] = { key, owner, due };
    int result;

    snprintf(key, sizeof(key), "%lld", (long long)id);
    snprintf(where, sizeof(where), "finding %s", key);
    if (!find_id(history, "SELECT id FROM finding WHERE id = ?1", key)) {
        errs_add(errs, ERR_USAGE, where, "there is none; `perturb findings --all` lists them");
        return -ENOENT;
    }
    result = bind_and_step(history, "UPDATE finding SET owner = coalesce(?2, owner), due = coalesce(?3, due) WHERE id = ?1", texts, 3,
                           "change a finding", errs);
    return result;
}
