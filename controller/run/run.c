/* A run from request to exit status: set up, the process tree, and what each of its two processes leaves behind. */
#include "controller/run/locks.h"
#include "controller/run/run_priv.h"

#include "controller/report/report.h"
#include "controller/run/guardian.h"
#include "controller/run/undo.h"
#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"
#include "scenarios/base/utf8.h"
#include "shims/host/process.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- set up ------------------------------------------------------------------------------------------------------------------ */

static void name_run(struct run *run)
{
    time_t seconds = (time_t)(run->started_wall_ns / NS_PER_S);
    struct tm broken_down;
    char text[24];

    localtime_r(&seconds, &broken_down);
    strftime(text, sizeof(text), "%Y%m%d-%H%M%S", &broken_down);
    if (run->request->id)
        snprintf(run->id, sizeof(run->id), "%s", run->request->id);
    else
        snprintf(run->id, sizeof(run->id), "%s-%04x", text, (unsigned)(rng_mix(run->started_wall_ns, (uint64_t)getpid()) & 0xffff));
}

/* Which playbook it is, whatever it was called by, and which runs were made with it. */
static void name_series(struct run *run)
{
    char *batch = run->request->batch;

    if (!realpath(run->request->file, run->playbook_path))
        snprintf(run->playbook_path, sizeof(run->playbook_path), "%s", run->request->file);
    if (batch && !batch[0])
        memcpy(batch, run->id, RUN_ID_MAX);
    memcpy(run->batch, batch ? batch : run->id, RUN_ID_MAX);
}

static int choose_seed(struct run *run, struct errs *errs)
{
    const char *text = run->request->seed_text;
    char *end;

    run->seed = run->playbook->seed;
    if (text) {
        errno = 0;
        run->seed = strtoull(text, &end, 0);
        if (*end || end == text || errno || text[0] == '-')
            return errs_add(errs, ERR_USAGE, "--seed", "found '%s', expected a whole number below 2^64", text);
    } else if (!run->playbook->seed_given && getrandom(&run->seed, sizeof(run->seed), 0) != (ssize_t)sizeof(run->seed)) {
        run->seed = clock_wall_ns();
    }
    return 0;
}

/* A program that is not there is told before anything is started. */
static int check_programs(const struct run *run, struct errs *errs)
{
    const struct target *targets = run->playbook->targets.items;
    int result = 0;

    for (size_t i = 0; i < run->playbook->targets.count; i++) {
        const char *name = targets[i].command.count ? targets[i].command.items[0] : NULL;
        const char *path = getenv("PATH");
        char where[ERR_WHERE_MAX], candidate[4096];
        bool found = false;

        if (!name)
            continue;
        if (strchr(name, '/'))
            found = access(name, X_OK) == 0;
        for (; path && !strchr(name, '/') && !found; path = strchr(path, ':') ? strchr(path, ':') + 1 : NULL) {
            snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)strcspn(path, ":"), path, name);
            found = access(candidate, X_OK) == 0;
        }
        node_where(&run->playbook->document, targets[i].node, where, sizeof(where));
        if (!found)
            result = errs_add(errs, ERR_WORLD, where, "target '%s': the program '%s' is not found or not executable", targets[i].name, name);
    }
    return result;
}

static int allocate(struct run *run)
{
    const struct playbook *playbook = run->playbook;

    run->steps = calloc(playbook->method.count + 1, sizeof(*run->steps));
    run->targets = calloc(playbook->targets.count + 1, sizeof(*run->targets));
    run->loads = calloc(playbook->loads.count + 1, sizeof(*run->loads));
    run->kept = calloc(1, sizeof(*run->kept));
    run->probes = calloc(playbook->probes.count + 1, sizeof(*run->probes));
    run->guards = calloc(playbook->guards.count + 1, sizeof(*run->guards));
    run->steady = calloc(playbook->hypothesis.count + 1, sizeof(*run->steady));
    run->proxies = calloc(playbook->proxies.count + 1, sizeof(*run->proxies));
    run->captures = calloc(playbook->proxies.count + 1, sizeof(*run->captures));
    if (!run->steps || !run->targets || !run->loads || !run->kept || !run->probes || !run->guards || !run->steady || !run->proxies || !run->captures)
        return -ENOMEM;
    for (size_t i = 0; i < playbook->method.count; i++)
        run->steps[i].step = (const struct step *)playbook->method.items + i;
    for (size_t i = 0; i < playbook->targets.count; i++)
        run->targets[i].target = (const struct target *)playbook->targets.items + i;
    for (size_t i = 0; i < playbook->loads.count; i++)
        run->loads[i].workload = (const struct workload *)playbook->loads.items + i;
    for (size_t i = 0; i < playbook->probes.count; i++)
        run->probes[i].probe = (const struct probe *)playbook->probes.items + i;
    for (size_t i = 0; i < playbook->guards.count; i++)
        run->guards[i] = (struct guard_run){ .guard = (const struct guard *)playbook->guards.items + i, .last = NAN, .worst = NAN };
    for (size_t i = 0; i < playbook->hypothesis.count; i++)
        run->steady[i] = (struct steady_line){ .bound = (const struct bound *)playbook->hypothesis.items + i, .value = NAN };
    for (size_t i = 0; i < playbook->proxies.count; i++)
        snprintf(run->proxies[i].spec.name, RULE_SCOPE_MAX, "%s", ((const struct proxy *)playbook->proxies.items)[i].name);
    run->undo = cJSON_CreateArray();
    run->verify = cJSON_CreateArray();
    run->notes = cJSON_CreateArray();
    return 0;
}

static void release_memory(struct run *run)
{
    if (run->kept)
        run_series_done(run);
    free(run->kept);
    for (size_t i = 0; run->loads && i < run->playbook->loads.count; i++)
        workload_done(&run->loads[i]);
    for (size_t i = 0; run->probes && i < run->playbook->probes.count; i++)
        prober_free(run->probes[i].prober);
    run_free_ramps(run);
    event_log_close(&run->log);
    free(run->people.marks);
    if (run->people.lock_fd >= 0)
        close(run->people.lock_fd);
    cJSON_Delete(run->undo);
    cJSON_Delete(run->verify);
    cJSON_Delete(run->notes);
    free(run->steps);
    for (size_t i = 0; run->targets && i < run->playbook->targets.count; i++) {
        cJSON_Delete(run->targets[i].locks_found);
        locks_close(run->targets[i].locks);
    }
    free(run->targets);
    free(run->loads);
    free(run->probes);
    free(run->guards);
    free(run->steady);
    free(run->proxies);
    free(run->captures);
    free(run->directory);
    registry_close(&run->registry);
}

/* ---- history ------------------------------------------------------------------------------------------------------------------ */

static void begin_history(struct run *run, struct errs *errs)
{
    char seed[24];
    struct store_run row = { .id = run->id, .playbook = run->playbook->document.file, .playbook_hash = run->playbook->hash,
                             .title = run->playbook->title, .service = run->playbook->service,
                             .rigour = run->playbook->rigour ? "full" : "quick", .directory = run->directory, .status = -1,
                             .duration_s = NAN, .convergence_s = NAN, .convergence_low_s = NAN, .convergence_high_s = NAN, .loss_s = NAN, .observed_s = NAN };
    struct store_history *history = NULL;
    char started[32];
    time_t seconds = (time_t)(run->started_wall_ns / NS_PER_S);
    struct tm broken_down;

    gmtime_r(&seconds, &broken_down);
    strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", &broken_down);
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)run->seed);
    row.seed = seed;
    row.started = started;
    row.batch = run->batch;
    row.series = run->playbook_path;
    if (run->request->guard_test)
        return;
    if (store_history_open(NULL, &history, errs) == 0)
        store_history_begin(history, &row, errs);
    store_history_close(history);
}

/* A failed run opens a finding, a passing one closes it; a person is told. */
static void note_finding(const struct run *run, struct store_history *history, const struct store_run *row, const cJSON *document, struct errs *errs)
{
    int64_t id = 0;

    if (store_findings_note(history, row, cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetObjectItem(document, "verdict"), "why")), &id, errs) < 0 ||
        !id || (run->request && (run->request->json || run->request->quiet)))
        return;
    printf(row->status ? "\nFinding %lld is open: only a passing run of this playbook closes it. perturb findings\n"
                       : "\nFinding %lld is closed by this run.\n",
           (long long)id);
}

static void end_history(const struct run *run, const cJSON *document, struct errs *errs)
{
    struct store_history *history = NULL;
    struct store_run row;

    if ((run->request && run->request->guard_test) || store_run_from_result(document, run->directory, &row) < 0)
        return;
    if (store_history_open(NULL, &history, errs) == 0 && store_history_end(history, &row, errs) == 0)
        note_finding(run, history, &row, document, errs);
    store_history_close(history);
    store_run_done(&row);
}

static void tell_result(const struct run *run, const cJSON *document)
{
    const char *no_colour = getenv("NO_COLOR");
    struct winsize size = { .ws_col = 80 };
    bool colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour);

    if (run->request->json || run->request->quiet)
        return;
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    printf("\n");
    report_text(document, stdout, colour, size.ws_col);
    fflush(stdout);
}

static int leave_result(struct run *run, struct judgement *judgement)
{
    cJSON *document;

    run_end_marks(run);
    document = run_document(run, judgement);
    run_add_history(run, document);
    run_write_reports(run, document);
    run_write_wanted_reports(run->request, run, document, run->errs);
    tell_result(run, document);
    end_history(run, document, run->errs);
    cJSON_Delete(document);
    return judgement->status;
}

/* ---- the runner ------------------------------------------------------------------------------------------------------------------ */

/* Preparing failed: everything is undone and told; the status is the errors'. */
static int refuse(struct run *run)
{
    const struct run_request *request = run->request;
    struct judgement judgement = { .verdict = "aborted", .status = run->unproven ? 4 : errs_status(run->errs), .expect = cJSON_CreateArray() };

    if (run->errs->count)
        snprintf(judgement.why, sizeof(judgement.why), "not started: %.400s", run->errs->list[0].text);
    else
        snprintf(judgement.why, sizeof(judgement.why), "%s", run->abort_reason);
    if (!run->errs->count || run->guardian_gone)
        judgement.status = run->unproven ? 4 : 3;
    run->end_ns = clock_now_ns();
    run_end_marks(run);
    run->request = NULL;
    cJSON *document = run_document(run, &judgement);
    store_write_json(run->directory, "result.json", document, run->errs);
    run_write_wanted_reports(request, run, document, run->errs);
    end_history(run, document, run->errs);
    cJSON_Delete(document);
    errs_print(run->errs, stderr);
    if (!run->errs->count)
        fprintf(stderr, "perturb: %s\n", run->abort_reason);
    return judgement.status;
}

static int engine(void *context, int guardian_fd, int wire_fd, int wire_pid)
{
    struct run *run = context;
    struct judgement *judgement = calloc(1, sizeof(*judgement));
    int result, status;

    if (!judgement) {
        fprintf(stderr, "perturb: run %s: out of memory\n", run->id);
        return ERR_INTERNAL;
    }
    run->guardian = (struct executor){ .fd = guardian_fd, .on_event = run_take_event, .context = run };
    run->wire = (struct executor){ .fd = wire_fd, .on_event = run_take_event, .context = run };
    run->wire_pid = (pid_t)wire_pid;
    run_signals();
    if (event_log_open(&run->log, run->directory) < 0)
        errs_add(run->errs, ERR_WORLD, run->directory, "the event log cannot be written: %s", strerror(errno));
    run_open_samples(run);
    live_start(run);
    result = run_conduct(run);
    run_finish(run);
    live_stop(run);
    run_close_samples(run);
    if (result < 0) {
        status = refuse(run);
    } else {
        run_judge(run, judgement);
        event_log_note(&run->log, EVENT_run_ended, run->id, NULL, judgement->status, 0);
        status = leave_result(run, judgement);
        errs_print(run->errs, stderr);
    }
    free(judgement);
    release_memory(run);
    return status;
}

/* ---- the guardian's side ------------------------------------------------------------------------------------------------------------ */

static void take_ledger(struct run *run, const struct buf *ledger)
{
    for (char *line = ledger->data; *line;) {
        size_t length = strcspn(line, "\n"), entry = strcspn(line, "\t");
        cJSON *object = cJSON_CreateObject();
        char text[640];

        snprintf(text, sizeof(text), "%.*s", (int)(entry < length ? entry : length), line);
        cJSON_AddStringToObject(object, "entry", text);
        snprintf(text, sizeof(text), "%.*s", entry < length ? (int)(length - entry - 1) : 0, line + entry + 1);
        cJSON_AddStringToObject(object, "outcome", text);
        cJSON_AddItemToArray(run->undo, object);
        line += length + (line[length] == '\n');
    }
}

static int fenced(void *context, const char *reason, int resisted, const struct buf *ledger)
{
    struct run *run = context;
    struct judgement judgement = { .verdict = "aborted", .status = resisted ? 4 : 3, .expect = cJSON_CreateArray() };
    cJSON *proof = cJSON_CreateObject();

    snprintf(judgement.why, sizeof(judgement.why), "%s; the guardian released and undid everything", reason);
    take_ledger(run, ledger);
    run_roll_back(run, false);
    if (run->unproven)
        judgement.status = 4;
    cJSON_AddStringToObject(proof, "what", "nothing that the run spawned is left");
    cJSON_AddStringToObject(proof, "outcome", resisted ? "NOT PROVEN" : "proven");
    cJSON_AddItemToArray(run->verify, proof);
    return leave_result(run, &judgement);
}

static int copy_playbook(const struct run *run, struct errs *errs)
{
    const char *dot = strrchr(run->playbook->document.file, '.');
    bool is_json = dot && !strcmp(dot, ".json");

    return store_write_file(run->directory, is_json ? "playbook.json" : "playbook.yaml", run->playbook->document.source,
                            run->playbook->document.source_length, errs);
}

static int set_up(struct run *run, struct errs *errs)
{
    char why[REGISTRY_FILE_MAX];
    int result;

    run->started_wall_ns = clock_wall_ns();
    name_run(run);
    name_series(run);
    if (choose_seed(run, errs) < 0 || check_programs(run, errs) < 0 || run_check_probes(run->playbook, errs) < 0)
        return -EINVAL;
    result = registry_open(&run->registry);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, "registry", "%s", registry_explain(result, why, sizeof(why)));
    if (allocate(run) < 0)
        return errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    if (store_run_create(run->request->out_directory, run->id, &run->directory, errs) < 0 || copy_playbook(run, errs) < 0 || run_write_plan(run, errs) < 0)
        return -EIO;
    begin_history(run, errs);
    return errs->count ? -EIO : 0;
}

int run_execute(const struct run_request *request, struct errs *errs)
{
    struct run *run = calloc(1, sizeof(*run));
    struct playbook *playbook = calloc(1, sizeof(*playbook));
    int status = ERR_INTERNAL;

    if (!run || !playbook) {
        free(run);
        free(playbook);
        errs_add(errs, ERR_INTERNAL, request->file, "out of memory");
        return ERR_INTERNAL;
    }
    run->request = request;
    run->playbook = playbook;
    run->errs = errs;
    run->wire.fd = run->guardian.fd = -1;
    run->people.lock_fd = -1;
    run->registry.fd = -1;
    if (playbook_read(playbook, request->file, request->options, errs) == 0 && set_up(run, errs) == 0) {
        const struct guardian_spec spec = { .run_id = run->id, .directory = run->directory, .lease_ns = (uint64_t)playbook->lease,
                                            .wants_wire = playbook->proxies.count > 0, .captures = run_may_redirect(playbook),
                                            .backend = request->backend, .spin_ns = playbook->wire.precise ? INJECTOR_PRECISE_NS : 0,
                                            .engine = engine, .fenced = fenced, .context = run };
        char title[512];

        if (request->guard_test)
            run_test_guard(run);
        if (!request->json && !request->quiet)
            printf("run %s, seed %llu: %s\n", run->id, (unsigned long long)run->seed, utf8_shown(playbook->title, title, sizeof(title)));
        fflush(stdout);
        if (request->begun)
            request->begun(request->begun_context, run->id, run->directory, playbook);
        status = guardian_run(&spec, errs);
    } else {
        status = errs_status(errs);
    }
    release_memory(run);
    playbook_done(playbook);
    free(playbook);
    free(run);
    return status;
}

/* ---- preview ---------------------------------------------------------------------------------------------------------------------------- */

static void preview_targets(const struct playbook *playbook)
{
    const struct target *targets = playbook->targets.items;
    const struct proxy *proxies = playbook->proxies.items;
    char room[4096];

    for (size_t i = 0; i < playbook->targets.count; i++) {
        printf("  target %-12s", targets[i].name);
        for (size_t j = 0; j < targets[i].command.count; j++)
            printf(" %s", utf8_shown(targets[i].command.items[j], room, sizeof(room)));
        if (targets[i].pid != ABSENT)
            printf(" pid %lld", (long long)targets[i].pid);
        printf("%s%s%s%s\n", targets[i].unit ? " unit " : targets[i].cgroup ? " cgroup " : targets[i].address ? " address " : "",
               targets[i].unit ? targets[i].unit : targets[i].cgroup ? targets[i].cgroup : "", targets[i].address ? targets[i].address : "",
               targets[i].attach == 1 ? ", attached for call faults, detached from the journal" : "");
    }
    for (size_t i = 0; i < playbook->proxies.count; i++)
        if (!proxies[i].captures)
            printf("  proxy  %-12s %s -> %s\n", proxies[i].name, proxies[i].listen, proxies[i].upstream);
}

static void preview_method(const struct run_request *request, const struct playbook *playbook, struct errs *errs)
{
    const struct step *steps = playbook->method.items;

    for (size_t i = 0; i < playbook->method.count; i++) {
        const struct fault_desc *fault = &fault_descs[steps[i].spec.rule.fault];
        char line[512], at[32], duration[32];

        if (fault_spec_print(&steps[i].spec, line, sizeof(line)) < 0)
            continue;
        printf("  at %-7s %s%s: %s\n", unit_print(UNIT_DURATION, steps[i].at, at, sizeof(at)), steps[i].duration == ABSENT ? "to the end" : "for ",
               steps[i].duration == ABSENT ? "" : unit_print(UNIT_DURATION, steps[i].duration, duration, sizeof(duration)), line);
        printf("             undone %s\n", fault->undo == UNDO_EXPIRES ? "by its release, by its lease, or by the end of its executor"
                                                                        : "from the journal: the target goes on or is started again");
        if (steps[i].layer == LAYER_HOST)
            run_preview_host(request, playbook, &steps[i], errs);
    }
    for (size_t i = 0; i < playbook->holds.count; i++) {
        const struct hold *hold = (const struct hold *)playbook->holds.items + i;
        char at[32], bound[32];

        printf("  at %-7s hold, at most %s, then %s: %s\n", unit_print(UNIT_DURATION, hold->at, at, sizeof(at)),
               unit_print(UNIT_DURATION, hold->bound, bound, sizeof(bound)), hold->otherwise == HOLD_ABORTS ? "abort" : "go on", hold->text);
    }
}

int run_preview(const struct run_request *request, struct errs *errs)
{
    struct playbook *playbook = calloc(1, sizeof(*playbook));
    struct run run = { .request = request, .playbook = playbook };
    char title[512];

    if (!playbook) {
        errs_add(errs, ERR_INTERNAL, request->file, "out of memory");
        return ERR_INTERNAL;
    }
    if (playbook_read(playbook, request->file, request->options, errs) == 0) {
        printf("%s: %s\n", request->file, utf8_shown(playbook->title, title, sizeof(title)));
        preview_targets(playbook);
        run_preview_captures(playbook, errs);
        preview_method(request, playbook, errs);
        printf("  nothing was started\n");
        check_programs(&run, errs);
        run_check_probes(playbook, errs);
    }
    playbook_done(playbook);
    free(playbook);
    return errs_status(errs);
}
