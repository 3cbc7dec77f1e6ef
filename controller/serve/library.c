/* See library.h. */
#include "controller/serve/library.h"

#include "controller/run/run.h"
#include "controller/serve/digest.h"
#include "controller/serve/json.h"
#include "controller/serve/uri.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/playbook/playbook.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4096, NAMES_GROWTH = 64 };

static bool is_playbook(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json"));
}

static int add_name(struct library_names *names, const char *name)
{
    char **grown = names->list;

    if (names->count == LIBRARY_NAMES_MAX)
        return -E2BIG;
    if (names->count % NAMES_GROWTH == 0)
        grown = realloc(names->list, (names->count + NAMES_GROWTH) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    names->list = grown;
    names->list[names->count] = strdup(name);
    return names->list[names->count] ? (int)(names->count++, 0) : -ENOMEM;
}

/* Walks the folder `below` ("" is the directory itself), O_NOFOLLOW all the way. */
static int walk(int parent, const char *folder, const char *below, int depth, struct library_names *names)
{
    int fd = openat(parent, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth ? O_NOFOLLOW : 0)), result = 0;
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    struct stat facts;
    char name[PATH_BYTES];

    if (!stream) {
        result = -errno;
        if (fd >= 0)
            close(fd);
        return result;
    }
    while (result == 0 && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (snprintf(name, sizeof(name), "%s%s%s", below, *below ? "/" : "", entry->d_name) >= (int)sizeof(name) || !uri_is_name(name))
            continue;
        if (S_ISDIR(facts.st_mode) && depth < LIBRARY_DEPTH_MAX)
            result = walk(fd, entry->d_name, name, depth + 1, names);
        else if (S_ISREG(facts.st_mode) && is_playbook(name))
            result = add_name(names, name);
    }
    closedir(stream);
    return result;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int library_list(const char *directory, struct library_names *ret_names)
{
    struct library_names names = { .count = 0 };
    int result = walk(AT_FDCWD, directory, "", 0, &names);

    if (result == -ENOENT)
        result = 0;
    if (result < 0) {
        library_names_done(&names);
        return result;
    }
    if (names.count)
        qsort(names.list, names.count, sizeof(*names.list), by_bytes);
    *ret_names = names;
    return 0;
}

void library_names_done(struct library_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct library_names){ .count = 0 };
}

/* ---- what one says ---- */

/* Ports are chosen when it runs; to be looked at, any number will do. */
static uint16_t some_port(void *context, const char *name)
{
    (void)name;
    return (uint16_t)(40000 + (*(unsigned *)context)++ % 10000);
}

static void put_list(cJSON *object, const char *key, const struct text_list *list)
{
    cJSON *array = cJSON_AddArrayToObject(object, key);

    for (size_t i = 0; i < list->count; i++)
        cJSON_AddItemToArray(array, cJSON_CreateString(list->items[i]));
}

static void put_errors(cJSON *object, const struct errs *errs)
{
    cJSON *list = cJSON_AddArrayToObject(object, "errors");

    for (size_t i = 0; i < errs->count; i++) {
        cJSON *one = cJSON_CreateObject();

        json_put_text(one, "where", errs->list[i].where);
        json_put_text(one, "message", errs->list[i].text);
        cJSON_AddItemToArray(list, one);
    }
}

static bool is_json_file(const char *name)
{
    size_t length = strlen(name);

    return length > 5 && !strcmp(name + length - 5, ".json");
}

cJSON *library_describe(const char *directory, const char *name, bool fully)
{
    AUTO_FREE struct errs *errs = calloc(1, sizeof(*errs));
    cJSON *object = cJSON_CreateObject();
    unsigned ports = 0;
    const struct playbook_options options = { .free_port = some_port, .context = &ports };
    struct playbook playbook = { .version = 0 };
    char path[PATH_BYTES], hash[40];
    struct buf source;
    int result;

    if (!errs || !object)
        return object;
    (void)fully;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    buf_init(&source, DOCUMENT_BYTES_MAX);
    result = buf_read_file(&source, path);
    if (result < 0)
        errs_add(errs, ERR_WORLD, name, "cannot be read: %s", strerror(-result));
    else
        result = playbook_parse(&playbook, name, source.data, source.length, is_json_file(name), &options, errs);
    json_put_text(object, "name", name);
    json_put_text(object, "title", playbook.title);
    json_put_text(object, "service", playbook.service);
    json_put_text(object, "tier", playbook.tier);
    put_list(object, "tags", &playbook.tags);
    json_put_text(object, "rigour", playbook.rigour == 1 ? "full" : "quick");
    cJSON_AddBoolToObject(object, "valid", result == 0);
    put_errors(object, errs);
    digest_text(source.data, source.length, hash, sizeof(hash));
    json_put_text(object, "hash", hash);
    playbook_done(&playbook);
    buf_done(&source);
    return object;
}
