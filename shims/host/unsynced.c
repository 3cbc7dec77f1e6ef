/* Takes back what was written and not synced. The records are read newest first, so that of what was written twice the oldest
 * state comes last. */
#include "shims/host/unsynced.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/vocab/decide.h"
#include "shims/include/control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct cut {
    const struct control_rules *rules;
    struct unsynced_log *log;
};

static int map_page(const char *path, void **ret_map)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    const struct control_rules *rules;
    struct stat status;
    void *map;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || (status.st_mode & 077) || status.st_uid != geteuid() || (uint64_t)status.st_size != CONTROL_SIZE)
        return -EPERM;
    map = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    rules = map;
    if (rules->magic != CONTROL_MAGIC || rules->version != CONTROL_VERSION || rules->rule_size != sizeof(struct plan_rule)) {
        munmap(map, CONTROL_SIZE);
        return -EPROTO;
    }
    *ret_map = map;
    return 0;
}

static const struct plan_rule *rule_for(const struct control_rules *rules, const char *path)
{
    const struct control_image *image = &rules->image[rules->generation & 1];

    for (uint32_t i = 0; i < image->rule_count && i < PLAN_RULES_MAX; i++) {
        const struct plan_rule *rule = &image->rules[i];

        if (rule->fault == FAULT_CALL_lost_writes && rule->selector.path[0] && !rule->selector.path_negate && !rule->selector.observe &&
            glob_match(rule->selector.path, path))
            return rule;
    }
    return NULL;
}

static bool is_armed(const struct control_rules *rules)
{
    return __atomic_load_n(&rules->armed, __ATOMIC_ACQUIRE) && __atomic_load_n(&rules->lease_ns, __ATOMIC_ACQUIRE) > clock_now_ns();
}

/* ---- finding the file ------------------------------------------------------------------------------------------------- */

static bool is_same(int fd, const struct unsynced_file *file)
{
    struct statx status;
    struct stat plain;

    if (fstat(fd, &plain) < 0 || !S_ISREG(plain.st_mode) || plain.st_dev != file->device || plain.st_ino != file->inode ||
        statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &status) < 0)
        return false;
    return !(status.stx_mask & STATX_BTIME) ||
           (uint64_t)status.stx_btime.tv_sec * NS_PER_S + status.stx_btime.tv_nsec == file->birth;
}

static int open_same(int folder, const char *name, const struct unsynced_file *file)
{
    int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd >= 0 && is_same(fd, file))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* At its path, else in the same folder under another name. `path` has PATH_MAX bytes and gets the name found. */
static int open_file(const struct unsynced_file *file, char *path)
{
    char *slash = strrchr(path, '/');
    const struct dirent *entry;
    DIR *folder;
    int fd = open_same(AT_FDCWD, path, file);

    if (fd >= 0 || !slash)
        return fd;
    slash[1] = '\0';
    folder = opendir(path);
    while (folder && fd < 0 && (entry = readdir(folder)))
        if (entry->d_ino == file->inode) {
            snprintf(slash + 1, (size_t)(path + PATH_MAX - (slash + 1)), "%s", entry->d_name);
            fd = open_same(dirfd(folder), entry->d_name, file);
        }
    if (folder)
        closedir(folder);
    return fd;
}

/* ---- taking back ------------------------------------------------------------------------------------------------------ */

/* The record at a position, when it lies whole in the ring and has not been overwritten. */
static const struct unsynced_record *record_at(const struct unsynced_log *log, uint64_t position)
{
    const struct unsynced_record *record;
    uint64_t place = position % UNSYNCED_RING;

    if (position % UNSYNCED_ALIGN || position < log->tail || position >= log->head || place + sizeof(*record) > UNSYNCED_RING)
        return NULL;
    record = (const void *)&log->ring[place];
    return record->length <= UNSYNCED_RING - place - sizeof(*record) ? record : NULL;
}

/* Positions fall from record to record, so a broken list ends. */
static uint64_t next_of(const struct cut *cut, const struct unsynced_file *file, uint64_t position, const struct unsynced_record **ret_record)
{
    *ret_record = position > file->synced ? record_at(cut->log, position) : NULL;
    return *ret_record && (*ret_record)->previous < position ? (*ret_record)->previous : 0;
}

static void take_back(int fd, const struct unsynced_record *record, uint64_t *size)
{
    uint64_t length = record->length;

    if (*size > record->old_size && ftruncate(fd, (off_t)record->old_size) == 0)
        *size = record->old_size;
    if (record->offset >= *size)
        return;
    length = length < *size - record->offset ? length : *size - record->offset;
    (void)!pwrite(fd, record + 1, (size_t)length, (off_t)record->offset);
}

static void foretell(const struct cut *cut, const struct unsynced_file *file, struct unsynced_loss *loss)
{
    const struct unsynced_record *record;

    loss->writes = 0;
    loss->size_after = loss->size;
    for (uint64_t at = file->last, before; at; at = before) {
        before = next_of(cut, file, at, &record);
        if (!record)
            break;
        loss->writes++;
        loss->size_after = record->old_size < loss->size_after ? record->old_size : loss->size_after;
    }
}

/* True when something of it was taken back. */
static bool lose_file(const struct cut *cut, const struct unsynced_file *file, void (*tell)(void *, const struct unsynced_loss *),
                      void *context)
{
    struct unsynced_loss loss = { .writes = 0 };
    const struct unsynced_record *record;
    struct stat status;
    uint64_t size;
    int fd;

    snprintf(loss.path, sizeof(loss.path), "%.*s", (int)strnlen(file->path, UNSYNCED_PATH_MAX), file->path);
    if (loss.path[0] != '/' || !rule_for(cut->rules, loss.path))
        return false;
    fd = open_file(file, loss.path);
    if (fd < 0)
        return false;
    if (fstat(fd, &status) == 0) {
        size = loss.size = (uint64_t)status.st_size;
        foretell(cut, file, &loss);
        if (loss.writes)
            tell(context, &loss);
        for (uint64_t at = loss.writes ? file->last : 0, before; at; at = before) {
            before = next_of(cut, file, at, &record);
            if (record)
                take_back(fd, record, &size);
        }
    }
    close(fd);
    return loss.writes;
}

int unsynced_lose(const char *page_path, void (*tell)(void *context, const struct unsynced_loss *loss), void *context)
{
    struct cut cut;
    void *map = NULL;
    int result = map_page(page_path, &map), count = 0;

    if (result < 0)
        return result;
    cut.rules = map;
    cut.log = &((struct control_counters *)(void *)((char *)map + CONTROL_COUNTERS_OFFSET))->unsynced;
    for (size_t i = 0; i < UNSYNCED_FILES_MAX && is_armed(cut.rules); i++) {
        struct unsynced_file *file = &cut.log->files[i];

        if (file->key <= 1 || file->last <= file->synced)
            continue;
        count += lose_file(&cut, file, tell, context);
        file->synced = file->last;
        file->pending = 0; /* of the dead */
    }
    munmap(map, CONTROL_SIZE);
    return count;
}
