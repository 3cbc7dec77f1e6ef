/* See once.h. The rows stand in service.db: (identity, key) -> what was asked (a digest) and what was answered. */
#include "controller/serve/http/once.h"

#include "controller/base/digest.h"
#include "controller/serve/http/dispatch.h"
#include "controller/serve/core/service.h"
#include "scenarios/base/buf.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { KEY_MAX = 128, KEPT_S = 86400, QUESTION_MAX = CALL_BODY_MAX + 2 * URI_BYTES_MAX };

static bool is_key(const char *key)
{
    size_t length = strlen(key);

    for (const char *at = key; *at; at++)
        if (*at < 0x21 || *at > 0x7e)
            return false;
    return length && length <= KEY_MAX;
}

/* Method, target and body. */
static void digest_question(const struct api_call *call, char digest[DIGEST_CHARS])
{
    struct buf question;

    buf_init(&question, QUESTION_MAX);
    buf_printf(&question, "%s %s\n", call->method, call->raw);
    buf_append(&question, call->body.data, call->body.length);
    digest_text(question.data, question.length, digest, DIGEST_CHARS);
    buf_done(&question);
}

/* What the row of a key that is taken says. */
static void answer_again(struct api_call *call, sqlite3_stmt *row, const char *digest)
{
    const char *question = db_text(row, 0), *text = db_text(row, 2);
    int status = sqlite3_column_int(row, 1);

    if (!question || strcmp(question, digest) != 0) {
        api_fail(call, 422, "this Idempotency-Key was used for another request");
    } else if (!status) {
        api_fail(call, 409, "the first request with this Idempotency-Key has not come to an answer: look what became of it, then use a new key");
    } else {
        api_header(call, "Idempotent-Replayed", "true");
        if (status == 204)
            api_reply(call, 204, NULL);
        else
            api_reply_bytes(call, status, status < 400 ? "application/json" : "application/problem+json", strdup(text ? text : ""), strlen(text ? text : ""));
    }
}

/* True: the key is ours now. */
static bool claim(struct service_db *db, struct api_call *call, const char *digest)
{
    const char *key = call->headers.idempotency_key;
    int64_t now_s = (int64_t)time(NULL);
    struct errs *errs = api_errs(call);
    sqlite3_stmt *row;
    int result = db_run(db, errs, "DELETE FROM once WHERE at_s < ?1", "i", now_s - KEPT_S);

    if (result == 0)
        result = db_run(db, errs, "INSERT INTO once (identity, key, question, at_s) VALUES (?1, ?2, ?3, ?4)", "ttti", call->identity, key, digest, now_s);
    if (result == 0)
        return true;
    if (result != -EEXIST || db_query(db, errs, &row, "SELECT question, status, answer FROM once WHERE identity = ?1 AND key = ?2", "tt", call->identity, key) < 0) {
        api_fail_errs(call, result);
        return false;
    }
    if (db_step(db, row, errs) > 0)
        answer_again(call, row, digest);
    else
        api_fail(call, 503, "the Idempotency-Key cannot be looked up");
    sqlite3_finalize(row);
    return false;
}

bool once_begin(struct api_call *call)
{
    const char *key = call->headers.idempotency_key;
    char digest[DIGEST_CHARS];
    struct service_db *db;
    bool ours;

    if (!key || strcmp(call->method, "POST") != 0)
        return true;
    if (!is_key(key)) {
        api_fail(call, 400, "an Idempotency-Key is 1 to %d printable characters without blanks", KEY_MAX);
        return false;
    }
    digest_question(call, digest);
    db = service_lock(api_service(call));
    ours = claim(db, call, digest);
    service_unlock(api_service(call));
    return ours;
}

/* An answer that says "not now" leaves the key free; others are kept. */
void once_end(struct api_call *call)
{
    const char *key = call->headers.idempotency_key;
    const struct call_answer *answer = &call->answer;
    struct service_db *db;

    if (!key || strcmp(call->method, "POST") != 0)
        return;
    db = service_lock(api_service(call));
    if (answer->status == 429 || answer->status == 503 || answer->status == 507)
        (void)db_run(db, api_errs(call), "DELETE FROM once WHERE identity = ?1 AND key = ?2", "tt", call->identity, key);
    else
        (void)db_run(db, api_errs(call), "UPDATE once SET status = ?3, answer = ?4 WHERE identity = ?1 AND key = ?2", "ttit", call->identity, key,
                     (int64_t)answer->status, answer->bytes ? answer->bytes : "");
    service_unlock(api_service(call));
}
