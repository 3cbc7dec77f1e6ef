/* perturb gameday: a guided run, from the checklist to the scorecard. The run is a process of its own, in a session of its own: it
 * outlives this terminal, and its holds have bounds. */
#include "controller/gameday/gameday.h"

#include "controller/cmd/cmd.h"
#include "controller/cmd/options.h"
#include "controller/cmd/watch_session.h"
#include "controller/report/clean.h"
#include "controller/run/guardian.h"
#include "controller/run/run.h"
#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_TIMEOUT_MS = 20000, ARGUMENTS_MAX = 2 * OPTION_VARS_MAX + 16, NOT_BEGUN = 3 };

struct day {
    struct gameday gameday;
    const struct run_options *options;
    const char *file;
    struct chosen_run run;
    pid_t pid;
};

/* ---- before ---------------------------------------------------------------------------------------------------------------------- */

static void put(const char *before, const char *text, const char *after)
{
    struct buf clean;

    if (!text || !text[0])
        return;
    buf_init(&clean, 8192);
    clean_plain(&clean, text, 1000);
    printf("%s%s%s", before, clean.data, after);
    buf_done(&clean);
}

static void tell_plan(const struct playbook *playbook, bool reveals)
{
    const struct gameday_section *day = &playbook->gameday;
    const struct bound *bounds = playbook->hypothesis.items;
    const struct step *steps = playbook->method.items;
    const struct guard *guards = playbook->guards.items;

    put("Game day: ", playbook->title, "\n");
    put("  commander    ", day->roles.commander, "\n");
    put("  driver       ", day->roles.driver, "\n");
    put("  observer     ", day->roles.observer, "\n");
    put("  abort owner  ", day->roles.abort_owner, "\n");
    for (size_t i = 0; i < playbook->hypothesis.count; i++) {
        put(i ? "               " : "  hypothesis   ", bounds[i].signal_text, "");
        put(" at least ", bounds[i].min_text, "");
        put(" at most ", bounds[i].max_text, "");
        printf("\n");
    }
    for (size_t i = 0; i < playbook->method.count; i++) {
        char line[512];

        if (day->scenario == 1 && !reveals) {
            printf("  scenario     secret, %zu fault%s\n", playbook->method.count, playbook->method.count == 1 ? "" : "s");
            break;
        }
        if (fault_spec_print(&steps[i].spec, line, sizeof(line)) == 0)
            put(i ? "               " : "  faults       ", line, "\n");
    }
    for (size_t i = 0; i < playbook->guards.count; i++) {
        put(i ? "               " : "  ends early   ", guards[i].signal_text, "");
        put(" above ", guards[i].above_text, "\n");
        put(" below ", guards[i].below_text, "\n");
    }
    printf("  stop it      h here, or `perturb halt` in any terminal: every fault goes at once\n\n");
    fflush(stdout);
}

/* The first character of a line; 0 at the end of the input. */
static int ask(const char *question)
{
    char line[256];

    printf("%s", question);
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        return 0;
    return line[0];
}

/* Blocks until everything is ticked. False: somebody says no, or nobody is there. */
static bool tick_all(struct day *day, const struct playbook *playbook, struct errs *errs)
{
    const struct text_list *items = &playbook->gameday.checklist;

    for (size_t i = 0; i < items->count;) {
        int answer;

        printf("  [ ] %zu/%zu  ", i + 1, items->count);
        put("", items->items[i], "");
        answer = ask("  (y, or n to stop) ");
        if (answer == 0 || answer == 'n' || answer == 'q')
            return false;
        if (answer != 'y' && answer != 'x')
            continue;
        if (gameday_tick(&day->gameday, i, day->options->by, errs) < 0)
            return false;
        i++;
    }
    for (;;) {
        int answer = ask("  everything is ticked; g begins, n stops: ");

        if (answer == 0 || answer == 'n' || answer == 'q')
            return false;
        if (answer == 'g')
            return true;
    }
}

/* ---- the run ----------------------------------------------------------------------------------------------------------------------- */

static void become_run(const struct day *day)
{
    char *arguments[ARGUMENTS_MAX], assignment[OPTION_VARS_MAX][512], log[600];
    size_t count = 0;
    int fd;

    arguments[count++] = (char *)(uintptr_t) "perturb";
    arguments[count++] = (char *)(uintptr_t) "run";
    arguments[count++] = (char *)(uintptr_t)day->file;
    arguments[count++] = (char *)(uintptr_t) "--id";
    arguments[count++] = (char *)(uintptr_t)day->run.id;
    arguments[count++] = (char *)(uintptr_t) "--out";
    arguments[count++] = (char *)(uintptr_t)day->run.directory;
    if (day->options->seed_text) {
        arguments[count++] = (char *)(uintptr_t) "--seed";
        arguments[count++] = (char *)(uintptr_t)day->options->seed_text;
    }
    for (size_t i = 0; i < day->options->override_count; i++) {
        snprintf(assignment[i], sizeof(assignment[i]), "%s=%s", day->options->overrides[i].name, day->options->overrides[i].value);
        arguments[count++] = (char *)(uintptr_t) "--var";
        arguments[count++] = assignment[i];
    }
    arguments[count] = NULL;
    setsid();
    snprintf(log, sizeof(log), "%s/run.log", day->gameday.directory);
    fd = open("/dev/null", O_RDONLY);
    dup2(fd, STDIN_FILENO);
    fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    execv("/proc/self/exe", arguments);
    _exit(ERR_INTERNAL);
}

static int start_run(struct day *day, struct errs *errs)
{
    const char *out = day->options->out_directory;
    AUTO_FREE char *state = NULL;
    int result = store_state_directory(&state, errs);

    if (result < 0)
        return result;
    snprintf(day->run.id, sizeof(day->run.id), "%s", day->gameday.id);
    if (out)
        snprintf(day->run.directory, sizeof(day->run.directory), "%s", out);
    else
        snprintf(day->run.directory, sizeof(day->run.directory), "%s/runs/%s", state, day->run.id);
    fflush(NULL);
    day->pid = fork();
    if (day->pid == 0)
        become_run(day);
    return day->pid < 0 ? errs_add(errs, ERR_INTERNAL, "gameday", "no process could be made: %s", strerror(errno)) : 0;
}

/* Until it is registered. False: it has ended before; its status is in *ret_status. */
static bool wait_for_run(struct day *day, int *ret_status)
{
    uint64_t deadline_ns = clock_now_ns() + START_TIMEOUT_MS * NS_PER_MS;

    do {
        struct live_run runs[LIVE_RUNS_MAX];
        size_t count = 0;

        if (waitpid(day->pid, ret_status, WNOHANG) == day->pid) {
            day->pid = 0;
            return false;
        }
        find_live_runs(runs, LIVE_RUNS_MAX, &count);
        for (size_t i = 0; i < count; i++)
            if (!strcmp(runs[i].id, day->run.id)) {
                memcpy(day->run.directory, runs[i].directory, sizeof(day->run.directory));
                day->run.guardian = runs[i].guardian;
                day->run.lives = true;
                return true;
            }
        poll(NULL, 0, 20);
    } while (clock_now_ns() < deadline_ns);
    return true;
}

static void tell_log(const struct day *day)
{
    char path[600];
    struct buf text;

    snprintf(path, sizeof(path), "%s/run.log", day->gameday.directory);
    buf_init(&text, 1 << 20);
    if (buf_read_file(&text, path) == 0)
        fwrite(text.data, 1, text.length, stderr);
    buf_done(&text);
}

static int status_of(int wait_status)
{
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : ERR_INTERNAL;
}

/* Watches the run to its end. Returns its exit status, or one of our own with errors added. */
static int conduct(struct day *day, struct errs *errs)
{
    const struct watch_options watching = { .reveals = day->options->reveal, .leaves_at_end = true, .is_driver = true, .by = day->options->by };
    int wait_status = 0;
    bool left = false;

    if (start_run(day, errs) < 0)
        return ERR_INTERNAL;
    if (wait_for_run(day, &wait_status)) {
        if (gameday_begin(&day->gameday, day->run.id, day->run.directory, errs) < 0)
            return ERR_INTERNAL;
        gameday_tell_run(&day->gameday);
        if (watch_session(&day->run, &watching, &left, errs) < 0 || left)
            guardian_ask_end(&day->run.guardian);
        while (waitpid(day->pid, &wait_status, 0) < 0 && errno == EINTR)
            ;
    } else if (gameday_begin(&day->gameday, day->run.id, day->run.directory, errs) < 0) {
        return ERR_INTERNAL;
    }
    return status_of(wait_status);
}

static int hold_day(struct day *day, const struct playbook *playbook, struct errs *errs)
{
    int status;

    tell_plan(playbook, day->options->reveal);
    if (gameday_open(&day->gameday, playbook, day->options->by, errs) < 0)
        return command_fail(errs);
    if (!tick_all(day, playbook, errs)) {
        printf("\nnot begun: the checklist is not complete\n");
        return errs->count ? command_fail(errs) : NOT_BEGUN;
    }
    status = conduct(day, errs);
    if (!errs->count && day->run.lives)
        gameday_finish(&day->gameday, status, errs);
    if (!day->run.lives) {
        tell_log(day);
        return status ? status : ERR_INTERNAL;
    }
    gameday_print_scorecard(day->gameday.document, stdout);
    return errs->count ? command_fail(errs) : gameday_status(&day->gameday);
}

static int gameday_main(int argc, char **argv)
{
    static struct errs errs;
    static struct run_options options;
    struct playbook playbook;
    struct day day = { .options = &options };
    int count, status;

    if (options_parse(argc, argv, "var seed out reveal by", &options, &count, &errs) < 0)
        return command_fail(&errs);
    if (count != 1) {
        errs_add(&errs, ERR_USAGE, "gameday", "name one playbook; playbooks/gameday/store-slow.yaml is a good first one");
        return command_fail(&errs);
    }
    day.file = argv[1];
    const struct playbook_options playbook_options = { options.overrides, options.override_count, run_free_port, NULL };
    if (playbook_read(&playbook, day.file, &playbook_options, &errs) < 0)
        status = command_fail(&errs);
    else
        status = hold_day(&day, &playbook, &errs);
    gameday_done(&day.gameday);
    playbook_done(&playbook);
    return status;
}

const struct command command_gameday = {
    .name = "gameday",
    .synopsis = "PLAYBOOK [--var NAME=VALUE]... [--seed N] [--out DIR] [--by NAME] [--reveal]",
    .summary = "a guided run with people: checklist, holds, timers, scorecard",
    .help = "  --var, --seed, --out  as of `perturb run`\n"
            "  --by NAME             who ticks and marks; default the user's name\n"
            "  --reveal              show the faults of a secret scenario here; `perturb watch` elsewhere hides them until they are released\n\n"
            "Asks for each item of the playbook's `gameday: checklist`, starts the run in a process of its own and shows it, with the\n"
            "keys of `perturb watch`: d, k and m set the timers, g ends a hold, h halts, a or Ctrl-C aborts. Others may watch and mark\n"
            "from their own terminals. Ends with a scorecard; missed goals become findings with an owner and a date.\n"
            "Exit status: the run's; 1 when only a goal was missed, 3 when the checklist was not completed.\n"
            "Example: perturb gameday playbooks/gameday/store-slow.yaml\n",
    .run = gameday_main,
};
