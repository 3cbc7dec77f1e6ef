/* A load generator of others: a program that is started with the load and asked to end with it. What it prints is read here, line by
 * line or as a whole; what the text means is outside.c's.
 *
 * 1. The program leads a process group of its own, which is ended as a whole; it dies with this process.
 * 2. A line is a record as soon as it is there. One that is not understood is counted, and the first of them told.
 * 3. An end nobody asked for, an error status and an output that cannot be read are told as trouble: what is missing then is not
 *    known to have been good. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controller/load/load_priv.h"
#include "controller/load/outside.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

enum { LINE_MAX_BYTES = 64 * 1024, TOTALS_MAX_BYTES = 4 * 1024 * 1024, READ_BYTES = 64 * 1024 };
#define GRACE_NS (10 * NS_PER_S) /* to end after it was asked to; and to close its output after it ended */
#define WAIT_NS (50 * NS_PER_MS) /* its end is looked for so often */
#define WALL_FROM_S 1e9          /* such instants are seconds since 1970 */

struct command {
    pid_t pid; /* 0: not running */
    int output; /* -1: at its end */
    int status;
    uint64_t started_ns, wall_offset_ns; /* CLOCK_REALTIME less CLOCK_MONOTONIC */
    uint64_t ended_ns;                   /* the program is gone */
    bool asked, skipping; /* asked to end; in the rest of a line that is too long */
    struct buf text;      /* a line so far, or all of it */
    uint64_t lines;
    bool has_totals;
    struct load_totals totals;
    char trouble[256];
};

static bool tells_lines(const struct load *load)
{
    return load->spec.format == LOAD_JSON_LINES;
}

static __attribute__((format(printf, 2, 3))) void note(struct command *command, const char *format, ...)
{
    va_list arguments;

    if (command->trouble[0])
        return;
    va_start(arguments, format);
    (void)vsnprintf(command->trouble, sizeof(command->trouble), format, arguments);
    va_end(arguments);
    for (char *byte = command->trouble; *byte; byte++) /* it may quote what the program printed */
        if ((unsigned char)*byte < ' ' || *byte == '\x7f')
            *byte = '?';
}

/* ---- what a line becomes ----------------------------------------------------------------------------------------------------- */

/* 0 for what lies before the clock's start. */
static uint64_t instant_ns(const struct command *command, double s)
{
    double ns = s * 1e9 + (s >= WALL_FROM_S ? -(double)command->wall_offset_ns : (double)command->started_ns);

    return ns > 0 ? (uint64_t)ns : 0;
}

/* Where what the line does not say comes from: outside.h. False when its instants cannot be of this load. */
static bool make_record(struct load *load, const struct outside_line *line, uint64_t now_ns, struct load_record *ret_record)
{
    const struct command *command = load->backend_data;
    uint64_t latency_ns = isnan(line->latency_s) ? 0 : (uint64_t)(line->latency_s * 1e9);
    uint64_t sent_ns = now_ns > latency_ns ? now_ns - latency_ns : 0, planned_ns;

    if (!isnan(line->sent_s) || !isnan(line->planned_s))
        sent_ns = instant_ns(command, isnan(line->sent_s) ? line->planned_s : line->sent_s);
    planned_ns = isnan(line->planned_s) ? sent_ns : instant_ns(command, line->planned_s);
    if (sent_ns > now_ns + NS_PER_S || sent_ns + NS_PER_S < load->start_ns || planned_ns + NS_PER_S < load->start_ns || planned_ns > sent_ns)
        return false;
    *ret_record = (struct load_record){
        .planned_ns = planned_ns, .sent_ns = sent_ns, .done_ns = isnan(line->latency_s) && now_ns > sent_ns ? now_ns : sent_ns + latency_ns,
        .index = (uint32_t)command->lines, .bytes = line->bytes, .http_code = line->http_code, .outcome = (uint8_t)line->outcome,
    };
    if (ret_record->done_ns - planned_ns > load->spec.timeout_ns)
        ret_record->outcome = LOAD_TIMEOUT;
    return true;
}

static void take_line(struct load *load, const char *text)
{
    struct command *command = load->backend_data;
    struct outside_line line;
    struct load_record record;
    char why[128] = "its instants are neither seconds since 1970 nor since its start";

    if (!text[strspn(text, " \t\r")])
        return;
    if (outside_read_line(text, &line, why, sizeof(why)) < 0 || !make_record(load, &line, clock_now_ns(), &record)) {
        load_count(&load->counts.unread, 1);
        note(command, "a line of its output was not understood: %s: '%.60s'", why, text);
        return;
    }
    command->lines++;
    load_count(&load->counts.planned, 1);
    load_count(&load->counts.sent, 1);
    if (isnan(line.planned_s))
        load_count(&load->counts.unplanned, 1);
    if (line.late_s >= 0)
        load_note_lateness(load, (uint64_t)(line.late_s * 1e9));
    load_record(load, &record);
}

static void end_line(struct load *load)
{
    struct command *command = load->backend_data;

    if (command->skipping || command->text.failed) {
        load_count(&load->counts.unread, 1);
        note(command, "a line of its output was longer than %d bytes", LINE_MAX_BYTES);
    } else {
        take_line(load, command->text.data);
    }
    command->skipping = false;
    buf_done(&command->text);
    buf_init(&command->text, LINE_MAX_BYTES);
}

static void take_lines(struct load *load, const char *bytes, size_t length)
{
    struct command *command = load->backend_data;

    while (length) {
        const char *end = memchr(bytes, '\n', length);
        size_t part = end ? (size_t)(end - bytes) : length;

        if (!command->skipping && buf_append(&command->text, bytes, part) < 0)
            command->skipping = true;
        if (end)
            end_line(load);
        bytes += part + (end != NULL);
        length -= part + (end != NULL);
    }
}

/* ---- what all of it becomes -------------------------------------------------------------------------------------------------- */

static void count_totals(struct load *load, const struct load_totals *totals)
{
    uint64_t dropped = totals->outcomes[LOAD_DROPPED];

    load_count(&load->counts.planned, totals->requests);
    load_count(&load->counts.unplanned, totals->requests);
    load_count(&load->counts.sent, totals->requests - dropped);
    for (size_t i = 0; i < LOAD_OUTCOMES; i++)
        load_count(&load->counts.outcomes[i], totals->outcomes[i]);
}

static void read_totals(struct load *load)
{
    struct command *command = load->backend_data;
    char why[128] = "it printed too much";
    int rc = -EINVAL;

    if (!command->text.failed)
        rc = load->spec.format == LOAD_WRK ? outside_read_wrk(command->text.data, &command->totals, why, sizeof(why))
                                           : outside_read_k6(command->text.data, &command->totals, why, sizeof(why));
    command->has_totals = rc == 0;
    if (rc == 0)
        count_totals(load, &command->totals);
    else
        note(command, "%s", why);
}

/* ---- the program ------------------------------------------------------------------------------------------------------------- */

static _Noreturn void become(const struct load *load, const char *log, pid_t parent, int output)
{
    int input = open("/dev/null", O_RDONLY), errors = log[0] ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600) : -1;
    sigset_t none;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    (void)setpgid(0, 0);
    (void)dup2(input, STDIN_FILENO);
    (void)dup2(output, STDOUT_FILENO);
    if (errors >= 0)
        (void)dup2(errors, STDERR_FILENO);
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    execvp(load->spec.run[0], (char *const *)(uintptr_t)load->spec.run);
    _exit(127);
}

static int start(struct load *load)
{
    struct command *command = load->backend_data;
    struct timespec wall;
    pid_t parent = getpid();
    char log[4096] = "";
    int ends[2];

    if (load->spec.spill_directory && snprintf(log, sizeof(log), "%s/load-%s.log", load->spec.spill_directory, load->spec.name) >= (int)sizeof(log))
        return -ENAMETOOLONG;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    clock_gettime(CLOCK_REALTIME, &wall);
    command->started_ns = clock_now_ns();
    command->wall_offset_ns = (uint64_t)wall.tv_sec * NS_PER_S + (uint64_t)wall.tv_nsec - command->started_ns;
    command->pid = fork();
    if (command->pid == 0)
        become(load, log, parent, ends[1]);
    close(ends[1]);
    command->output = ends[0];
    if (command->pid < 0) {
        command->pid = 0;
        return -EAGAIN;
    }
    (void)setpgid(command->pid, command->pid); /* whoever of us is first */
    (void)fcntl(command->output, F_SETFL, O_NONBLOCK);
    return 0;
}

static void look_for_end(struct command *command)
{
    if (command->pid && waitpid(command->pid, &command->status, WNOHANG) == command->pid) {
        command->ended_ns = clock_now_ns();
        command->pid = 0;
    }
}

static void ask_to_end(struct load *load)
{
    struct command *command = load->backend_data;

    command->asked = true;
    if (command->pid)
        (void)kill(-command->pid, tells_lines(load) ? SIGTERM : SIGINT);
}

static void end_by_force(struct command *command)
{
    note(command, "it did not end within %d s of being asked to", (int)(GRACE_NS / NS_PER_S));
    if (command->pid) {
        (void)kill(-command->pid, SIGKILL);
        (void)waitpid(command->pid, &command->status, 0);
    }
    command->pid = 0;
    close(TAKE_FD(command->output));
}

static void take_output(struct load *load)
{
    struct command *command = load->backend_data;
    char bytes[READ_BYTES];
    ssize_t got = read(command->output, bytes, sizeof(bytes));

    if (got > 0 && tells_lines(load))
        take_lines(load, bytes, (size_t)got);
    else if (got > 0)
        (void)buf_append(&command->text, bytes, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        close(TAKE_FD(command->output));
}

/* Until there is something to read, the owner says something, or the instant. */
static void wait_for_output(struct load *load, uint64_t until_ns)
{
    const struct command *command = load->backend_data;
    struct pollfd waits[] = { { .fd = command->output, .events = POLLIN }, { .fd = load->wake_fd, .events = POLLIN } };
    uint64_t now_ns = clock_now_ns(), told;
    struct timespec left = ns_timespec(until_ns > now_ns ? until_ns - now_ns : 0);

    if (ppoll(waits, ARRAY_SIZE(waits), &left, NULL) <= 0)
        return;
    if (waits[1].revents)
        (void)!read(load->wake_fd, &told, sizeof(told));
    if (waits[0].revents)
        take_output(load);
}

/* True once the program is gone and its output at its end. Its output may be held open by a child that it left: for so long. */
static bool is_done(struct load *load)
{
    struct command *command = load->backend_data;

    look_for_end(command);
    if (!command->pid && command->output >= 0 && clock_now_ns() > command->ended_ns + GRACE_NS) {
        note(command, "a process that it left keeps its output open");
        close(TAKE_FD(command->output));
    }
    return !command->pid && command->output < 0;
}

static void follow(struct load *load)
{
    struct command *command = load->backend_data;

    while (!is_done(load)) {
        uint64_t now_ns = clock_now_ns(), stop_ns = atomic_load(&load->stop_ns);

        if (now_ns >= stop_ns && !command->asked)
            ask_to_end(load);
        if (command->pid && now_ns >= stop_ns && now_ns - stop_ns > GRACE_NS)
            end_by_force(command);
        else
            wait_for_output(load, !command->asked && stop_ns < now_ns + WAIT_NS ? stop_ns : now_ns + WAIT_NS);
    }
}

/* A summary that was read is worth what it says, whatever the status: k6 ends with one of its own when a threshold was crossed. */
static void judge_end(struct load *load)
{
    struct command *command = load->backend_data;
    int status = command->status;

    if (!command->asked && WIFSIGNALED(status))
        note(command, "it was ended by signal %d", WTERMSIG(status));
    else if (!command->asked && WEXITSTATUS(status) == 127)
        note(command, "it could not be started");
    else if (!command->asked && WEXITSTATUS(status) && !command->has_totals)
        note(command, "it ended with status %d", WEXITSTATUS(status));
    else if (!command->asked && !load->spec.ends_itself)
        note(command, "it ended before the run did");
    else if (tells_lines(load) || command->has_totals)
        return;
    atomic_store(&load->broke_off, true);
}

static void command_loop(struct load *load)
{
    struct command *command = load->backend_data;
    int rc;

    while (clock_now_ns() < load->start_ns && clock_now_ns() < atomic_load(&load->stop_ns))
        wait_for_output(load, load->start_ns);
    rc = start(load);
    if (rc < 0) {
        note(command, "it could not be started: %s", strerror(-rc));
        atomic_store(&load->broke_off, true);
        return;
    }
    follow(load);
    if (tells_lines(load) && command->text.length)
        end_line(load);
    else if (!tells_lines(load))
        read_totals(load);
    judge_end(load);
}

/* ---- its place in the generator ---------------------------------------------------------------------------------------------- */

static bool is_program(const char *name)
{
    const char *path = getenv("PATH");

    if (strchr(name, '/'))
        return access(name, X_OK) == 0;
    while (path && *path) {
        size_t length = strcspn(path, ":");
        char file[4096];

        if (snprintf(file, sizeof(file), "%.*s/%s", (int)length, length ? path : ".", name) < (int)sizeof(file) && access(file, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

static int command_open(struct load *load, struct errs *errs)
{
    struct command *command = calloc(1, sizeof(*command));

    if (!command)
        return -ENOMEM;
    command->output = -1;
    buf_init(&command->text, tells_lines(load) ? LINE_MAX_BYTES : TOTALS_MAX_BYTES);
    load->backend_data = command;
    if (is_program(load->spec.run[0]))
        return 0;
    errs_add(errs, ERR_WORLD, "command", "there is no program '%s' that may be run", load->spec.run[0]);
    return -ENOENT;
}

static void command_close(struct load *load)
{
    struct command *command = load->backend_data;

    if (!command)
        return;
    if (command->output >= 0)
        close(command->output);
    buf_done(&command->text);
    free(command);
}

const struct load_totals *load_outside_totals(const struct load *load)
{
    const struct command *command = load->spec.protocol == LOAD_COMMAND ? load->backend_data : NULL;

    return command && load_is_over(load) && command->has_totals ? &command->totals : NULL;
}

const char *load_outside_trouble(const struct load *load)
{
    const struct command *command = load->spec.protocol == LOAD_COMMAND ? load->backend_data : NULL;

    return command && load_is_over(load) ? command->trouble : "";
}

const struct load_backend load_command_backend = { .open = command_open, .close = command_close, .loop = command_loop };
