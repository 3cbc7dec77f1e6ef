/* The outbox on disk. */
#include "controller/outlet/outbox.h"

#include "controller/base/json.h"
#include "controller/report/doc.h"
#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RUN_BYTES_MAX = 65536 };

#define GONE ".gone-"

/* A path too long is none: whatever is done with it fails. */
static void join(char path[OUTBOX_PATH_MAX], const char *a, const char *b, const char *c)
{
    if (snprintf(path, OUTBOX_PATH_MAX, "%s/%s%s%s", a, b, c ? "/" : "", c ? c : "") >= OUTBOX_PATH_MAX)
        path[0] = '\0';
}

static int make_directory(const char *path)
{
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* Durable, whole or not at all; who calls cannot tell a person, so errors are left at their number. */
static int write_file(const char *directory, const char *name, const char *text, size_t length)
{
    struct errs *errs = calloc(1, sizeof(*errs));
    int result = errs ? store_write_file(directory, name, text, length, errs) : -ENOMEM;

    free(errs);
    return result;
}

static bool is_delivery(const char *name)
{
    size_t length = strlen(name);

    return name[0] >= '0' && name[0] <= '9' && length > 5 && length < OUTBOX_NAME_MAX && !strcmp(name + length - 5, ".json");
}

/* The lowest name of a delivery in a directory, "" for none, and how many there are. */
static size_t look(const char *directory, char first[OUTBOX_NAME_MAX])
{
    DIR *stream = opendir(directory);
    size_t count = 0;

    first[0] = '\0';
    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        if (!is_delivery(entry->d_name))
            continue;
        count++;
        if (!first[0] || strcmp(entry->d_name, first) < 0)
            memcpy(first, entry->d_name, strlen(entry->d_name) + 1);
    }
    if (stream)
        closedir(stream);
    return count;
}

/* ---- runs -------------------------------------------------------------------------------------------------------------------------- */

static void remove_tree(const char *path, int depth)
{
    DIR *stream = depth ? opendir(path) : NULL;
    char inner[OUTBOX_PATH_MAX];

    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        join(inner, path, entry->d_name, NULL);
        if (unlink(inner) < 0)
            remove_tree(inner, depth - 1);
    }
    if (stream)
        closedir(stream);
    rmdir(path);
}

/* In one step for whoever looks: a kill in the middle leaves no run that would be told again, only what the next one sweeps away. */
static void discard(const char *path)
{
    const char *run = strrchr(path, '/');
    char gone[OUTBOX_PATH_MAX];

    if (!run || snprintf(gone, sizeof(gone), "%.*s/" GONE "%s", (int)(run - path), path, run + 1) >= (int)sizeof(gone))
        return;
    if (rename(path, gone) == 0)
        remove_tree(gone, 2);
}

static void sweep(const char *root)
{
    DIR *stream = opendir(root);
    char path[OUTBOX_PATH_MAX];

    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        if (strncmp(entry->d_name, GONE, strlen(GONE)) != 0)
            continue;
        join(path, root, entry->d_name, NULL);
        remove_tree(path, 2);
    }
    if (stream)
        closedir(stream);
}

int outbox_root(char path[OUTBOX_PATH_MAX], struct errs *errs)
{
    AUTO_FREE char *state = NULL;
    char counts[OUTBOX_PATH_MAX];
    int result = store_state_directory(&state, errs);

    if (result < 0)
        return result;
    join(path, state, "outbox", NULL);
    result = make_directory(path);
    join(counts, path, "counts", NULL);
    if (result == 0)
        result = make_directory(counts);
    sweep(path);
    return result < 0 ? errs_add(errs, ERR_WORLD, path, "cannot be made: %s", strerror(-result)) : 0;
}

struct eldest {
    char path[OUTBOX_PATH_MAX];
    size_t count;
};

static void note_eldest(void *context, const char *path, const char *run)
{
    struct eldest *eldest = context;
    const char *base = strrchr(eldest->path, '/');

    eldest->count++;
    if (!base || strcmp(run, base + 1) < 0)
        snprintf(eldest->path, sizeof(eldest->path), "%s", path);
}

/* Ids of runs begin with their date: the lowest is the eldest. */
static void make_room(const char *root)
{
    struct eldest eldest = { .count = 0 };
    int lock;

    outbox_each(root, note_eldest, &eldest);
    if (eldest.count < OUTBOX_RUNS_MAX)
        return;
    lock = outbox_lock(eldest.path);
    if (lock < 0)
        return;
    discard(eldest.path);
    close(lock);
}

int outbox_make(const char *root, const struct outbox_run *run, char path[OUTBOX_PATH_MAX], struct errs *errs)
{
    cJSON *object = cJSON_CreateObject(), *tags;
    char text[24];
    int result;

    make_room(root);
    join(path, root, run->run, NULL);
    result = make_directory(path);
    cJSON_AddStringToObject(object, "run", run->run);
    cJSON_AddStringToObject(object, "directory", run->directory);
    cJSON_AddStringToObject(object, "title", run->title ? run->title : "");
    cJSON_AddStringToObject(object, "service", run->service ? run->service : "");
    cJSON_AddStringToObject(object, "playbook", run->playbook ? run->playbook : "");
    tags = cJSON_AddArrayToObject(object, "tags");
    for (size_t i = 0; run->tags && i < run->tags->count; i++)
        cJSON_AddItemToArray(tags, cJSON_CreateString(run->tags->items[i]));
    snprintf(text, sizeof(text), "%" PRId64, run->wall_offset_ns);
    cJSON_AddStringToObject(object, "wall_offset_ns", text);
    cJSON_AddNumberToObject(object, "pid", run->pid);
    snprintf(text, sizeof(text), "%" PRIu64, run->pid_start);
    cJSON_AddStringToObject(object, "pid_start", text);
    if (result < 0)
        errs_add(errs, ERR_WORLD, path, "cannot be made: %s", strerror(-result));
    else
        result = store_write_json(path, "run.json", object, errs);
    cJSON_Delete(object);
    return result;
}

int outbox_read_run(const char *path, struct story *story, pid_t *ret_pid, uint64_t *ret_start)
{
    const cJSON *tag;
    cJSON *object;
    char file[OUTBOX_PATH_MAX];
    struct buf content;

    buf_init(&content, RUN_BYTES_MAX);
    join(file, path, "run.json", NULL);
    buf_read_file(&content, file);
    object = cJSON_Parse(content.data);
    buf_done(&content);
    if (!doc_text(object, "run")[0] || !doc_text(object, "directory")[0]) {
        cJSON_Delete(object);
        return -EINVAL;
    }
    story_init(story);
    snprintf(story->run, sizeof(story->run), "%s", doc_text(object, "run"));
    snprintf(story->directory, sizeof(story->directory), "%s", doc_text(object, "directory"));
    snprintf(story->title, sizeof(story->title), "%s", doc_text(object, "title"));
    snprintf(story->service, sizeof(story->service), "%s", doc_text(object, "service"));
    snprintf(story->playbook, sizeof(story->playbook), "%s", doc_text(object, "playbook"));
    cJSON_ArrayForEach(tag, doc_list(object, "tags"))
        if (story->tag_count < STORY_TAGS_MAX && cJSON_IsString(tag))
            snprintf(story->tags[story->tag_count++], sizeof(story->tags[0]), "%s", tag->valuestring);
    story->wall_offset_ns = strtoll(doc_text(object, "wall_offset_ns"), NULL, 10);
    *ret_pid = (pid_t)doc_number(object, "pid");
    *ret_start = strtoull(doc_text(object, "pid_start"), NULL, 10);
    cJSON_Delete(object);
    return 0;
}

int outbox_lock(const char *path)
{
    char file[OUTBOX_PATH_MAX];
    AUTO_CLOSE int fd = -1;
    struct stat held, named;

    join(file, path, "lock", NULL);
    fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    if (fstat(fd, &held) < 0 || stat(file, &named) < 0 || held.st_ino != named.st_ino) /* its last teller has just removed it */
        return -ENOENT;
    return TAKE_FD(fd);
}

bool outbox_remove_if_empty(const char *path)
{
    DIR *stream = opendir(path);
    size_t waiting = 0;

    for (const struct dirent *entry; stream && (entry = readdir(stream));)
        if (entry->d_name[0] != '.')
            waiting += outbox_count(path, entry->d_name);
    if (stream)
        closedir(stream);
    if (!stream || waiting)
        return false;
    discard(path);
    return true;
}

uint64_t outbox_cursor(const char *path)
{
    char file[OUTBOX_PATH_MAX];
    struct buf content;
    uint64_t seq;

    buf_init(&content, 64);
    join(file, path, "cursor", NULL);
    buf_read_file(&content, file);
    seq = strtoull(content.data, NULL, 10);
    buf_done(&content);
    return seq;
}

int outbox_set_cursor(const char *path, uint64_t seq)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64 "\n", seq);
    return write_file(path, "cursor", text, strlen(text));
}

void outbox_each(const char *root, void (*call)(void *context, const char *path, const char *run), void *context)
{
    DIR *stream = opendir(root);
    char path[OUTBOX_PATH_MAX], file[OUTBOX_PATH_MAX + 16];

    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "counts"))
            continue;
        join(path, root, entry->d_name, NULL);
        snprintf(file, sizeof(file), "%s/run.json", path);
        if (access(file, R_OK) == 0)
            call(context, path, entry->d_name);
    }
    if (stream)
        closedir(stream);
}

/* ---- deliveries ------------------------------------------------------------------------------------------------------------------------ */

int outbox_put(const char *path, const char *outlet, const char *name, const struct delivery *delivery, int64_t queue)
{
    char directory[OUTBOX_PATH_MAX], first[OUTBOX_NAME_MAX];
    struct buf text;
    int result, dropped = 0;

    join(directory, path, outlet, NULL);
    result = make_directory(directory);
    while (result == 0 && look(directory, first) >= (size_t)queue) {
        outbox_drop(path, outlet, first);
        dropped++;
    }
    buf_init(&text, 2 * DELIVERY_BODY_MAX);
    if (result == 0)
        result = delivery_print(delivery, &text);
    if (result == 0)
        result = write_file(directory, name, text.data, text.length);
    buf_done(&text);
    return result < 0 ? result : dropped;
}

int outbox_first(const char *path, const char *outlet, char name[OUTBOX_NAME_MAX], struct delivery *ret_delivery)
{
    char directory[OUTBOX_PATH_MAX], file[OUTBOX_PATH_MAX];
    int result = -EINVAL;

    join(directory, path, outlet, NULL);
    while (result == -EINVAL && look(directory, name)) {
        struct buf content;

        join(file, directory, name, NULL);
        buf_init(&content, 2 * DELIVERY_BODY_MAX);
        result = buf_read_file(&content, file);
        if (result == 0)
            result = delivery_parse(content.data, ret_delivery);
        buf_done(&content);
        if (result == -EINVAL)
            unlink(file); /* not of our making: nothing could ever be done with it */
    }
    return result == -EINVAL ? -ENOENT : result;
}

void outbox_drop(const char *path, const char *outlet, const char *name)
{
    char file[OUTBOX_PATH_MAX + OUTBOX_NAME_MAX];

    snprintf(file, sizeof(file), "%s/%s/%s", path, outlet, name);
    unlink(file);
}

size_t outbox_count(const char *path, const char *outlet)
{
    char directory[OUTBOX_PATH_MAX], first[OUTBOX_NAME_MAX];

    join(directory, path, outlet, NULL);
    return look(directory, first);
}

void outbox_keep_id(const char *path, const char *outlet, const char *key, const char *id)
{
    char directory[OUTBOX_PATH_MAX], name[DELIVERY_KEY_MAX + 8];

    join(directory, path, outlet, NULL);
    snprintf(name, sizeof(name), "id-%s", key);
    if (make_directory(directory) == 0)
        write_file(directory, name, id, strlen(id));
}

bool outbox_id(const char *path, const char *outlet, const char *key, char *id, size_t size)
{
    char file[OUTBOX_PATH_MAX + DELIVERY_KEY_MAX];
    struct buf content;
    bool found;

    snprintf(file, sizeof(file), "%s/%s/id-%s", path, outlet, key);
    buf_init(&content, size - 1);
    found = buf_read_file(&content, file) == 0 && content.length;
    snprintf(id, size, "%s", content.data);
    buf_done(&content);
    return found;
}

/* ---- counts ---------------------------------------------------------------------------------------------------------------------------- */

void outbox_counts(const char *root, const char *outlet, struct outbox_counts *ret_counts)
{
    char file[OUTBOX_PATH_MAX];
    struct buf content;
    cJSON *object;

    snprintf(file, sizeof(file), "%s/counts/%s.json", root, outlet);
    buf_init(&content, RUN_BYTES_MAX);
    buf_read_file(&content, file);
    object = cJSON_Parse(content.data);
    buf_done(&content);
    *ret_counts = (struct outbox_counts){ .sent = strtoull(doc_text(object, "sent"), NULL, 10), .retried = strtoull(doc_text(object, "retried"), NULL, 10),
                                          .dropped = strtoull(doc_text(object, "dropped"), NULL, 10) };
    if (doc_number(object, "last_success_s") > 0)
        ret_counts->last_success_s = doc_number(object, "last_success_s");
    snprintf(ret_counts->last_error, sizeof(ret_counts->last_error), "%s", doc_text(object, "last_error"));
    cJSON_Delete(object);
}

static void put_count(cJSON *object, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    cJSON_AddStringToObject(object, key, text);
}

void outbox_add_counts(const char *root, const char *outlet, const struct outbox_counts *more)
{
    char directory[OUTBOX_PATH_MAX], file[OUTBOX_PATH_MAX], name[OUTLET_NAME_MAX + 8], *text;
    struct outbox_counts counts;
    AUTO_CLOSE int lock = -1;
    cJSON *object;

    join(directory, root, "counts", NULL);
    join(file, directory, ".lock", NULL);
    lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return;
    outbox_counts(root, outlet, &counts);
    object = cJSON_CreateObject();
    put_count(object, "sent", counts.sent + more->sent);
    put_count(object, "retried", counts.retried + more->retried);
    put_count(object, "dropped", counts.dropped + more->dropped);
    cJSON_AddNumberToObject(object, "last_success_s", more->last_success_s > 0 ? more->last_success_s : counts.last_success_s);
    cJSON_AddStringToObject(object, "last_error", more->last_error[0] ? more->last_error : counts.last_error);
    text = json_text(object);
    cJSON_Delete(object);
    snprintf(name, sizeof(name), "%s.json", outlet);
    if (text)
        write_file(directory, name, text, strlen(text));
    free(text);
}

struct waiting {
    const char *outlet;
    size_t count;
};

static void add_waiting(void *context, const char *path, const char *run)
{
    struct waiting *waiting = context;

    (void)run;
    waiting->count += outbox_count(path, waiting->outlet);
}

size_t outbox_waiting(const char *root, const char *outlet)
{
    struct waiting waiting = { .outlet = outlet };

    outbox_each(root, add_waiting, &waiting);
    return waiting.count;
}
