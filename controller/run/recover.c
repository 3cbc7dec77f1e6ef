/* Recovery, halt and panic. A registration is REGISTRY/runs/ID: "guardian ID\nwire ID\nrunner ID\njournal PATH\n", replaced as a
 * whole; names that begin with a dot are drafts. */
#include "controller/run/recover.h"

#include "controller/run/guardian.h"
#include "controller/run/undo.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/clock.h"
#include "shims/host/process.h"
#include "shims/host/registry.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RUNNER_GRACE_MS = 10000, DRAFT_AGE_MAX_S = 60 };

struct registration {
    char file[REGISTRY_FILE_MAX];
    char run_id[64];
    struct process_id guardian, wire, runner;
    char journal[JOURNAL_PATH_MAX];
};

static int read_registration(const struct registry *registry, const char *name, struct registration *ret_registration)
{
    struct registration found = { .journal = "" };
    char guardian[PROCESS_TEXT_MAX] = "", wire[PROCESS_TEXT_MAX] = "", runner[PROCESS_TEXT_MAX] = "", part[128];
    struct buf text;
    int result;

    snprintf(part, sizeof(part), "runs/%.100s", name);
    result = registry_path(registry, part, found.file, sizeof(found.file));
    if (result < 0)
        return result;
    snprintf(found.run_id, sizeof(found.run_id), "%.60s", name);
    buf_init(&text, 4096);
    result = buf_read_file(&text, found.file);
    if (result == 0 && sscanf(text.data, "guardian %95s\nwire %95s\nrunner %95s\njournal %511[^\n]", guardian, wire, runner, found.journal) < 4)
        result = -EPROTO;
    buf_done(&text);
    if (result < 0)
        return result;
    process_parse(guardian, &found.guardian);
    process_parse(wire, &found.wire); /* number 0 when there is none: it stays zero */
    process_parse(runner, &found.runner);
    *ret_registration = found;
    return 0;
}

typedef void each_run(const struct registration *registration, void *context);
typedef void each_unreadable(const char *name, int error, void *context);

/* `unreadable` may be NULL. 0, or -errno when not every registration could be read; the others were passed on. */
static int each_registration(each_run *each, each_unreadable *unreadable, void *context)
{
    struct registry registry;
    char path[REGISTRY_FILE_MAX];
    struct dirent *entry;
    DIR *directory;
    int result = registry_open(&registry), missed;

    if (result < 0)
        return result;
    registry_path(&registry, "runs", path, sizeof(path));
    directory = opendir(path);
    missed = directory || errno == ENOENT ? 0 : -errno;
    while (directory && (errno = 0, entry = readdir(directory))) {
        struct registration registration;

        if (entry->d_name[0] == '.')
            continue;
        result = read_registration(&registry, entry->d_name, &registration);
        if (result == 0)
            each(&registration, context);
        else if (result != -ENOENT && unreadable)
            unreadable(entry->d_name, result, context);
        else if (err_is_shortage(result))
            missed = result;
    }
    if (directory) {
        missed = errno ? -errno : missed;
        closedir(directory);
    }
    registry_close(&registry);
    return missed;
}

/* ---- recover ----------------------------------------------------------------------------------------------------------------- */

struct recover_context {
    FILE *out;
    struct recovery counts;
};

static void tell_entry(void *context, const struct journal_entry *entry, const char *outcome)
{
    fprintf(context, "  %-8s %s: %s\n", entry->verb, entry->argument, outcome);
}

static void tell_unreadable(const char *name, int error, void *context)
{
    struct recover_context *state = context;

    state->counts.runs++;
    state->counts.resisted++;
    fprintf(state->out, "run %s: its registration cannot be read: %s\n", name, strerror(-error));
}

/* A run engine that lost its guardian undoes by itself. One that is stopped, or does not come to an end, is ended. */
static void end_runner(const struct process_id *runner)
{
    uint64_t deadline_ns = clock_now_ns() + RUNNER_GRACE_MS * NS_PER_MS;

    while (process_is_alive(runner) && !process_is_stopped(runner) && clock_now_ns() < deadline_ns)
        process_wait_gone(runner, 50);
    process_signal(runner, SIGKILL);
    process_wait_gone(runner, RUNNER_GRACE_MS);
}

static void recover_one(const struct registration *registration, void *context)
{
    struct recover_context *state = context;
    struct process_id left[8];
    struct journal journal;
    int resisted;

    state->counts.runs++;
    if (process_is_alive(&registration->guardian)) {
        state->counts.alive++;
        fprintf(state->out, "run %s: its guardian lives (pid %d); left alone\n", registration->run_id, (int)registration->guardian.pid);
        return;
    }
    fprintf(state->out, "run %s: its guardian is gone; undoing\n", registration->run_id);
    end_runner(&registration->runner);
    resisted = journal_open(&journal, registration->journal);
    if (resisted < 0) {
        fprintf(state->out, "  the journal %s cannot be read: %s\n", registration->journal, strerror(-resisted));
        state->counts.resisted++;
        return;
    }
    resisted = undo_all(&journal, tell_entry, state->out);
    journal_close(&journal);
    if (process_find_marked(registration->run_id, left, 8))
        resisted++;
    fprintf(state->out, "  %s\n", resisted ? "NOT PROVEN: something is left" : "proven: nothing of it is left");
    if (resisted) {
        state->counts.resisted++;
        return;
    }
    state->counts.recovered++;
    unlink(registration->file);
}

/* Drafts of registrations whose writer died in the middle: nothing hangs on them. One that cannot be read is left until it is
 * old: it may be in the making. */
static void sweep_drafts(void)
{
    struct registry registry;
    char path[REGISTRY_FILE_MAX], draft[REGISTRY_FILE_MAX + 300];
    struct dirent *entry;
    DIR *directory;

    if (registry_open(&registry) < 0)
        return;
    registry_path(&registry, "runs", path, sizeof(path));
    directory = opendir(path);
    while (directory && (entry = readdir(directory))) {
        struct registration registration;
        struct stat facts;

        snprintf(draft, sizeof(draft), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' || !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || stat(draft, &facts) < 0)
            continue;
        if (read_registration(&registry, entry->d_name, &registration) == 0 ? !process_is_alive(&registration.guardian)
                                                                            : time(NULL) - facts.st_mtime > DRAFT_AGE_MAX_S)
            unlink(draft);
    }
    if (directory)
        closedir(directory);
    registry_close(&registry);
}

int recover_all(FILE *out, struct recovery *ret_recovery, struct errs *errs)
{
    struct recover_context state = { .out = out };
    char why[REGISTRY_FILE_MAX];
    int result = each_registration(recover_one, tell_unreadable, &state);

    if (result < 0)
        return errs_add(errs, ERR_WORLD, "registry", "%s", registry_explain(result, why, sizeof(why)));
    sweep_drafts();
    *ret_recovery = state.counts;
    return 0;
}

/* ---- halt ---------------------------------------------------------------------------------------------------------------------- */

struct halt_context {
    bool forces;
    size_t told, left;
};

static void tell_one(const struct registration *registration, void *context)
{
    struct halt_context *state = context;

    if (process_is_alive(&registration->guardian)) {
        state->told++;
        (state->forces ? guardian_force_end : guardian_ask_end)(&registration->guardian);
    }
}

static void count_one(const struct registration *registration, void *context)
{
    struct halt_context *state = context;

    state->left += process_is_alive(&registration->guardian);
}

int halt_runs(bool forces, int timeout_ms, size_t *ret_told, size_t *ret_left, struct errs *errs)
{
    struct halt_context state = { .forces = forces };
    char why[REGISTRY_FILE_MAX];
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    int result = each_registration(tell_one, NULL, &state);

    if (result < 0)
        return errs_add(errs, ERR_WORLD, "registry", "%s", registry_explain(result, why, sizeof(why)));
    do {
        state.left = 0;
        each_registration(count_one, NULL, &state);
        if (state.left)
            poll(NULL, 0, 20);
    } while (state.left && clock_now_ns() < deadline_ns);
    *ret_told = state.told;
    *ret_left = state.left;
    return 0;
}

/* ---- panic ---------------------------------------------------------------------------------------------------------------------- */

/* No journal is written here and nobody is waited for: what acts is ended, the ledger is for recover. */
static void panic_one(const struct registration *registration, void *context)
{
    size_t *runs = context;
    struct journal journal;

    (*runs)++;
    process_signal(&registration->wire, SIGTERM);
    if (journal_load(&journal, registration->journal) == 0) {
        for (size_t i = journal.count; i-- > 0;)
            if (undo_ends_fault(journal.entries[i].verb))
                undo_one(&journal, journal.entries[i].seq);
        journal_close(&journal);
    }
    guardian_ask_end(&registration->guardian);
}

int panic_all(size_t *ret_pages, size_t *ret_runs)
{
    struct registry registry;
    int result = registry_open(&registry), first;

    *ret_pages = *ret_runs = 0;
    if (result < 0)
        return result;
    first = registry_panic(&registry, ret_pages);
    registry_close(&registry);
    result = each_registration(panic_one, NULL, ret_runs);
    return first < 0 ? first : result;
}

/* ---- live ones ------------------------------------------------------------------------------------------------------------------------ */

struct live_context {
    struct live_run *runs;
    size_t count, max;
};

/* In order of the id; the oldest goes when there is no room. */
static void note_live(const struct registration *registration, void *context)
{
    struct live_context *state = context;
    const char *slash = strrchr(registration->journal, '/');
    size_t place = state->count;

    if (!slash || !process_is_alive(&registration->guardian))
        return;
    while (place > 0 && strcmp(state->runs[place - 1].id, registration->run_id) > 0)
        place--;
    if (state->count == state->max) {
        if (place == 0)
            return;
        memmove(state->runs, state->runs + 1, --place * sizeof(*state->runs));
    } else {
        memmove(state->runs + place + 1, state->runs + place, (state->count++ - place) * sizeof(*state->runs));
    }
    state->runs[place] = (struct live_run){ .guardian = registration->guardian };
    memcpy(state->runs[place].id, registration->run_id, LIVE_RUN_ID_MAX);
    snprintf(state->runs[place].directory, LIVE_RUN_PATH_MAX, "%.*s", (int)(slash - registration->journal), registration->journal);
}

int find_live_runs(struct live_run *runs, size_t max, size_t *ret_count)
{
    struct live_context state = { runs, 0, max };
    int result = each_registration(note_live, NULL, &state);

    *ret_count = state.count;
    return result;
}

/* ---- list ----------------------------------------------------------------------------------------------------------------------- */

struct list_context {
    FILE *out;
    size_t runs;
};

static void list_one(const struct registration *registration, void *context)
{
    struct list_context *state = context;
    struct journal journal;

    state->runs++;
    fprintf(state->out, "run %s  by %d%s\n", registration->run_id, (int)registration->guardian.pid,
            process_is_alive(&registration->guardian) ? "" : " (gone; `perturb recover` undoes what is left)");
    if (journal_load(&journal, registration->journal) < 0)
        return;
    for (size_t i = 0; i < journal.count; i++) {
        const struct journal_entry *entry = &journal.entries[i];

        if (!strcmp(entry->verb, UNDO_CAPTURE) && entry->state != JOURNAL_UNDONE && entry->state != JOURNAL_MOOT)
            fprintf(state->out, "  captures by nftables, table inet %.*s\n", (int)strcspn(entry->argument, " "), entry->argument);
    }
    journal_close(&journal);
}

int list_runs(FILE *out, size_t *ret_runs)
{
    struct list_context state = { .out = out };
    int result = each_registration(list_one, NULL, &state);

    *ret_runs = state.runs;
    return result;
}
