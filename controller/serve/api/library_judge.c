/* See library.h: what a playbook says, and what is wrong with it. */
#include "controller/run/run.h"
#include "controller/base/digest.h"
#include "controller/base/json.h"
#include "controller/serve/api/library.h"
#include "scenarios/base/clock.h"
#include "scenarios/playbook/playbook.h"
#include "scenarios/playbook/spec.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { VARS_MAX = 64, PORTS_FIRST = 40000, PORTS = 10000, PATH_BYTES = 4096 };

/* Ports are chosen when it runs; to be looked at, any number will do. */
static uint16_t some_port(void *context, const char *name)
{
    (void)name;
    return (uint16_t)(PORTS_FIRST + (*(unsigned *)context)++ % PORTS);
}

struct overrides {
    struct variable_override list[VARS_MAX];
    char *values[VARS_MAX]; /* owned */
    size_t count;
};

static void take_overrides(const cJSON *vars, struct overrides *overrides, struct errs *errs)
{
    const cJSON *one;

    cJSON_ArrayForEach(one, vars)
    {
        char *text = cJSON_IsString(one) ? strdup(one->valuestring) : json_text(one);

        if (overrides->count == VARS_MAX || !text) {
            errs_add(errs, ERR_INPUT, "vars", "more than %d of them", VARS_MAX);
            free(text);
            return;
        }
        overrides->values[overrides->count] = text;
        overrides->list[overrides->count++] = (struct variable_override){ one->string, text };
    }
}

static void put_list(cJSON *object, const char *key, const struct text_list *list)
{
    cJSON *array = cJSON_AddArrayToObject(object, key);

    for (size_t i = 0; i < list->count; i++)
        cJSON_AddItemToArray(array, cJSON_CreateString(list->items[i]));
}

static void put_findings(cJSON *object, const char *key, const struct err *list, size_t count)
{
    cJSON *array = cJSON_AddArrayToObject(object, key);

    for (size_t i = 0; i < count; i++) {
        cJSON *one = cJSON_CreateObject();

        json_put_text(one, "where", list[i].where);
        json_put_text(one, "message", list[i].text);
        cJSON_AddItemToArray(array, one);
    }
}

static double seconds(int64_t ns)
{
    return ns == ABSENT ? (double)NAN : (double)ns / (double)NS_PER_S;
}

static cJSON *add_row(cJSON *list)
{
    cJSON *row = cJSON_CreateObject();

    cJSON_AddItemToArray(list, row);
    return row;
}

static void put_targets(cJSON *object, const struct playbook *playbook)
{
    const struct target *targets = playbook->targets.items;
    cJSON *list = cJSON_AddArrayToObject(object, "targets");

    for (size_t i = 0; i < playbook->targets.count; i++) {
        const struct target *target = &targets[i];
        cJSON *row = add_row(list);

        json_put_text(row, "name", target->name);
        put_list(row, "command", &target->command);
        json_put_text(row, "unit", target->unit);
        json_put_text(row, "cgroup", target->cgroup);
        json_put_text(row, "address", target->address);
        json_put_number(row, "pid", target->pid == ABSENT ? (double)NAN : (double)target->pid);
    }
}

static void put_proxies(cJSON *object, const struct playbook *playbook)
{
    const struct proxy *proxies = playbook->proxies.items;
    cJSON *list = cJSON_AddArrayToObject(object, "proxies");

    for (size_t i = 0; i < playbook->proxies.count; i++) {
        cJSON *row = add_row(list);

        json_put_text(row, "name", proxies[i].name);
        json_put_text(row, "listen", proxies[i].listen);
        json_put_text(row, "upstream", proxies[i].upstream);
        cJSON_AddBoolToObject(row, "captures", proxies[i].captures);
    }
}

static void put_loads(cJSON *object, const struct playbook *playbook)
{
    const struct workload *loads = playbook->loads.items;
    cJSON *list = cJSON_AddArrayToObject(object, "loads");

    for (size_t i = 0; i < playbook->loads.count; i++) {
        cJSON *row = add_row(list);

        json_put_text(row, "name", loads[i].name);
        json_put_text(row, "url", loads[i].url);
        json_put_number(row, "rate_per_s", loads[i].rate == ABSENT ? (double)NAN : (double)loads[i].rate / 1000);
    }
}

static void put_faults(cJSON *object, const struct playbook *playbook)
{
    const struct step *steps = playbook->method.items;
    cJSON *list = cJSON_AddArrayToObject(object, "faults");
    char spec[512];

    for (size_t i = 0; i < playbook->method.count; i++) {
        cJSON *row = add_row(list);

        json_put_text(row, "fault", steps[i].fault);
        json_put_text(row, "spec", fault_spec_print(&steps[i].spec, spec, sizeof(spec)) == 0 ? spec : steps[i].fault);
        json_put_text(row, "scope", steps[i].proxy ? steps[i].proxy : steps[i].target);
        json_put_number(row, "at_s", seconds(steps[i].at));
        json_put_number(row, "for_s", seconds(steps[i].duration));
    }
}

static void put_guards(cJSON *object, const struct playbook *playbook)
{
    const struct guard *guards = playbook->guards.items;
    cJSON *list = cJSON_AddArrayToObject(object, "guards");

    for (size_t i = 0; i < playbook->guards.count; i++) {
        cJSON *row = add_row(list);

        json_put_text(row, "signal", guards[i].signal_text);
        json_put_text(row, "above", guards[i].above_text);
        json_put_text(row, "below", guards[i].below_text);
        json_put_number(row, "for_s", seconds(guards[i].hold));
        put_list(row, "then", &guards[i].then);
    }
}

static void put_expectation(cJSON *object, const struct playbook *playbook)
{
    const struct convergence_expectation *convergence = &playbook->expect.convergence;
    cJSON *expect = cJSON_AddObjectToObject(object, "expect");

    json_put_number(expect, "convergence_max_s", seconds(convergence->max));
    json_put_number(expect, "band", convergence->band == ABSENT ? (double)NAN : (double)convergence->band / 1e6);
    json_put_number(expect, "hold_s", seconds(convergence->hold));
    json_put_number(expect, "loss_max_s", seconds(playbook->expect.loss.max));
}

/* The variables as the file has them: what a form to start a run offers. */
static void put_vars(cJSON *object, const struct playbook *playbook)
{
    const struct node *vars = node_member(playbook->document.root, "vars");
    cJSON *list = cJSON_AddObjectToObject(object, "vars");

    for (const struct node *one = vars ? vars->first : NULL; one; one = one->next)
        if (one->key && one->text)
            json_put_text(list, one->key, one->text);
}

static void put_details(cJSON *object, const struct playbook *playbook, const char *source)
{
    json_put_text(object, "source", source);
    json_put_text(object, "description", playbook->description);
    json_put_text(object, "owner", playbook->owner);
    if (playbook->document.root)
        put_vars(object, playbook);
    put_targets(object, playbook);
    put_proxies(object, playbook);
    put_loads(object, playbook);
    put_faults(object, playbook);
    put_guards(object, playbook);
    put_expectation(object, playbook);
}

static bool is_json_file(const char *name)
{
    size_t length = strlen(name);

    return length > 5 && !strcmp(name + length - 5, ".json");
}

static void put_head(cJSON *object, const char *name, const struct playbook *playbook)
{
    json_put_text(object, "name", name);
    json_put_text(object, "title", playbook->title);
    json_put_text(object, "service", playbook->service);
    json_put_text(object, "tier", playbook->tier);
    put_list(object, "tags", &playbook->tags);
    json_put_text(object, "rigour", playbook->rigour == 1 ? "full" : "quick");
}

cJSON *library_judge(const char *name, const char *source, size_t length, const cJSON *vars_or_null, bool fully)
{
    AUTO_FREE struct errs *errs = calloc(1, sizeof(*errs));
    AUTO_FREE struct playbook *playbook = calloc(1, sizeof(*playbook));
    AUTO_FREE struct overrides *overrides = calloc(1, sizeof(*overrides));
    cJSON *object = cJSON_CreateObject();
    unsigned ports = 0;
    struct playbook_options options = { .free_port = some_port, .context = &ports };
    char hash[DIGEST_CHARS];

    if (!errs || !playbook || !overrides || !object)
        return object;
    take_overrides(vars_or_null, overrides, errs);
    options.overrides = overrides->list;
    options.override_count = overrides->count;
    if (playbook_parse(playbook, name, source, length, is_json_file(name), &options, errs) == 0)
        (void)run_check_probes(playbook, errs);
    put_head(object, name, playbook);
    cJSON_AddBoolToObject(object, "valid", errs->count == 0);
    put_findings(object, "errors", errs->list, errs->count);
    put_findings(object, "warnings", errs->warnings, errs->warning_count);
    json_put_text(object, "hash", digest_text(source, length, hash, sizeof(hash)));
    if (fully)
        put_details(object, playbook, source);
    playbook_done(playbook);
    for (size_t i = 0; i < overrides->count; i++)
        free(overrides->values[i]);
    return object;
}

/* ---- what was judged before ---- */

enum { KEPT_MAX = 512 };

static struct kept {
    char *path;
    struct stat facts;
    cJSON *object;
} kept[KEPT_MAX]; /* the place is a digest of the path: of two that fall together the later stays */
static pthread_mutex_t kept_mutex = PTHREAD_MUTEX_INITIALIZER;

static size_t place_of(const char *path)
{
    size_t place = 5381;

    for (; *path; path++)
        place = place * 33 + (unsigned char)*path;
    return place % KEPT_MAX;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && !memcmp(&a->st_mtim, &b->st_mtim, sizeof(a->st_mtim)) &&
           !memcmp(&a->st_ctim, &b->st_ctim, sizeof(a->st_ctim));
}

static cJSON *find_kept(const char *path, const struct stat *facts)
{
    struct kept *slot = &kept[place_of(path)];
    cJSON *copy = NULL;

    pthread_mutex_lock(&kept_mutex);
    if (slot->path && !strcmp(slot->path, path) && is_same_file(&slot->facts, facts))
        copy = cJSON_Duplicate(slot->object, true);
    pthread_mutex_unlock(&kept_mutex);
    return copy;
}

static void keep(const char *path, const struct stat *facts, const cJSON *object)
{
    struct kept *slot = &kept[place_of(path)], fresh = { strdup(path), *facts, cJSON_Duplicate(object, true) }, old;

    pthread_mutex_lock(&kept_mutex);
    old = *slot;
    *slot = fresh;
    pthread_mutex_unlock(&kept_mutex);
    free(old.path);
    cJSON_Delete(old.object);
}

static cJSON *describe_file(const char *directory, const char *name, bool fully)
{
    struct buf source;
    cJSON *object;
    int result;

    buf_init(&source, DOCUMENT_BYTES_MAX);
    result = library_read(directory, name, &source);
    object = library_judge(name, source.data, source.length, NULL, fully);
    if (result < 0) {
        cJSON *errors = cJSON_GetObjectItemCaseSensitive(object, "errors"), *one = add_row(errors);

        json_put_text(one, "where", name);
        json_put_text(one, "message", strerror(-result));
    }
    buf_done(&source);
    return object;
}

/* A playbook may read other files and the environment (a recorded load, a password), so what is kept is told only in lists; one that is
 * shown alone is judged anew. */
cJSON *library_describe(const char *directory, const char *name, bool fully)
{
    char path[PATH_BYTES];
    struct stat facts;
    cJSON *object;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (fully || lstat(path, &facts) < 0)
        return describe_file(directory, name, fully);
    object = find_kept(path, &facts);
    if (object)
        return object;
    object = describe_file(directory, name, false);
    keep(path, &facts, object);
    return object;
}
