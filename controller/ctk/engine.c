/* The order of an experiment: configuration, hypothesis, method, hypothesis again, rollbacks, journal. */
#include "controller/ctk/ctk_priv.h"

#include "controller/base/json.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { BACKGROUND_MAX = 64 };

/* What a signal handler can reach. */
static struct ctk_run *running;

static void on_stop(int number)
{
    (void)number;
    atomic_store(&running->stopping, true);
}

struct hypothesis_strategy {
    bool before, during, after;
};

/* An activity that goes on beside the method. */
struct background {
    struct ctk_run *run;
    const cJSON *activity;
    cJSON *record;
    pthread_t thread;
};

static const cJSON *runtime(const struct ctk_run *run, const char *section)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(run->experiment, "runtime"), section);
}

static struct hypothesis_strategy hypothesis_strategy(const struct ctk_run *run)
{
    const char *word = ctk_text(runtime(run, "hypothesis"), "strategy");

    if (!strcmp(word, "before-method-only"))
        return (struct hypothesis_strategy){ .before = true };
    if (!strcmp(word, "after-method-only"))
        return (struct hypothesis_strategy){ .after = true };
    if (!strcmp(word, "during-method-only"))
        return (struct hypothesis_strategy){ .during = true };
    if (!strcmp(word, "continuously"))
        return (struct hypothesis_strategy){ true, true, true };
    return (struct hypothesis_strategy){ .before = true, .after = true };
}

static bool is_met(const cJSON *state)
{
    return !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(state, "steady_state_met"));
}

/* ---- the method -------------------------------------------------------------------------------------------------------------- */

static void *background_thread(void *argument)
{
    struct background *background = argument;

    background->record = ctk_run_activity(background->run, background->activity);
    return NULL;
}

static void run_method(struct ctk_run *run, cJSON *records)
{
    struct background list[BACKGROUND_MAX];
    const cJSON *activity;
    size_t count = 0;

    cJSON_ArrayForEach(activity, cJSON_GetObjectItemCaseSensitive(run->experiment, "method")) {
        const cJSON *resolved = ctk_resolve(run->experiment, activity);

        if (atomic_load(&run->stopping))
            break;
        if (!run->instants.method_ns && !strcmp(ctk_text(resolved, "type"), "action"))
            run->instants.method_ns = clock_now_ns();
        if ((ctk_bool(activity, "background") || ctk_bool(resolved, "background")) && count < BACKGROUND_MAX) {
            list[count] = (struct background){ .run = run, .activity = resolved };
            if (pthread_create(&list[count].thread, NULL, background_thread, &list[count]) == 0) {
                count++;
                continue;
            }
        }
        cJSON_AddItemToArray(records, ctk_run_activity(run, resolved));
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(list[i].thread, NULL);
        cJSON_AddItemToArray(records, list[i].record);
    }
}

/* The hypothesis, again and again while the method goes on. */
struct watch {
    struct ctk_run *run;
    cJSON *states;
    atomic_bool over;
    bool fail_fast;
    double frequency_s;
};

static void *watch_thread(void *argument)
{
    struct watch *watch = argument;

    while (!atomic_load(&watch->over) && !atomic_load(&watch->run->stopping)) {
        cJSON *state = ctk_run_hypothesis(watch->run);
        uint64_t until_ns = clock_now_ns() + (uint64_t)(watch->frequency_s * 1e9);
        bool met = is_met(state);

        cJSON_AddItemToArray(watch->states, state);
        if (!met && watch->fail_fast)
            break;
        while (!atomic_load(&watch->over) && clock_now_ns() < until_ns)
            poll(NULL, 0, 20);
    }
    return NULL;
}

static void run_watched_method(struct ctk_run *run, cJSON *states, cJSON *records)
{
    const cJSON *settings = runtime(run, "hypothesis");
    struct watch watch = { .run = run, .states = states, .fail_fast = ctk_bool(settings, "fail_fast"), .frequency_s = ctk_number(settings, "frequency", 1) };
    pthread_t thread;
    bool started = pthread_create(&thread, NULL, watch_thread, &watch) == 0;

    run_method(run, records);
    atomic_store(&watch.over, true);
    if (started)
        pthread_join(thread, NULL);
}

/* ---- rollbacks --------------------------------------------------------------------------------------------------------------- */

int ctk_rollbacks_parse(const char *text, enum ctk_rollbacks *ret_rollbacks)
{
    static const char *const words[] = { "", "default", "always", "never", "deviated" };

    for (size_t i = 1; i < ARRAY_SIZE(words); i++)
        if (!strcmp(text, words[i])) {
            *ret_rollbacks = (enum ctk_rollbacks)i;
            return 0;
        }
    return -EINVAL;
}

/* Said on the command line, else in the file, else always. */
static bool rolls_back(const struct ctk_run *run, enum ctk_rollbacks said, bool deviated)
{
    enum ctk_rollbacks strategy = said;

    if (!strategy && ctk_rollbacks_parse(ctk_text(runtime(run, "rollbacks"), "strategy"), &strategy) < 0)
        strategy = CTK_ROLLBACKS_ALWAYS;
    switch (strategy) {
    case CTK_ROLLBACKS_NEVER:
        return false;
    case CTK_ROLLBACKS_DEVIATED:
        return deviated;
    case CTK_ROLLBACKS_DEFAULT:
        return !atomic_load(&run->stopping);
    default:
        return true;
    }
}

/* A failed one does not stop the rest; a second signal does not stop any. */
static bool run_rollbacks(struct ctk_run *run, cJSON *records)
{
    const cJSON *activity;
    bool all = true, stopped = atomic_exchange(&run->stopping, false);

    cJSON_ArrayForEach(activity, cJSON_GetObjectItemCaseSensitive(run->experiment, "rollbacks")) {
        cJSON *record = ctk_run_activity(run, activity), *output = cJSON_GetObjectItemCaseSensitive(record, "output");
        const cJSON *provider = cJSON_GetObjectItemCaseSensitive(ctk_resolve(run->experiment, activity), "provider");
        double status = ctk_number(output, "status", 0);

        all &= !strcmp(ctk_text(record, "status"), "succeeded") && (!strcmp(ctk_text(provider, "type"), "http") ? status < 400 : status == 0);
        cJSON_AddItemToArray(records, record);
    }
    if (stopped)
        atomic_store(&run->stopping, true);
    return all;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------- */

static cJSON *new_journal(const struct ctk_run *run)
{
    cJSON *journal = cJSON_CreateObject(), *states;
    struct utsname machine;
    char platform[200];

    uname(&machine);
    snprintf(platform, sizeof(platform), "%.40s-%.60s-%.40s", machine.sysname, machine.release, machine.machine);
    cJSON_AddStringToObject(journal, "chaoslib-version", "1.0.0");
    cJSON_AddStringToObject(journal, "platform", platform);
    cJSON_AddStringToObject(journal, "node", machine.nodename);
    cJSON_AddItemToObject(journal, "experiment", cJSON_Duplicate(run->experiment, 1));
    cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(journal, "experiment"), "secrets"); /* never written down */
    ctk_add_instant(journal, "start");
    cJSON_AddStringToObject(journal, "status", "completed");
    cJSON_AddBoolToObject(journal, "deviated", false);
    states = cJSON_AddObjectToObject(journal, "steady_states");
    cJSON_AddNullToObject(states, "before");
    cJSON_AddNullToObject(states, "after");
    cJSON_AddArrayToObject(states, "during");
    cJSON_AddArrayToObject(journal, "run");
    cJSON_AddArrayToObject(journal, "rollbacks");
    return journal;
}

static void set(cJSON *object, const char *key, cJSON *value)
{
    cJSON_ReplaceItemInObjectCaseSensitive(object, key, value);
}

static bool any_unmet(const cJSON *states)
{
    const cJSON *state;

    cJSON_ArrayForEach(state, states)
        if (!is_met(state))
            return true;
    return false;
}

/* Hypothesis, method, hypothesis. Returns the exit status so far. */
static int disturb(struct ctk_run *run, cJSON *journal)
{
    const struct hypothesis_strategy strategy = hypothesis_strategy(run);
    cJSON *states = cJSON_GetObjectItemCaseSensitive(journal, "steady_states"), *during = cJSON_GetObjectItemCaseSensitive(states, "during");
    cJSON *records = cJSON_GetObjectItemCaseSensitive(journal, "run"), *state;
    bool deviated;

    if (strategy.before) {
        ctk_say(run, "hypothesis", "before the method");
        state = ctk_run_hypothesis(run);
        set(states, "before", state);
        if (!is_met(state))
            return 2;
    }
    if (strategy.during)
        run_watched_method(run, during, records);
    else
        run_method(run, records);
    deviated = any_unmet(during);
    if (strategy.after && !atomic_load(&run->stopping)) {
        ctk_say(run, "hypothesis", "after the method");
        state = ctk_run_hypothesis(run);
        set(states, "after", state);
        deviated |= !is_met(state);
    }
    set(journal, "deviated", cJSON_CreateBool(deviated));
    return deviated ? 1 : 0;
}

static int write_journal(const char *path, const cJSON *journal, struct errs *errs)
{
    char *text = json_pretty(journal);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int result = fd < 0 ? -errno : text ? file_write_all(fd, text, strlen(text)) : -ENOMEM;

    cJSON_free(text);
    return result < 0 ? errs_add(errs, ERR_WORLD, path, "cannot be written: %s", strerror(-result)) : 0;
}

static void conduct(struct ctk_run *run, const struct ctk_request *request, cJSON *journal, int *ret_status)
{
    uint64_t from_ns = clock_now_ns();
    int status = disturb(run, journal);

    if (atomic_load(&run->stopping)) {
        set(journal, "status", cJSON_CreateString("interrupted"));
        status = 3;
    }
    if (rolls_back(run, request->rollbacks, status == 1) && !run_rollbacks(run, cJSON_GetObjectItemCaseSensitive(journal, "rollbacks")))
        status = 4;
    if (run->instants.method_ns)
        run->instants.released_ns = clock_now_ns();
    ctk_add_instant(journal, "end");
    cJSON_AddNumberToObject(journal, "duration", (double)(clock_now_ns() - from_ns) / 1e9);
    *ret_status = status;
}

/* Wall time of an activity record, as CLOCK_MONOTONIC; 0 when it cannot be read. */
static uint64_t monotonic_of(const cJSON *record, const char *key)
{
    const char *text = ctk_text(record, key), *rest;
    struct tm when = { 0 };
    double fraction = 0;
    int64_t ago_ns;

    rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &when);
    if (!rest)
        return 0;
    if (*rest == '.')
        fraction = strtod(rest, NULL);
    ago_ns = (int64_t)clock_wall_ns() - (int64_t)timegm(&when) * (int64_t)NS_PER_S - (int64_t)(fraction * 1e9);
    return clock_now_ns() - (uint64_t)ago_ns;
}

void ctk_instants_of(const cJSON *journal, struct ctk_instants *ret_instants)
{
    struct ctk_instants instants = { 0 };
    const cJSON *record;

    cJSON_ArrayForEach(record, cJSON_GetObjectItemCaseSensitive(journal, "run")) {
        bool acts = !strcmp(ctk_text(cJSON_GetObjectItemCaseSensitive(record, "activity"), "type"), "action");

        if (acts && !instants.method_ns)
            instants.method_ns = monotonic_of(record, "start");
        instants.released_ns = monotonic_of(record, "end");
    }
    cJSON_ArrayForEach(record, cJSON_GetObjectItemCaseSensitive(journal, "rollbacks"))
        instants.released_ns = monotonic_of(record, "end");
    *ret_instants = instants;
}

static void handle_signals(struct ctk_run *run)
{
    struct sigaction action = { .sa_handler = on_stop };

    running = run;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int ctk_execute(const struct ctk_request *request, struct errs *errs)
{
    static const char *const words[] = { "PASSED", "DEVIATED", "NOT STEADY before the method: nothing was done", "INTERRUPTED",
                                         "a ROLLBACK FAILED: look at what it was to undo" };
    cJSON *experiment = json_of_node(request->document->root), *journal;
    struct ctk_run run = { .experiment = experiment, .json = request->json };
    char why[256] = "";
    int status = 0;

    handle_signals(&run);
    ctk_say(&run, "experiment", ctk_text(experiment, "title"));
    if (ctk_values_resolve(experiment, &run.stopping, &run.values, why, sizeof(why)) < 0) {
        errs_add(errs, ERR_WORLD, request->document->file, "configuration: %s", why);
        cJSON_Delete(experiment);
        return errs_status(errs);
    }
    journal = new_journal(&run);
    conduct(&run, request, journal, &status);
    ctk_say(&run, "verdict", words[status]);
    cJSON_AddArrayToObject(journal, "extensions");
    if (request->extend)
        request->extend(request->context, journal, &run.instants);
    if (write_journal(request->journal_path ? request->journal_path : "journal.json", journal, errs) < 0 && status != 4)
        status = errs_status(errs);
    cJSON_Delete(journal);
    ctk_values_done(&run.values);
    cJSON_Delete(experiment);
    return status;
}
