/* The guardian's loop: children, signals, the runner's messages, the lease, and the fence. */
#include "controller/run/guardian_priv.h"
#include "controller/run/undo.h"

#include "injector/injector.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEDGER_MAX = 256 << 10, STATUS_RULES_MAX = 64, REPLY_TIMEOUT_MS = 1000 };

/* ---- setting up ------------------------------------------------------------------------------------------------------- */

/* Replaced in one step: whoever is killed in the middle of it leaves the one before, never half of one. */
static int write_registration(struct guardian *guardian)
{
    struct process_id self, wire = { 0 }, runner = { 0 };
    char text[1024], self_text[PROCESS_TEXT_MAX], wire_text[PROCESS_TEXT_MAX], runner_text[PROCESS_TEXT_MAX];
    AUTO_CLOSE int fd = open(guardian->registration_draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int length;

    if (fd < 0 || process_identify(getpid(), &self) < 0)
        return -errno;
    if (guardian->wire_pid)
        process_identify(guardian->wire_pid, &wire);
    if (guardian->runner_pid)
        process_identify(guardian->runner_pid, &runner);
    length = snprintf(text, sizeof(text), "guardian %s\nwire %s\nrunner %s\njournal %s\n",
                      process_print(&self, self_text, sizeof(self_text)), process_print(&wire, wire_text, sizeof(wire_text)),
                      process_print(&runner, runner_text, sizeof(runner_text)), guardian->journal_path);
    if (write(fd, text, (size_t)length) != length || fsync(fd) < 0)
        return -EIO;
    return rename(guardian->registration_draft, guardian->registration) < 0 ? -errno : 0;
}

/* The group is journalled before it is made. An ordinary user has none: trees and marks do. */
static int plan_base_entries(struct guardian *guardian)
{
    char name[128], path[GROUP_PATH_MAX];
    uint64_t seq;
    int result = journal_plan(&guardian->journal, UNDO_MARKED, guardian->spec->run_id, &seq);

    if (result < 0)
        return result;
    snprintf(name, sizeof(name), "perturb-%s", guardian->spec->run_id);
    if (group_locate(NULL, name, path) < 0)
        return 0;
    result = journal_plan(&guardian->journal, UNDO_GROUP, path, &seq);
    if (result < 0)
        return result;
    if (group_create(NULL, name, path) < 0)
        return journal_mark(&guardian->journal, seq, JOURNAL_MOOT);
    memcpy(guardian->group, path, sizeof(path));
    return journal_mark(&guardian->journal, seq, JOURNAL_APPLIED);
}

static int set_up(struct guardian *guardian, struct errs *errs)
{
    struct registry registry;
    char part[160], why[REGISTRY_FILE_MAX];
    sigset_t signals;
    int result = registry_open(&registry);

    if (result < 0)
        return errs_add(errs, ERR_WORLD, "registry", "%s", registry_explain(result, why, sizeof(why)));
    snprintf(part, sizeof(part), "runs/%s", guardian->spec->run_id);
    registry_path(&registry, part, guardian->registration, sizeof(guardian->registration));
    snprintf(part, sizeof(part), "runs/.%s", guardian->spec->run_id);
    registry_path(&registry, part, guardian->registration_draft, sizeof(guardian->registration_draft));
    registry_close(&registry);
    snprintf(guardian->journal_path, sizeof(guardian->journal_path), "%s/journal", guardian->spec->directory);
    result = journal_create(&guardian->journal, guardian->journal_path);
    if (result == 0) {
        result = write_registration(guardian);
        if (result < 0)
            return errs_add(errs, ERR_WORLD, guardian->registration, "the run cannot be registered: %s", strerror(-result));
        result = plan_base_entries(guardian);
    }
    if (result < 0)
        return errs_add(errs, ERR_WORLD, guardian->journal_path, "the undo journal cannot be written: %s", strerror(-result));
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN); /* a reader of our output that left must not cost the run its guardian */
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    guardian->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return guardian->signal_fd < 0 ? errs_add(errs, ERR_INTERNAL, NULL, "signalfd: %s", strerror(errno)) : 0;
}

static void unblock_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* It may outlive us: whoever reads our output must see its end when we end. What a crash of it says is kept. */
static void leave_output(const struct guardian *guardian)
{
    char log[JOURNAL_PATH_MAX + 32];
    int input, output;

    snprintf(log, sizeof(log), "%s/logs/.wire.log", guardian->spec->directory);
    input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (output < 0)
        output = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
}

/* The wire executor outlives us: own session, no parent-death signal; its lease makes it inert and it leaves when drained. */
static int fork_wire(struct guardian *guardian, int *ret_engine_fd)
{
    char identity[PROCESS_TEXT_MAX];
    struct process_id id;
    uint64_t seq;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    guardian->wire_pid = fork();
    if (guardian->wire_pid == 0) {
        close(fds[0]);
        close(guardian->signal_fd);
        close(guardian->journal.fd);
        setsid();
        leave_output(guardian);
        unblock_signals();
        prctl(PR_SET_NAME, "perturb-wire");
        _exit(injector_serve(fds[1], NULL) < 0 ? ERR_INTERNAL : 0);
    }
    close(fds[1]);
    if (guardian->wire_pid < 0) {
        close(fds[0]);
        return -EAGAIN;
    }
    guardian->wire_fd = fds[0];
    *ret_engine_fd = fds[0];
    if (process_identify(guardian->wire_pid, &id) == 0) {
        journal_plan(&guardian->journal, UNDO_WIRE, process_print(&id, identity, sizeof(identity)), &seq);
        journal_mark(&guardian->journal, seq, JOURNAL_APPLIED);
    }
    return write_registration(guardian);
}

static int fork_runner(struct guardian *guardian, int wire_fd)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    fflush(NULL);
    guardian->runner_pid = fork();
    if (guardian->runner_pid == 0) {
        close(fds[0]);
        close(guardian->signal_fd);
        close(guardian->journal.fd);
        unblock_signals();
        prctl(PR_SET_NAME, "perturb-runner");
        exit(guardian->spec->engine(guardian->spec->context, fds[1], wire_fd, guardian->wire_pid));
    }
    close(fds[1]);
    if (guardian->runner_pid < 0) {
        close(fds[0]);
        return -EAGAIN;
    }
    guardian->runner_fd = fds[0];
    guardian->lease_end_ns = clock_now_ns() + guardian->spec->lease_ns;
    return write_registration(guardian);
}

/* ---- children --------------------------------------------------------------------------------------------------------- */

static void note_runner(struct guardian *guardian, int status)
{
    if (WIFSTOPPED(status)) {
        guardian->runner_stopped_ns = clock_now_ns();
    } else if (WIFCONTINUED(status)) {
        guardian->runner_stopped_ns = 0;
    } else {
        guardian->runner_gone = true;
        guardian->runner_status = status;
    }
}

static void reap(struct guardian *guardian)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
        if (pid == guardian->runner_pid)
            note_runner(guardian, status);
        else if (WIFSTOPPED(status) || WIFCONTINUED(status))
            continue;
        else if (pid == guardian->wire_pid)
            guardian->wire_pid = 0;
        else
            guarded_exited(guardian, pid, status);
    }
}

/* ---- the runner's messages ---------------------------------------------------------------------------------------------- */

static void ledger_line(void *context, const struct journal_entry *entry, const char *outcome)
{
    buf_printf(context, "%s %s\t%s\n", entry->verb, entry->argument, outcome);
}

/* Faults first, then targets (asked, before they are made to) and everything else that the journal holds. The wire only drains.
 * Returns what resisted. */
static int undo_everything(struct guardian *guardian, struct buf *ledger)
{
    int resisted;

    host_forget(guardian);
    for (size_t i = 0; i < guardian->target_count; i++)
        if (guardian->targets[i].id.pid)
            process_signal(&guardian->targets[i].id, SIGTERM);
    for (size_t i = 0; i < guardian->target_count; i++)
        if (guardian->targets[i].id.pid)
            process_wait_gone(&guardian->targets[i].id, 300);
    resisted = undo_all(&guardian->journal, ledger_line, ledger);
    reap(guardian);
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
    int result = is_release ? 0 : plan ? plan_check(plan, question->head.size) : -EPROTO;

    if (result == 0 && question->head.epoch <= guardian->epoch)
        result = -ESTALE;
    if (result == 0 && question->head.verb == MESSAGE_PREPARE)
        result = host_check(guardian, plan);
    else if (result == 0) {
        guardian->epoch = question->head.epoch;
        result = host_apply(guardian, is_release ? NULL : plan);
    }
    answer(guardian, question, result, list, is_release ? host_status(guardian, list, ARRAY_SIZE(list)) * sizeof(list[0]) : 0);
}

static void on_finish(struct guardian *guardian, const struct message *question)
{
    struct process_id left[8];
    struct buf ledger;
    int resisted;

    buf_init(&ledger, LEDGER_MAX);
    resisted = undo_everything(guardian, &ledger);
    if (process_find_marked(guardian->spec->run_id, left, ARRAY_SIZE(left)) || (guardian->group[0] && !group_is_empty(guardian->group)))
        resisted++;
    guardian->resisted |= resisted > 0;
    guardian->finished = true;
    answer(guardian, question, resisted ? -EBUSY : 0, ledger.data, ledger.length);
    buf_done(&ledger);
}

static void on_message(struct guardian *guardian, const struct message *question)
{
    struct rule_status list[STATUS_RULES_MAX];

    switch (question->head.verb) {
    case MESSAGE_RENEW:
        guardian->renewed = true;
        guardian->lease_end_ns = clock_now_ns() + question->head.ttl_ns;
        answer(guardian, question, 0, NULL, 0);
        break;
    case MESSAGE_SPAWN:
        on_spawn(guardian, question);
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

/* ---- signals, lease ------------------------------------------------------------------------------------------------------- */

/* The terminal's Ctrl-C reaches the runner by itself; a signal to us alone is passed on. The second one fences. */
static void on_signal(struct guardian *guardian, const struct signalfd_siginfo *info)
{
    if (info->ssi_signo == SIGCHLD) {
        reap(guardian);
        return;
    }
    guardian->interrupts++;
    if (guardian->interrupts > 1)
        guardian->fence_reason = "interrupted twice";
    else if (guardian->runner_pid && !guardian->runner_gone && (info->ssi_code != SI_KERNEL))
        kill(guardian->runner_pid, (int)info->ssi_signo == SIGHUP ? SIGTERM : (int)info->ssi_signo);
}

static int next_timeout_ms(const struct guardian *guardian)
{
    uint64_t now_ns = clock_now_ns(), next_ns = host_next_timer_ns(guardian);

    if (guardian->lease_end_ns < next_ns && !guardian->finished)
        next_ns = guardian->lease_end_ns;
    if (next_ns == UINT64_MAX)
        return 1000;
    return next_ns <= now_ns ? 5 : (int)MIN((next_ns - now_ns) / NS_PER_MS + 1, UINT64_C(1000));
}

static void read_signals(struct guardian *guardian)
{
    struct signalfd_siginfo info;

    while (read(guardian->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        on_signal(guardian, &info);
}

/* The engine waits for the answer and cannot renew meanwhile: what the work took is not counted as its silence. */
static void serve(struct guardian *guardian)
{
    uint64_t start_ns = clock_now_ns();
    struct message question;

    if (message_receive(guardian->runner_fd, REPLY_TIMEOUT_MS, &question) == 0) {
        on_message(guardian, &question);
        message_done(&question);
        guardian->lease_end_ns += clock_now_ns() - start_ns;
    } else {
        /* It closed its end: it is on its way out, SIGCHLD follows. */
        poll(&(struct pollfd){ .fd = guardian->signal_fd, .events = POLLIN }, 1, 100);
        read_signals(guardian);
    }
}

/* Silent for a lease while faults may act; stopped for one while it only has to report. */
static void judge_silence(struct guardian *guardian)
{
    uint64_t now_ns = clock_now_ns();

    if (!guardian->finished && now_ns >= guardian->lease_end_ns)
        guardian->fence_reason = "the run engine fell silent for a whole lease";
    if (guardian->finished && guardian->runner_stopped_ns && now_ns >= guardian->runner_stopped_ns + guardian->spec->lease_ns)
        guardian->fence_reason = "the run engine was stopped while it reported";
}

static void watch(struct guardian *guardian)
{
    while (!guardian->runner_gone && !guardian->fence_reason) {
        struct pollfd fds[2] = { { .fd = guardian->signal_fd, .events = POLLIN }, { .fd = guardian->runner_fd, .events = POLLIN } };

        poll(fds, 2, next_timeout_ms(guardian));
        if (fds[0].revents)
            read_signals(guardian);
        if (fds[1].revents & (POLLIN | POLLHUP))
            serve(guardian);
        host_timers(guardian);
        judge_silence(guardian);
    }
}

/* ---- the end ---------------------------------------------------------------------------------------------------------------- */

static void release_wire(struct guardian *guardian)
{
    const struct message_head head = { .verb = MESSAGE_RELEASE, .epoch = UINT64_MAX, .seq = UINT64_MAX };

    if (guardian->wire_fd >= 0 && guardian->wire_pid)
        message_send(guardian->wire_fd, &head, NULL, 200);
}

static int fence(struct guardian *guardian, const char *reason)
{
    struct buf ledger;
    int resisted, status;

    if (!guardian->runner_gone) {
        kill(guardian->runner_pid, SIGKILL); /* our child, not reaped yet: the number is its own */
        waitpid(guardian->runner_pid, NULL, 0);
        guardian->runner_gone = true;
    }
    release_wire(guardian);
    buf_init(&ledger, LEDGER_MAX);
    resisted = undo_everything(guardian, &ledger);
    status = guardian->spec->fenced(guardian->spec->context, reason, resisted, &ledger);
    buf_done(&ledger);
    return status;
}

static int end_status(struct guardian *guardian)
{
    char reason[96];

    if (guardian->fence_reason)
        return fence(guardian, guardian->fence_reason);
    if (guardian->finished && WIFEXITED(guardian->runner_status))
        return WEXITSTATUS(guardian->runner_status);
    if (!guardian->finished && WIFEXITED(guardian->runner_status) && !guardian->renewed && WEXITSTATUS(guardian->runner_status) >= 64) {
        struct buf ledger;
        int resisted;

        /* It refused before anything was armed and told why. */
        buf_init(&ledger, LEDGER_MAX);
        resisted = undo_everything(guardian, &ledger);
        buf_done(&ledger);
        return resisted ? 4 : WEXITSTATUS(guardian->runner_status);
    }
    if (WIFSIGNALED(guardian->runner_status))
        snprintf(reason, sizeof(reason), "the run engine was killed by signal %d", WTERMSIG(guardian->runner_status));
    else
        snprintf(reason, sizeof(reason), "the run engine ended too early with status %d", WEXITSTATUS(guardian->runner_status));
    return fence(guardian, reason);
}

static void close_all(const struct guardian *guardian)
{
    const int fds[] = { guardian->signal_fd, guardian->runner_fd, guardian->wire_fd };

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* Starting failed half way: what is there is taken back. */
static void give_up(struct guardian *guardian)
{
    struct buf ledger;

    if (guardian->journal.entries) {
        buf_init(&ledger, LEDGER_MAX);
        undo_everything(guardian, &ledger);
        buf_done(&ledger);
    }
}

int guardian_run(const struct guardian_spec *spec, struct errs *errs)
{
    struct guardian *guardian = calloc(1, sizeof(*guardian));
    int engine_wire_fd = -1, status = ERR_INTERNAL;

    if (!guardian)
        return ERR_INTERNAL;
    guardian->spec = spec;
    guardian->wire_fd = guardian->runner_fd = guardian->signal_fd = -1;
    if (set_up(guardian, errs) == 0) {
        int result = spec->wants_wire ? fork_wire(guardian, &engine_wire_fd) : 0;

        if (result == 0)
            result = fork_runner(guardian, engine_wire_fd);
        if (result < 0) {
            errs_add(errs, ERR_WORLD, NULL, "a process of the run could not be started: %s", strerror(-result));
            give_up(guardian);
        } else {
            watch(guardian);
            status = end_status(guardian);
        }
    } else {
        give_up(guardian);
    }
    unlink(guardian->registration_draft);
    if (!guardian->resisted)
        unlink(guardian->registration);
    status = errs->count ? errs_status(errs) : status;
    for (size_t i = 0; i < guardian->target_count; i++)
        free(guardian->targets[i].image);
    close_all(guardian);
    journal_close(&guardian->journal);
    unblock_signals();
    free(guardian);
    return status;
}
