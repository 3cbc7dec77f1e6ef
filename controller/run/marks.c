/* The file of marks. */
#include "controller/run/marks.h"

#include "controller/base/json.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/utf8.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4200, LINE_BYTES_MAX = 8192, FILE_BYTES_MAX = 16 << 20 };

const char *const mark_names[MARK_KINDS] = { "detected", "acknowledged", "mitigated", "note", "go", "checked" };

int mark_find(const char *name)
{
    for (int i = 0; i < MARK_KINDS; i++)
        if (!strcmp(mark_names[i], name))
            return i;
    return -1;
}

static void copy_text(char *to, size_t size, const char *from)
{
    size_t at = 0, length = strlen(from), step;

    for (size_t i = 0; i < length; i += step) {
        size_t character = utf8_character(from + i, length - i);

        step = character ? character : 1;
        if (!character)
            continue;
        if (at + character >= size)
            break;
        memcpy(to + at, from + i, character);
        at += character;
    }
    to[at] = '\0';
}

void mark_init(struct mark *mark, enum mark_kind kind, uint64_t ns, const char *by, const char *text)
{
    char name[1024];
    struct passwd entry, *found = NULL;

    *mark = (struct mark){ .ns = ns, .kind = kind };
    if (!by && getpwuid_r(getuid(), &entry, name, sizeof(name), &found) == 0 && found)
        by = found->pw_name;
    copy_text(mark->by, sizeof(mark->by), by ? by : "");
    copy_text(mark->text, sizeof(mark->text), text ? text : "");
}

/* ---- writing -------------------------------------------------------------------------------------------------------------------- */

static int open_locked(const char *directory)
{
    char path[PATH_BYTES];
    int fd;

    snprintf(path, sizeof(path), "%s/marks.jsonl", directory);
    fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR) {
            int error = errno;

            close(fd);
            return -error;
        }
    return fd;
}

static char *print_mark(const struct mark *mark)
{
    cJSON *object = cJSON_CreateObject();
    char ns[24], *text;

    snprintf(ns, sizeof(ns), "%" PRIu64, mark->ns);
    cJSON_AddStringToObject(object, "ns", ns);
    cJSON_AddStringToObject(object, "mark", mark_names[mark->kind]);
    cJSON_AddStringToObject(object, "by", mark->by);
    cJSON_AddStringToObject(object, "text", mark->text);
    text = json_text(object);
    cJSON_Delete(object);
    return text;
}

static bool is_torn(int fd, off_t size)
{
    char last = '\n';

    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

int mark_put(const char *directory, const struct mark *mark)
{
    AUTO_CLOSE int fd = open_locked(directory);
    AUTO_FREE char *line = print_mark(mark), *text = NULL;
    char path[PATH_BYTES];
    struct stat status;
    int length;
    ssize_t wrote;

    if (fd < 0)
        return fd;
    snprintf(path, sizeof(path), "%s/result.json", directory);
    if (access(path, F_OK) == 0)
        return -ESHUTDOWN;
    if (!line || fstat(fd, &status) < 0)
        return line ? -errno : -ENOMEM;
    if (status.st_size > FILE_BYTES_MAX)
        return -EFBIG;
    length = asprintf(&text, "%s%s\n", is_torn(fd, status.st_size) ? "\n" : "", line);
    if (length < 0)
        return -ENOMEM;
    wrote = write(fd, text, (size_t)length);
    if (wrote != length)
        return wrote < 0 ? -errno : -ENOSPC;
    return fdatasync(fd) < 0 ? -errno : 0;
}

int marks_close(const char *directory)
{
    return open_locked(directory);
}

/* ---- reading -------------------------------------------------------------------------------------------------------------------- */

static bool parse_mark(const char *line, size_t length, struct mark *ret_mark)
{
    cJSON *object = cJSON_ParseWithLength(line, length);
    const char *ns = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "ns"));
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "mark"));
    const char *by = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "by"));
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "text"));
    int kind = name ? mark_find(name) : -1;
    char *end = NULL;
    uint64_t at_ns = ns && ns[0] >= '0' && ns[0] <= '9' ? strtoull(ns, &end, 10) : 0;
    bool is_mark = kind >= 0 && end && !*end;

    if (is_mark)
        mark_init(ret_mark, (enum mark_kind)kind, at_ns, by ? by : "", text);
    cJSON_Delete(object);
    return is_mark;
}

int marks_read(const char *directory, off_t *offset, mark_visit *each, void *context)
{
    char path[PATH_BYTES], bytes[LINE_BYTES_MAX];
    AUTO_CLOSE int fd = -1;

    snprintf(path, sizeof(path), "%s/marks.jsonl", directory);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    for (;;) {
        ssize_t got = pread(fd, bytes, sizeof(bytes), *offset);
        const char *newline = got > 0 ? memchr(bytes, '\n', (size_t)got) : NULL;
        struct mark mark;

        if (got < 0)
            return -errno;
        if (!newline && got < (ssize_t)sizeof(bytes)) /* nothing, or not whole yet */
            return 0;
        *offset += newline ? newline - bytes + 1 : got;
        if (newline && parse_mark(bytes, (size_t)(newline - bytes), &mark) && !each(context, &mark))
            return 0;
    }
}
