/* The guardian's beginning: registration, journal, control group, and its two children, the wire executor and the runner. */
#include "controller/run/guardian_priv.h"
#include "controller/run/undo.h"

#include "injector/injector.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

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

int guardian_set_up(struct guardian *guardian, struct errs *errs)
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

void guardian_unblock_signals(void)
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

static void end_capture(void *record)
{
    capture_remove(record);
}

static int serve_wire(const struct guardian *guardian, int control_fd)
{
    char record[CAPTURE_RECORD_MAX];
    struct injector_parting parting = { .act = end_capture, .context = record };
    struct injector_limits limits;

    injector_raise_descriptors();
    injector_limits_init(&limits);
    limits.backend = guardian->spec->backend;
    limits.spin_ns = guardian->spec->spin_ns;
    if (!guardian->spec->captures || capture_record(guardian->spec->run_id, record) < 0)
        return injector_serve(control_fd, &limits);
    return injector_serve_parting(control_fd, &limits, &parting);
}

/* The wire executor outlives us: own session, no parent-death signal; its lease makes it inert and it leaves when drained. */
int guardian_fork_wire(struct guardian *guardian, int *ret_engine_fd)
{
    char identity[PROCESS_TEXT_MAX];
    struct capture_hold *hold = NULL;
    struct process_id id;
    uint64_t seq;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    guardian->holds = guardian->spec->captures && capture_hold(guardian->spec->run_id, &hold) == 0;
    guardian->wire_pid = fork();
    if (guardian->wire_pid == 0) {
        close(fds[0]);
        close(guardian->signal_fd);
        close(guardian->journal.fd);
        setsid();
        leave_output(guardian);
        guardian_unblock_signals();
        prctl(PR_SET_NAME, "perturb-wire");
        _exit(serve_wire(guardian, fds[1]) < 0 ? ERR_INTERNAL : 0);
    }
    close(fds[1]);
    capture_unhold(hold); /* the executor has it */
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

int guardian_fork_runner(struct guardian *guardian, int wire_fd)
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
        guardian_unblock_signals();
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
