/* The guardian's loop: children, signals, the lease, and the fence. */
#include "controller/run/guardian_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_NS (50 * NS_PER_MS)

enum { STOPPED_LOOKS = 6, FENCED_MS = 500 };

/* What a signal of ours carries. */
enum end_word { END_ASKED = 1, END_FORCED };

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

/* Nobody listens any more where connects are led to. */
static void note_wire(struct guardian *guardian)
{
    guardian->wire_pid = 0;
    guarded_capture_end(guardian);
}

void guardian_reap(struct guardian *guardian)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
        if (pid == guardian->runner_pid)
            note_runner(guardian, status);
        else if (WIFSTOPPED(status) || WIFCONTINUED(status))
            continue;
        else if (pid == guardian->wire_pid)
            note_wire(guardian);
        else
            guarded_exited(guardian, pid, status);
    }
}

/* ---- signals, lease ------------------------------------------------------------------------------------------------------- */

int guardian_ask_end(const struct process_id *guardian)
{
    return process_signal_value(guardian, SIGTERM, END_ASKED);
}

int guardian_force_end(const struct process_id *guardian)
{
    return process_signal_value(guardian, SIGTERM, END_FORCED);
}

static int word_of(const struct signalfd_siginfo *info)
{
    return info->ssi_code == SI_QUEUE ? info->ssi_int : 0;
}

static void judge_word(struct guardian *guardian, const struct signalfd_siginfo *info)
{
    int word = word_of(info);

    if (!guardian->is_to_end)
        guardian->looked_ns = clock_now_ns();
    guardian->is_to_end = true;
    if (word == END_FORCED)
        guardian->fence_reason = "it was to end by force";
    else if (word != END_ASKED && ++guardian->interrupts > 1)
        guardian->fence_reason = "interrupted twice";
}

/* The terminal's Ctrl-C reaches the runner by itself; a signal to us alone is passed on. */
static void on_signal(struct guardian *guardian, const struct signalfd_siginfo *info)
{
    if (info->ssi_signo == SIGCHLD) {
        guardian_reap(guardian);
        return;
    }
    judge_word(guardian, info);
    if (!guardian->fence_reason && guardian->runner_pid && !guardian->runner_gone && info->ssi_code != SI_KERNEL)
        kill(guardian->runner_pid, (int)info->ssi_signo == SIGHUP ? SIGTERM : (int)info->ssi_signo);
}

static int next_timeout_ms(const struct guardian *guardian)
{
    uint64_t now_ns = clock_now_ns(), next_ns = host_next_timer_ns(guardian);

    if (guardian->lease_end_ns < next_ns && !guardian->finished)
        next_ns = guardian->lease_end_ns;
    if (guardian->is_to_end && !guardian->finished)
        next_ns = MIN(next_ns, guardian->looked_ns + LOOK_NS);
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
        guardian_on_message(guardian, &question);
        message_done(&question);
        guardian->lease_end_ns += clock_now_ns() - start_ns;
    } else {
        /* It closed its end: it is on its way out, SIGCHLD follows. */
        poll(&(struct pollfd){ .fd = guardian->signal_fd, .events = POLLIN }, 1, 100);
        read_signals(guardian);
    }
}

/* Our wait() is not told of a debugger. */
static bool runner_is_stopped(const struct guardian *guardian)
{
    struct process_id runner;

    return process_identify(guardian->runner_pid, &runner) == 0 && process_is_stopped(&runner);
}

/* Whoever asks for the end does not wait for a lease when the engine is held: stopped at every look for STOPPED_LOOKS of them. */
static void judge_held(struct guardian *guardian)
{
    uint64_t now_ns = clock_now_ns();

    if (!guardian->is_to_end || guardian->finished || guardian->runner_gone || now_ns < guardian->looked_ns + LOOK_NS)
        return;
    guardian->looked_ns = now_ns;
    guardian->stopped_looks = runner_is_stopped(guardian) ? guardian->stopped_looks + 1 : 0;
    if (guardian->stopped_looks >= STOPPED_LOOKS)
        guardian->fence_reason = "it was to end while the run engine was stopped";
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
        judge_held(guardian);
    }
}

/* ---- the end ---------------------------------------------------------------------------------------------------------------- */

static void release_wire(struct guardian *guardian)
{
    const struct message_head head = { .verb = MESSAGE_RELEASE, .epoch = UINT64_MAX, .seq = UINT64_MAX };

    if (guardian->wire_fd >= 0 && guardian->wire_pid)
        message_send(guardian->wire_fd, &head, NULL, 200);
}

/* Our child, not reaped yet: the number is its own. A debugger may keep its remains from us, so they are not waited for. */
static void end_runner(struct guardian *guardian)
{
    struct process_id runner;

    if (process_identify(guardian->runner_pid, &runner) < 0)
        runner = (struct process_id){ 0 };
    kill(guardian->runner_pid, SIGKILL);
    process_wait_gone(&runner, FENCED_MS);
    waitpid(guardian->runner_pid, NULL, WNOHANG);
    guardian->runner_gone = true;
}

static int fence(struct guardian *guardian, const char *reason)
{
    struct buf ledger;
    int resisted, status;

    if (!guardian->runner_gone)
        end_runner(guardian);
    release_wire(guardian);
    buf_init(&ledger, LEDGER_MAX);
    resisted = guardian_undo_everything(guardian, &ledger);
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
        resisted = guardian_undo_everything(guardian, &ledger);
        buf_done(&ledger);
        return resisted ? 4 : WEXITSTATUS(guardian->runner_status);
    }
    if (WIFSIGNALED(guardian->runner_status))
        snprintf(reason, sizeof(reason), "the run engine was killed by signal %d", WTERMSIG(guardian->runner_status));
    else
        snprintf(reason, sizeof(reason), "the run engine ended too early with status %d", WEXITSTATUS(guardian->runner_status));
    return fence(guardian, reason);
}

/* What was asked of a run that has ended must not end who goes on; what a person sent does. */
static void settle_words(const struct guardian *guardian)
{
    struct signalfd_siginfo info;
    int left = 0;

    while (guardian->signal_fd >= 0 && read(guardian->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD && !word_of(&info))
            left = (int)info.ssi_signo;
    if (left)
        kill(getpid(), left);
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
        guardian_undo_everything(guardian, &ledger);
        buf_done(&ledger);
    }
}

int guardian_run(const struct guardian_spec *spec, struct errs *errs)
{
    struct guardian *guardian = calloc(1, sizeof(*guardian));
    int engine_wire_fd = -1, status = ERR_INTERNAL;

    if (!guardian) {
        errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
        return ERR_INTERNAL;
    }
    guardian->spec = spec;
    guardian->wire_fd = guardian->runner_fd = guardian->signal_fd = -1;
    if (guardian_set_up(guardian, errs) == 0) {
        int result = spec->wants_wire ? guardian_fork_wire(guardian, &engine_wire_fd) : 0;

        if (result == 0)
            result = guardian_fork_runner(guardian, engine_wire_fd);
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
    settle_words(guardian);
    close_all(guardian);
    journal_close(&guardian->journal);
    guardian_unblock_signals();
    free(guardian);
    return status;
}
