/* See audit.h. */
#include "controller/serve/http/audit.h"

#include "controller/base/digest.h"
#include "controller/base/json.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { LINE_MAX_BYTES = 8192, HASH_CHARS = 64, TAIL_CHARS = HASH_CHARS + 11 }; /* ,"hash":"..."} */

#define AUDIT_FILE "audit.jsonl"
#define NO_HASH "0000000000000000000000000000000000000000000000000000000000000000"

struct audit {
    pthread_mutex_t mutex;
    int fd;
    uint64_t number; /* of the last line */
    char hash[DIGEST_CHARS];
    bool broken; /* a write failed and could not be taken back */
};

/* ---- reading ---- */

/* One line without its newline: does it follow `facts`? NULL, or what is wrong. Moves `facts` on. */
static const char *follow(const char *line, size_t length, struct audit_facts *facts)
{
    char body[LINE_MAX_BYTES], hash[DIGEST_CHARS], prev[HASH_CHARS + 24];
    cJSON *object;
    uint64_t number;

    if (length <= TAIL_CHARS || length >= sizeof(body) || strncmp(line + length - TAIL_CHARS, ",\"hash\":\"", 9) != 0)
        return "it is no line of this log";
    memcpy(body, line, length - TAIL_CHARS);
    snprintf(body + length - TAIL_CHARS, 2, "}");
    digest_text(body, length - TAIL_CHARS + 1, hash, sizeof(hash));
    if (memcmp(hash, line + length - TAIL_CHARS + 9, HASH_CHARS) != 0 || memcmp(line + length - 2, "\"}", 2) != 0)
        return "it was changed: its hash does not fit";
    snprintf(prev, sizeof(prev), "\"prev\":\"%s\"", facts->hash);
    object = cJSON_Parse(body);
    number = object ? (uint64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, "seq")) : 0;
    cJSON_Delete(object);
    if (!strstr(body, prev) || number != facts->lines + 1)
        return "it does not follow the line before: one was taken out or put in";
    facts->lines++;
    snprintf(facts->hash, sizeof(facts->hash), "%s", hash);
    return NULL;
}

/* Up to the first bad or unfinished line; *ret_whole is the length of what is whole. 0, -EBADMSG with *ret_why, -errno. */
static int read_log(int fd, struct audit_facts *facts, off_t *ret_whole, const char **ret_why)
{
    AUTO_FREE char *line = NULL;
    FILE *in = fdopen(dup(fd), "r");
    size_t room = 0;
    ssize_t length;
    int result = 0;

    *facts = (struct audit_facts){ .hash = NO_HASH };
    *ret_whole = 0;
    *ret_why = NULL;
    if (!in)
        return -errno;
    while (result == 0 && (length = getline(&line, &room, in)) > 0) {
        if (line[length - 1] != '\n')
            break;
        *ret_why = follow(line, (size_t)length - 1, facts);
        result = *ret_why ? -EBADMSG : 0;
        *ret_whole += result ? 0 : length;
    }
    if (result == 0 && ferror(in))
        result = -EIO;
    fclose(in);
    return result;
}

int audit_verify(const char *path, struct audit_facts *ret_facts, struct errs *errs)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct audit_facts facts;
    struct stat status;
    const char *why;
    off_t whole = 0;
    int result = fd < 0 ? -errno : read_log(fd, &facts, &whole, &why);

    if (result == -EBADMSG)
        errs_add(errs, ERR_INPUT, path, "line %" PRIu64 ": %s", facts.lines + 1, why);
    else if (result == 0 && fstat(fd, &status) == 0 && status.st_size > whole)
        result = errs_add(errs, ERR_INPUT, path, "line %" PRIu64 ": it was cut off half way", facts.lines + 1);
    else if (result < 0)
        errs_add(errs, ERR_WORLD, path, "cannot be read: %s", strerror(-result));
    if (result == 0)
        *ret_facts = facts;
    return result;
}

/* ---- writing ---- */

static cJSON *describe(const struct audit_entry *entry)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "event", entry->event);
    json_put_text(object, "who", entry->who);
    json_put_text(object, "role", entry->role);
    json_put_text(object, "from", entry->from);
    json_put_text(object, "method", entry->method);
    json_put_text(object, "path", entry->path);
    if (entry->body)
        json_put_text(object, "body", entry->body);
    if (entry->of)
        cJSON_AddNumberToObject(object, "of", (double)entry->of);
    if (entry->status)
        cJSON_AddNumberToObject(object, "status", entry->status);
    return object;
}

/* {"seq":N,"at":"...","event":...,"prev":"..."} with its hash: into `line`. 0 or -E2BIG. */
static int make_line(const struct audit *audit, const struct audit_entry *entry, struct buf *line, char hash[DIGEST_CHARS])
{
    cJSON *object = describe(entry);
    AUTO_FREE char *text = json_text(object);
    uint64_t now_ns = clock_wall_ns();
    time_t now_s = (time_t)(now_ns / NS_PER_S);
    char at[40];
    struct tm when;

    cJSON_Delete(object);
    if (!text)
        return -ENOMEM;
    gmtime_r(&now_s, &when);
    strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", &when);
    buf_printf(line, "{\"seq\":%" PRIu64 ",\"at\":\"%s.%03uZ\",%.*s,\"prev\":\"%s\"}", audit->number + 1, at,
               (unsigned)(now_ns % NS_PER_S / NS_PER_MS), (int)strlen(text) - 2, text + 1, audit->hash);
    if (line->failed)
        return -E2BIG;
    digest_text(line->data, line->length, hash, DIGEST_CHARS);
    line->data[--line->length] = '\0';
    buf_printf(line, ",\"hash\":\"%s\"}\n", hash);
    return line->failed ? -E2BIG : 0;
}

/* What a full disk took in part is taken off again, so that the next line stands on one of its own. */
static int write_line(struct audit *audit, const struct buf *line)
{
    off_t end = lseek(audit->fd, 0, SEEK_END);
    int result = end < 0 ? -errno : file_write_all(audit->fd, line->data, line->length);

    if (result < 0 && end >= 0 && ftruncate(audit->fd, end) < 0)
        audit->broken = true;
    return result;
}

int audit_append(struct audit *audit, const struct audit_entry *entry, bool durable, uint64_t *ret_number)
{
    char hash[DIGEST_CHARS];
    struct buf line;
    uint64_t number;
    int result;

    buf_init(&line, LINE_MAX_BYTES - 1);
    pthread_mutex_lock(&audit->mutex);
    result = audit->broken ? -EIO : make_line(audit, entry, &line, hash);
    if (result == 0)
        result = write_line(audit, &line);
    if (result == 0) {
        audit->number++;
        snprintf(audit->hash, sizeof(audit->hash), "%s", hash);
    }
    number = audit->number;
    pthread_mutex_unlock(&audit->mutex);
    buf_done(&line);
    if (result == 0 && durable && fdatasync(audit->fd) < 0)
        result = -errno;
    if (result == 0)
        *ret_number = number;
    return result;
}

static int take_off_half_line(struct audit *audit, off_t whole)
{
    struct stat status;
    char note[64];
    uint64_t number;

    if (fstat(audit->fd, &status) < 0)
        return -errno;
    if (status.st_size == whole)
        return 0;
    if (ftruncate(audit->fd, whole) < 0)
        return -errno;
    snprintf(note, sizeof(note), "%lld bytes of a line without an end", (long long)(status.st_size - whole));
    return audit_append(audit, &(struct audit_entry){ .event = "mended", .path = note }, true, &number);
}

int audit_open(const char *data, struct audit **ret_audit, struct errs *errs)
{
    struct audit *audit = calloc(1, sizeof(*audit));
    AUTO_FREE char *path = NULL;
    struct audit_facts facts;
    const char *why = NULL;
    off_t whole = 0;
    int result;

    if (!audit || asprintf(&path, "%s/" AUDIT_FILE, data) < 0) {
        free(audit);
        path = NULL;
        return errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    }
    pthread_mutex_init(&audit->mutex, NULL);
    audit->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    result = audit->fd < 0 ? -errno : read_log(audit->fd, &facts, &whole, &why);
    if (result == 0) {
        audit->number = facts.lines;
        snprintf(audit->hash, sizeof(audit->hash), "%s", facts.hash);
        result = take_off_half_line(audit, whole);
    }
    if (result == 0) {
        *ret_audit = audit;
        return 0;
    }
    if (why)
        errs_add(errs, ERR_WORLD, path, "line %" PRIu64 ": %s; keep the file, move it away, and a new log begins", facts.lines + 1, why);
    else
        errs_add(errs, ERR_WORLD, path, "cannot be kept: %s", strerror(-result));
    audit_close(audit);
    return result;
}

void audit_close(struct audit *audit)
{
    if (!audit)
        return;
    if (audit->fd >= 0)
        close(audit->fd);
    pthread_mutex_destroy(&audit->mutex);
    free(audit);
}
