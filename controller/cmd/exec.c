/* perturb exec: one program under faults, no playbook.
 *
 * 1. The program's own standard streams, status and signals pass as if it were started alone; what we say goes to stderr.
 * 2. Everything armed lapses EXEC_TTL_NS after us, however we end. */
#include "controller/cmd/exec.h"

#include "controller/cmd/cmd.h"
#include "controller/cmd/counts.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"
#include "scenarios/playbook/spec_errors.h"
#include "scenarios/playbook/value.h"
#include "shims/host/preload.h"
#include "shims/host/unsynced.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127, STATUS_SIGNAL = 128, LOCK_ROWS = 20 };

/* What is passed on to the program. SIGCONT and the stop signals keep their own way. */
static const int forwarded[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH };

extern char **environ;

struct exec {
    struct exec_options options;
    struct registry registry;
    struct page *page;
    struct exec_wire wire;
    struct exec_backend backend;
    struct inspection *inspection;
    struct lock_watcher *locks; /* NULL: not asked for */
    uint64_t begin_ns;
    pid_t pid;
    int signals_fd;
    sigset_t old_mask;
    bool taken_over; /* somebody else has armed or disarmed our page */
    struct exec_unseen unseen;
};

/* ---- options ---------------------------------------------------------------------------------------------------------- */

/* Two faults of one kind get names of their own, unless the names were given. */
static int name_apart(struct exec_options *options, struct fault_spec *spec, const char *where, struct errs *errs)
{
    char base[RULE_NAME_MAX];
    bool given = strcmp(spec->rule.name, fault_descs[spec->rule.fault].name) != 0;
    unsigned number = 1;

    memcpy(base, spec->rule.name, sizeof(base));
    for (size_t i = 0; i < options->spec_count; i++) {
        if (strcmp(options->specs[i].rule.name, spec->rule.name) != 0)
            continue;
        if (given)
            return errs_add(errs, ERR_USAGE, where, "the name '%s' is taken by another fault", base);
        memset(spec->rule.name, 0, sizeof(spec->rule.name));
        snprintf(spec->rule.name, sizeof(spec->rule.name), "%.40s-%u", base, ++number);
        i = SIZE_MAX; /* look again from the first */
    }
    spec->rule.name_hash = rng_hash(spec->rule.name);
    return 0;
}

/* A fault that only streams have, named without saying of which connection. */
static bool lacks_destination(const char *text)
{
    size_t length = strcspn(text, "@:");
    char name[64];

    if (length >= sizeof(name))
        return false;
    memcpy(name, text, length);
    name[length] = '\0';
    return !strstr(text, "to=") && !fault_find(name, BIT(LAYER_CALL), NULL) && fault_find(name, BIT(LAYER_STREAM), NULL);
}

static int add_fault(struct exec_options *options, const char *text, struct errs *errs)
{
    struct fault_spec *spec = &options->specs[options->spec_count];
    const struct plan_rule *rules[EXEC_FAULTS_MAX];
    int result;

    if (options->spec_count == EXEC_FAULTS_MAX)
        return errs_add(errs, ERR_USAGE, "-f", "more than %d faults", EXEC_FAULTS_MAX);
    if (lacks_destination(text))
        return errs_add(errs, ERR_USAGE, "-f", "'%s' acts on a connection: say which with to=HOST:PORT", text);
    result = fault_spec_parse(text, BIT(LAYER_CALL) | BIT(LAYER_STREAM), "-f", spec, errs);
    if (result < 0)
        return result;
    result = name_apart(options, spec, "-f", errs);
    if (result)
        return result;
    for (size_t i = 0; i <= options->spec_count; i++)
        rules[i] = &options->specs[i].rule;
    spec_rules_warn(rules, options->spec_count + 1, options->spec_count, "-f", errs);
    options->spec_count++;
    return 0;
}

static int set_backend(struct exec_options *options, const char *text, struct errs *errs)
{
    static const struct {
        const char *name;
        enum backend backend;
    } names[] = { { "auto", 0 }, { "preload", BACKEND_PRELOAD }, { "seccomp", BACKEND_SUPERVISE } };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!strcmp(text, names[i].name)) {
            options->backend = names[i].backend;
            return 0;
        }
    return errs_add(errs, ERR_USAGE, "--backend", "'%s' is none of auto, preload, seccomp", text);
}

static int parse_options(int argc, char **argv, struct exec_options *options, struct errs *errs)
{
    static const struct option longs[] = {
        { "fault", required_argument, NULL, 'f' }, { "seed", required_argument, NULL, 's' },
        { "backend", required_argument, NULL, 'b' }, { "io-uring", required_argument, NULL, 'u' },
        { "watch-locks", optional_argument, NULL, 'w' }, { "lock-profile", optional_argument, NULL, 'p' },
        { "break-deadlock", required_argument, NULL, 'd' }, { "lock-snapshot", required_argument, NULL, 'o' }, { 0 },
    };
    int letter, index;
    int64_t seed;

    if (getrandom(&options->seed, sizeof(options->seed), 0) != sizeof(options->seed))
        options->seed = clock_now_ns();
    options->seed >>= 16; /* 48 bits are enough, and short to type again */
    opterr = 0;
    optind = 0;
    while ((index = optind ? optind : 1, letter = getopt_long(argc, argv, "+f:", longs, NULL)) != -1) {
        if (letter == 'f')
            (void)add_fault(options, optarg, errs);
        else if (letter == 's' && !value_parse("seed", UNIT_COUNT, NULL, 0, INT64_MAX, optarg, "--seed", errs, &seed))
            options->seed = (uint64_t)seed;
        else if (letter == 'b')
            (void)set_backend(options, optarg, errs);
        else if (letter == 'u' && strcmp(optarg, "refuse") != 0 && strcmp(optarg, "allow") != 0)
            errs_add(errs, ERR_USAGE, "--io-uring", "'%s' is neither refuse nor allow", optarg);
        else if (letter == 'u')
            options->refuse_io_uring = optarg[0] == 'r';
        else if (strchr("wpdo", letter))
            (void)exec_locks_option(options, letter, optarg, errs);
        else if (letter == '?')
            errs_add(errs, ERR_USAGE, argv[index], "%s", optopt && strchr("fsbudo", optopt) ? "wants a value" : "unknown option");
    }
    options->argv = argv + optind;
    if (options->refuse_io_uring && options->backend == BACKEND_PRELOAD)
        errs_add(errs, ERR_USAGE, "--io-uring", "refusing needs --backend seccomp");
    else if (options->refuse_io_uring)
        options->backend = BACKEND_SUPERVISE;
    if (!options->argv[0])
        errs_add(errs, ERR_USAGE, "exec", "no program given; expected exec [-f FAULT]... -- CMD [ARG...]");
    return errs->count ? -EINVAL : 0;
}

/* ---- arming ----------------------------------------------------------------------------------------------------------- */

struct plan *exec_plan(const struct exec_options *options, bool wire)
{
    struct plan *plan = calloc(1, PLAN_SIZE(options->spec_count));

    if (!plan)
        return NULL;
    plan->magic = PLAN_MAGIC;
    plan->version = PLAN_VERSION;
    plan->rule_size = sizeof(struct plan_rule);
    plan->epoch = 1;
    plan->seed = options->seed;
    for (size_t i = 0; i < options->spec_count; i++)
        if ((options->specs[i].to[0] != '\0') == wire)
            plan->rules[plan->rule_count++] = options->specs[i].rule;
    return plan;
}

static int open_registry(struct exec *exec, struct errs *errs)
{
    char name[CONTROL_NAME_MAX], why[REGISTRY_FILE_MAX];
    bool halted = false;
    int result = registry_open(&exec->registry);

    if (!result)
        result = lever_read(&exec->registry, &halted);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, "exec", "%s", registry_explain(result, why, sizeof(why)));
    if (halted)
        return errs_add(errs, ERR_WORLD, "exec", "halted; `perturb resume` allows faults again");
    snprintf(name, sizeof(name), "exec-%d", (int)getpid());
    result = page_create(&exec->registry, name, &exec->page);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, "exec", "the control page %s: %s", name, strerror(-result));
    return 0;
}

static int arm(struct exec *exec, struct errs *errs)
{
    AUTO_FREE struct plan *plan = NULL;
    int result = exec_wire_start(&exec->wire, &exec->options, page_path(exec->page), errs);

    if (result < 0)
        return result;
    if (!exec->options.spec_count)
        return 0; /* an idle shim: `perturb arm` may use it */
    plan = exec_plan(&exec->options, false);
    result = plan ? page_publish(exec->page, plan, exec->wire.redirects, exec->wire.redirect_count, EXEC_TTL_NS) : -ENOMEM;
    if (result < 0)
        return errs_add(errs, ERR_INTERNAL, "exec", "arming: %s", strerror(-result));
    return 0;
}

/* A fault that cannot reach the program is an error now, not an empty table afterwards. */
static int choose_backend(struct exec *exec, struct errs *errs)
{
    char path[PATH_MAX];
    int result = inspect_find_program(exec->options.argv[0], path, sizeof(path));

    if (!result)
        result = inspect_file(path, &exec->inspection);
    if (err_is_shortage(result)) /* of other errors, exec itself will say what is wrong with it */
        return errs_add(errs, ERR_WORLD, exec->options.argv[0], "cannot be looked at: %s", strerror(-result));
    return exec_backend_choose(&exec->backend, &exec->options, exec->inspection, errs);
}

/* ---- the program ------------------------------------------------------------------------------------------------------ */

static void become_program(const struct exec *exec, char **environment, int report_fd)
{
    int error;

    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &exec->old_mask, NULL);
    error = exec->backend.supervise ? -supervise_install(exec->backend.supervise) : 0;
    if (!error) {
        execvpe(exec->options.argv[0], exec->options.argv, environment);
        error = errno;
    }
    (void)!write(report_fd, &error, sizeof(error));
    _exit(STATUS_NOT_FOUND);
}

/* The supervisor could not be started: the program has not begun. */
static int give_up(struct exec *exec)
{
    (void)kill(exec->pid, SIGKILL);
    (void)waitpid(exec->pid, NULL, 0);
    exec->pid = -1;
    return EXEC_FAILED;
}

/* Returns 0 with exec->pid running the program, or the exit status to end with, told. */
static int start_program(struct exec *exec, const char *library, struct errs *errs)
{
    bool shim = exec->backend.kind == BACKEND_PRELOAD;
    AUTO_FREE char **environment = shim ? preload_environment(environ, library, page_path(exec->page)) : NULL;
    AUTO_CLOSE int read_fd = -1, write_fd = -1;
    int ends[2], error = 0;
    ssize_t length;

    if ((shim && !environment) || pipe2(ends, O_CLOEXEC) < 0) {
        errs_add(errs, ERR_WORLD, "exec", "%s", strerror(errno));
        return EXEC_FAILED;
    }
    read_fd = ends[0];
    write_fd = ends[1];
    exec->pid = fork();
    if (exec->pid == 0)
        become_program(exec, shim ? environment : environ, write_fd);
    if (exec->pid < 0) {
        errs_add(errs, ERR_WORLD, "exec", "fork: %s", strerror(errno));
        return EXEC_FAILED;
    }
    close(TAKE_FD(write_fd));
    if (exec_backend_attend(&exec->backend, exec->pid, errs) < 0)
        return give_up(exec);
    do
        length = read(read_fd, &error, sizeof(error));
    while (length < 0 && errno == EINTR);
    if (length != sizeof(error))
        return 0;
    (void)waitpid(exec->pid, NULL, 0);
    exec->pid = -1;
    errs_add(errs, ERR_WORLD, exec->options.argv[0], "%s", strerror(error));
    return error == ENOENT || error == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

/* The terminal's own signals reach the program without us. */
static void forward_signal(const struct exec *exec)
{
    struct signalfd_siginfo info;

    if (read(exec->signals_fd, &info, sizeof(info)) == sizeof(info) && info.ssi_code <= 0)
        (void)kill(exec->pid, (int)info.ssi_signo);
}

static void renew(struct exec *exec)
{
    if (exec->locks)
        (void)locks_renew(exec->locks, EXEC_TTL_NS);
    if (!exec->options.spec_count || exec->taken_over)
        return;
    if (page_renew(exec->page, 1, EXEC_TTL_NS) < 0)
        exec->taken_over = true; /* disarmed, armed anew by another, or we were stopped for longer than the lease */
    else
        (void)exec_wire_renew(&exec->wire);
}

/* Waits for the program's end, renewing and forwarding. Returns its wait status. */
static int wait_program(struct exec *exec)
{
    AUTO_CLOSE int pid_fd = (int)syscall(SYS_pidfd_open, exec->pid, 0);
    int wait_ms = (int)(EXEC_TTL_NS / 3 / NS_PER_MS), status = 0;

    if (exec->locks && locks_look_ms(exec->locks) < wait_ms)
        wait_ms = locks_look_ms(exec->locks);
    while (pid_fd >= 0) {
        struct pollfd fds[] = { { .fd = pid_fd, .events = POLLIN }, { .fd = exec->signals_fd, .events = POLLIN } };

        (void)poll(fds, ARRAY_SIZE(fds), wait_ms);
        if (fds[1].revents & POLLIN)
            forward_signal(exec);
        if (fds[0].revents)
            break;
        exec_unseen_look(&exec->unseen, exec->page);
        renew(exec);
        if (exec->locks)
            exec_locks_look(&exec->options, exec->locks, exec->pid);
    }
    while (waitpid(exec->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* ---- the summary ------------------------------------------------------------------------------------------------------ */

static void explain_silence(const struct exec *exec, const struct rule_status *list, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct plan_rule *rule = NULL;
        char why[INSPECT_REASON_MAX];

        for (size_t k = 0; k < exec->options.spec_count; k++)
            if (!strcmp(exec->options.specs[k].rule.name, list[i].name))
                rule = &exec->options.specs[k].rule;
        if (!rule || list[i].counts.matched)
            continue;
        fprintf(out, "  %s never matched: %s\n", list[i].name, inspect_silence(exec->backend.supervise ? NULL : exec->inspection, rule, why, sizeof(why)));
    }
}

static size_t collect(struct exec *exec, struct rule_status *list, size_t max)
{
    size_t count = page_status(exec->page, list, max);

    return count + exec_wire_status(&exec->wire, list + count, max - count);
}

static void summarise(struct exec *exec, int status)
{
    static struct rule_status list[EXEC_FAULTS_MAX];
    size_t page_count = page_status(exec->page, list, EXEC_FAULTS_MAX);
    size_t count = collect(exec, list, EXEC_FAULTS_MAX);
    struct page_state state;

    fprintf(stderr, "perturb: exec: seed %" PRIu64 ", %.3f s; ", exec->options.seed,
            (double)(clock_now_ns() - exec->begin_ns) / (double)NS_PER_S);
    if (WIFSIGNALED(status))
        fprintf(stderr, "the program was ended by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        fprintf(stderr, "the program exited with status %d\n", WEXITSTATUS(status));
    if (exec->locks)
        locks_print(exec->page, stderr, LOCK_ROWS);
    if (!count)
        return;
    counts_print(stderr, list, count, exec->begin_ns);
    counts_print_shares(stderr, exec->page, list, page_count);
    exec_unseen_tell(&exec->unseen, stderr);
    page_state(exec->page, &state);
    if (exec->taken_over)
        fprintf(stderr, "  the faults ended before the program did: disarmed,"
                        " armed anew by somebody else, or not renewed in time\n");
    if (state.lost)
        fprintf(stderr, "  %" PRIu64 " calls passed unjudged: more threads than the shim's table holds\n", state.lost);
    explain_silence(exec, list, count, stderr);
}

/* Before it is done: this destroys data. */
static void tell_loss(void *context, const struct unsynced_loss *loss)
{
    (void)context;
    fprintf(stderr, "perturb: exec: lost_writes takes back %" PRIu64 " unsynced writes of %s: %" PRIu64 " bytes become %" PRIu64 "\n",
            loss->writes, loss->path, loss->size, loss->size_after);
}

static int block_signals(struct exec *exec)
{
    sigset_t mask;

    sigemptyset(&mask);
    for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
        sigaddset(&mask, forwarded[i]);
    sigprocmask(SIG_BLOCK, &mask, &exec->old_mask);
    exec->signals_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return exec->signals_fd < 0 ? -errno : 0;
}

static int run_program(struct exec *exec, struct errs *errs)
{
    char library[PATH_MAX];
    int result, status;

    if (open_registry(exec, errs) < 0 || block_signals(exec) < 0 || choose_backend(exec, errs) < 0)
        return EXEC_FAILED;
    if (exec->backend.kind == BACKEND_PRELOAD && exec_library(&exec->options, library, sizeof(library), errs) < 0)
        return EXEC_FAILED;
    exec->begin_ns = clock_now_ns();
    if (arm(exec, errs) < 0 || exec_locks_begin(&exec->options, exec->backend.kind, exec->page, &exec->locks, errs) < 0 ||
        exec_backend_prepare(&exec->backend, &exec->options, exec->wire.redirect_count > 0, exec->page, errs) < 0)
        return EXEC_FAILED;
    result = start_program(exec, library, errs);
    if (result)
        return result;
    status = wait_program(exec);
    if (WIFSIGNALED(status))
        (void)unsynced_lose(page_path(exec->page), tell_loss, NULL);
    summarise(exec, status);
    return WIFSIGNALED(status) ? STATUS_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static int exec_main(int argc, char **argv)
{
    static struct exec exec = { .registry.fd = -1, .wire.executor.fd = -1, .pid = -1, .signals_fd = -1 };
    static struct errs errs;
    int status;

    if (parse_options(argc, argv, &exec.options, &errs) < 0) {
        (void)command_fail(&errs);
        return EXEC_FAILED; /* whatever its class: the smaller numbers are the program's */
    }
    errs_print_warnings(&errs, stderr);
    status = run_program(&exec, &errs);
    errs_print(&errs, stderr);
    locks_close(exec.locks);
    if (exec.page)
        (void)page_remove(exec.page);
    exec_wire_stop(&exec.wire);
    page_close(exec.page);
    registry_close(&exec.registry);
    inspection_free(exec.inspection);
    if (exec.backend.supervise)
        supervise_reap(exec.backend.supervise);
    supervise_free(exec.backend.supervise);
    return status;
}

const struct command command_exec = {
    .name = "exec",
    .synopsis = "[-f FAULT]... [--seed N] [--backend auto|preload|seccomp] [--watch-locks[=D]] [--lock-profile[=N]] -- CMD [ARG...]",
    .summary = "run a program under faults and tell what fired",
    .help = "  -f, --fault FAULT   NAME[@POINT][:ITEM,ITEM...], as often as needed; `perturb faults` lists them\n"
            "  --seed N            draw as a run before did\n"
            "  --backend B         preload: a library in the program. seccomp: a supervisor beside it, for static and Go programs;\n"
            "                      its filter stays for the program's life. auto, the default, picks one and says if it is seccomp\n"
            "  --io-uring H        refuse: io_uring_setup fails with ENOSYS, so that I/O passes the supervisor. allow: the default\n"
            "  --watch-locks[=D]   who waits for which lock and who holds it; a wait longer than D (5s) saves it all with every stack\n"
            "  --lock-snapshot F   where to; else perturb-locks-PID.json here. `perturb diagnose` reads it\n"
            "  --break-deadlock H  edeadlk: the youngest wait of a deadlock returns EDEADLK. crash: SIGABRT. off: the default\n"
            "  --lock-profile[=N]  what contention costs, by call site, printed at the end; one in N contended locks is timed (1)\n"
            "\n"
            "A fault with to=HOST:PORT acts on the wire: the program's connects to that address go through a proxy.\n"
            "Without -f the program only gets the idle shim, for `perturb arm PID FAULT --for D`.\n"
            "The status is the program's, 128 + N after signal N; 125 when perturb failed, 126 and 127 as a shell's.\n"
            "\n"
            "  perturb exec -f latency:300ms,to=:6379 -- ./server\n"
            "  perturb exec -f alloc_fail:1%,size>=1MiB -f fail@write:ENOSPC,after=100 -- ./server\n",
    .run = exec_main,
};
