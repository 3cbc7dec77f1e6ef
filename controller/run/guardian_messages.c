/* What the runner asks of the guardian, and how everything is undone. */
#include "controller/run/guardian_priv.h"
#include "controller/run/undo.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

enum { STATUS_RULES_MAX = 64, WHY_MAX = 1024 };

static void ledger_line(void *context, const struct journal_entry *entry, const char *outcome)
{
    buf_printf(context, "%s %s\t%s\n", entry->verb, entry->argument, outcome);
}

/* Faults first, then targets (asked, before they are made to) and everything else that the journal holds. The wire only drains.
 * Returns what resisted. */
int guardian_undo_everything(struct guardian *guardian, struct buf *ledger)
{
    int resisted;

    host_forget(guardian);
    for (size_t i = 0; i < guardian->target_count; i++)
        if (guardian->targets[i].id.pid && !guardian->targets[i].adopted)
            process_signal(&guardian->targets[i].id, SIGTERM);
    for (size_t i = 0; i < guardian->target_count; i++)
        if (guardian->targets[i].id.pid && !guardian->targets[i].adopted)
            process_wait_gone(&guardian->targets[i].id, 300);
    resisted = undo_all(&guardian->journal, ledger_line, ledger);
    guardian_reap(guardian);
    guardian->resisted |= resisted > 0;
    return resisted;
}

static void answer(struct guardian *guardian, const struct message *question, int result, const void *payload, size_t size)
{
    const struct message_head head = { .verb = question->head.verb, .result = result, .seq = question->head.seq,
                                       .epoch = question->head.epoch, .size = (uint32_t)size };

    message_send(guardian->runner_fd, &head, payload, REPLY_TIMEOUT_MS);
}

static void on_spawn(struct guardian *guardian, const struct message *question)
{
    const char *step = "";
    pid_t pid = 0;
    int result = guarded_spawn_image(guardian, question->payload, question->head.size, &pid, &step);
    int32_t wire_pid = pid;

    if (result < 0)
        answer(guardian, question, result, step, strlen(step));
    else
        answer(guardian, question, 0, &wire_pid, sizeof(wire_pid));
}

static void on_journal(struct guardian *guardian, const struct message *question)
{
    const char *text = question->payload ? question->payload : "";
    char verb[JOURNAL_VERB_MAX];
    const char *blank = strchr(text, ' ');
    uint64_t seq;
    int result = -EINVAL;

    if (blank && blank - text < JOURNAL_VERB_MAX) {
        snprintf(verb, sizeof(verb), "%.*s", (int)(blank - text), text);
        result = journal_plan(&guardian->journal, verb, blank + 1, &seq);
    }
    answer(guardian, question, result, NULL, 0);
}

static void on_plan(struct guardian *guardian, const struct message *question)
{
    const struct plan *plan = question->payload;
    bool is_release = question->head.verb == MESSAGE_RELEASE;
    struct rule_status list[STATUS_RULES_MAX];
    struct buf why;
    int result = is_release ? 0 : plan ? plan_check(plan, question->head.size) : -EPROTO;

    if (result == 0 && question->head.epoch <= guardian->epoch)
        result = -ESTALE;
    buf_init(&why, WHY_MAX);
    if (result == 0 && question->head.verb == MESSAGE_PREPARE)
        result = host_check(guardian, plan, &why);
    else if (result == 0) {
        guardian->epoch = question->head.epoch;
        result = host_apply(guardian, is_release ? NULL : plan);
    }
    if (is_release)
        answer(guardian, question, result, list, host_status(guardian, list, ARRAY_SIZE(list)) * sizeof(list[0]));
    else
        answer(guardian, question, result, why.data, why.length);
    buf_done(&why);
}

static void on_finish(struct guardian *guardian, const struct message *question)
{
    struct process_id left[8];
    struct buf ledger;
    int resisted;

    buf_init(&ledger, LEDGER_MAX);
    resisted = guardian_undo_everything(guardian, &ledger);
    if (process_find_marked(guardian->spec->run_id, left, ARRAY_SIZE(left)) || (guardian->group[0] && !group_is_empty(guardian->group)))
        resisted++;
    guardian->resisted |= resisted > 0;
    guardian->finished = true;
    answer(guardian, question, resisted ? -EBUSY : 0, ledger.data, ledger.length);
    buf_done(&ledger);
}

static void on_capture(struct guardian *guardian, const struct message *question)
{
    struct buf why;
    int result;

    buf_init(&why, WHY_MAX);
    result = guarded_capture(guardian, question->payload, question->head.size, &why);
    answer(guardian, question, result, why.data, why.length);
    buf_done(&why);
}

static void on_renew(struct guardian *guardian, const struct message *question)
{
    guardian->renewed = true;
    guardian->lease_end_ns = clock_now_ns() + question->head.ttl_ns;
    host_renew(guardian, question->head.ttl_ns);
    answer(guardian, question, guarded_capture_renew(guardian, question->head.ttl_ns), NULL, 0);
}

void guardian_on_message(struct guardian *guardian, const struct message *question)
{
    struct rule_status list[STATUS_RULES_MAX];

    switch (question->head.verb) {
    case MESSAGE_RENEW:
        on_renew(guardian, question);
        break;
    case MESSAGE_CAPTURE:
        on_capture(guardian, question);
        break;
    case MESSAGE_SPAWN:
        on_spawn(guardian, question);
        break;
    case MESSAGE_ADOPT:
        answer(guardian, question, guarded_adopt(guardian, question->payload, question->head.size), NULL, 0);
        break;
    case MESSAGE_JOURNAL:
        on_journal(guardian, question);
        break;
    case MESSAGE_PREPARE:
    case MESSAGE_ARM:
    case MESSAGE_RELEASE:
        on_plan(guardian, question);
        break;
    case MESSAGE_STATUS:
        answer(guardian, question, 0, list, host_status(guardian, list, ARRAY_SIZE(list)) * sizeof(list[0]));
        break;
    case MESSAGE_FINISH:
        on_finish(guardian, question);
        break;
    default:
        answer(guardian, question, -ENOSYS, NULL, 0);
    }
}
