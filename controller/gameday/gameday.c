/* The document of a game day. */
#include "controller/gameday/gameday.h"

#include "controller/base/json.h"
#include "controller/report/doc.h"
#include "controller/run/marks.h"
#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* ---- the file --------------------------------------------------------------------------------------------------------------------- */

static int base_directory(char *path, size_t size, struct errs *errs)
{
    AUTO_FREE char *state = NULL;
    int result = store_state_directory(&state, errs);

    if (result < 0)
        return result;
    if (snprintf(path, size, "%s/gamedays", state) >= (int)size)
        return errs_add(errs, ERR_WORLD, state, "is too long a path");
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return errs_add(errs, ERR_WORLD, path, "cannot be made: %s", strerror(errno));
    return 0;
}

static int write_document(const struct gameday *gameday, struct errs *errs)
{
    return store_write_json(gameday->directory, "gameday.json", gameday->document, errs);
}

static void now_text(char *text, size_t size)
{
    time_t now = time(NULL);
    struct tm broken_down;

    gmtime_r(&now, &broken_down);
    strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &broken_down);
}

static void put_text(cJSON *object, const char *key, const char *text)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    cJSON_AddStringToObject(object, key, text ? text : "");
}

/* Who it is: the name that marks have. */
static void put_by(cJSON *object, const char *by)
{
    struct mark mark;

    mark_init(&mark, MARK_NOTE, 0, by, NULL);
    put_text(object, "by", mark.by);
}

/* ---- its life -------------------------------------------------------------------------------------------------------------------- */

static void describe(struct gameday *gameday, const struct playbook *playbook)
{
    const struct gameday_section *section = &playbook->gameday;
    const struct text_list *items = &section->checklist;
    AUTO_FREE char *real = realpath(playbook->document.file, NULL);
    cJSON *document = gameday->document, *part;
    char now[32];

    now_text(now, sizeof(now));
    put_text(document, "id", gameday->id);
    put_text(document, "state", "checklist");
    put_text(document, "opened", now);
    put_text(document, "playbook", real ? real : playbook->document.file);
    put_text(document, "title", playbook->title);
    put_text(document, "service", playbook->service);
    put_text(document, "scenario", section->scenario ? "secret" : "announced");
    part = cJSON_AddObjectToObject(document, "roles");
    put_text(part, "commander", section->roles.commander);
    put_text(part, "driver", section->roles.driver);
    put_text(part, "observer", section->roles.observer);
    put_text(part, "abort-owner", section->roles.abort_owner);
    part = cJSON_AddArrayToObject(document, "checklist");
    for (size_t i = 0; i < items->count; i++) {
        cJSON *item = cJSON_CreateObject();

        put_text(item, "item", items->items[i]);
        cJSON_AddItemToArray(part, item);
    }
    part = cJSON_AddObjectToObject(document, "goals_s");
    json_put_length(part, "detect", section->goals.detect);
    json_put_length(part, "acknowledge", section->goals.acknowledge);
    json_put_length(part, "mitigate", section->goals.mitigate);
    part = cJSON_AddObjectToObject(document, "findings");
    put_text(part, "owner", section->findings.owner);
    json_put_length(part, "due_s", section->findings.due);
}

int gameday_open(struct gameday *gameday, const struct playbook *playbook, const char *by, struct errs *errs)
{
    char base[400], stamp[24];
    uint64_t wall_ns = clock_wall_ns();
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm broken_down;
    int result = base_directory(base, sizeof(base), errs);

    *gameday = (struct gameday){ .document = NULL };
    if (result < 0)
        return result;
    localtime_r(&seconds, &broken_down);
    strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &broken_down);
    snprintf(gameday->id, sizeof(gameday->id), "%s-g%04x", stamp, (unsigned)(rng_mix(wall_ns, (uint64_t)getpid()) & 0xffff));
    snprintf(gameday->directory, sizeof(gameday->directory), "%s/%s", base, gameday->id);
    if (mkdir(gameday->directory, 0700) < 0)
        return errs_add(errs, ERR_WORLD, gameday->directory, "cannot be made: %s", strerror(errno));
    gameday->document = cJSON_CreateObject();
    describe(gameday, playbook);
    put_by(gameday->document, by);
    return write_document(gameday, errs);
}

static bool id_is_plain(const char *id)
{
    return id[0] && strlen(id) < GAMEDAY_ID_MAX && !id[strspn(id, "0123456789abcdefg-")];
}

static int read_document(const char *directory, cJSON **ret_document)
{
    char path[600];
    struct buf text;
    int result;

    snprintf(path, sizeof(path), "%s/gameday.json", directory);
    buf_init(&text, 8 << 20);
    result = buf_read_file(&text, path);
    *ret_document = result == 0 ? cJSON_Parse(text.data) : NULL;
    buf_done(&text);
    return result < 0 ? result : cJSON_IsObject(*ret_document) ? 0 : -EBADMSG;
}

int gameday_read(struct gameday *gameday, const char *id, struct errs *errs)
{
    char base[400];
    int result = base_directory(base, sizeof(base), errs);

    *gameday = (struct gameday){ .document = NULL };
    if (result < 0)
        return result;
    if (!id_is_plain(id)) {
        errs_add(errs, ERR_USAGE, id, "is no game day");
        return -ENOENT;
    }
    snprintf(gameday->id, sizeof(gameday->id), "%s", id);
    snprintf(gameday->directory, sizeof(gameday->directory), "%s/%s", base, id);
    result = read_document(gameday->directory, &gameday->document);
    if (result < 0)
        errs_add(errs, result == -ENOENT ? ERR_USAGE : ERR_WORLD, id, "is no game day that can be read: %s", strerror(-result));
    return result;
}

void gameday_done(struct gameday *gameday)
{
    cJSON_Delete(gameday->document);
    gameday->document = NULL;
}

static int newest_first(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*b)->d_name, (*a)->d_name);
}

static int is_entry(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int gameday_list(cJSON **ret_list, struct errs *errs)
{
    struct dirent **entries = NULL;
    char base[400], directory[700];
    int result = base_directory(base, sizeof(base), errs), count;
    cJSON *list;

    if (result < 0)
        return result;
    count = scandir(base, &entries, is_entry, newest_first);
    if (count < 0)
        return errs_add(errs, ERR_WORLD, base, "cannot be read: %s", strerror(errno));
    list = cJSON_CreateArray();
    for (int i = 0; i < count; i++) {
        cJSON *document = NULL;

        snprintf(directory, sizeof(directory), "%s/%s", base, entries[i]->d_name);
        if (read_document(directory, &document) == 0)
            cJSON_AddItemToArray(list, document);
        free(entries[i]);
    }
    free(entries);
    *ret_list = list;
    return 0;
}

int gameday_note(struct gameday *gameday, const char *key, const char *text, struct errs *errs)
{
    put_text(gameday->document, key, text);
    return write_document(gameday, errs);
}

int gameday_tick(struct gameday *gameday, size_t item, const char *by, struct errs *errs)
{
    cJSON *entry = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(gameday->document, "checklist"), (int)item);
    char text[32];

    if (!entry || item > 1000) {
        errs_add(errs, ERR_USAGE, "checklist", "it has no item %zu", item + 1);
        return -ERANGE;
    }
    if (!doc_is(gameday->document, "state", "checklist")) {
        errs_add(errs, ERR_USAGE, gameday->id, "the game day has begun");
        return -EBUSY;
    }
    if (doc_text(entry, "at")[0])
        return 0;
    put_by(entry, by);
    snprintf(text, sizeof(text), "%" PRIu64, clock_now_ns());
    put_text(entry, "ns", text);
    now_text(text, sizeof(text));
    put_text(entry, "at", text);
    return write_document(gameday, errs);
}

bool gameday_is_ready(const struct gameday *gameday)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, doc_list(gameday->document, "checklist"))
        if (!doc_text(item, "at")[0])
            return false;
    return doc_is(gameday->document, "state", "checklist");
}

int gameday_begin(struct gameday *gameday, const char *run, const char *directory, struct errs *errs)
{
    if (!gameday_is_ready(gameday)) {
        errs_add(errs, ERR_USAGE, gameday->id, "the checklist has items that nobody ticked");
        return -EBUSY;
    }
    put_text(gameday->document, "state", "running");
    put_text(gameday->document, "run", run);
    put_text(gameday->document, "directory", directory);
    return write_document(gameday, errs);
}

int gameday_tell_run(const struct gameday *gameday)
{
    const cJSON *item;
    int result = 0;

    cJSON_ArrayForEach(item, doc_list(gameday->document, "checklist")) {
        struct mark mark;
        int put;

        mark_init(&mark, MARK_CHECKED, strtoull(doc_text(item, "ns"), NULL, 10), doc_text(item, "by"), doc_text(item, "item"));
        put = mark_put(doc_text(gameday->document, "directory"), &mark);
        result = result < 0 ? result : put;
    }
    return result;
}
