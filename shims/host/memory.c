/* Memory control groups of both versions. */
#include "shims/host/memory.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/hierarchy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 10, REMOVE_TIMEOUT_MS = 2000, SLACK_STEPS = 10 };

#define SLACK_BYTES (UINT64_C(64) << 10)
#define UNLIMITED_FROM (UINT64_C(1) << 62) /* version 1 says "no limit" with the largest whole number of pages */

/* A file, and the word in it that heads the number; NULL when the number is all there is. `also`: another one to be added, where it
 * exists: version 1 counts a limit of memory and one of memory and swap apart, and with no swap left meets the second first. */
struct memory_file {
    const char *file, *word, *also;
};

static const struct memory_file files[MEMORY_VERSIONS][MEMORY_VALUES] = {
    [MEMORY_V1] = {
        [MEMORY_LIMIT] = { "memory.limit_in_bytes", NULL, NULL },
        [MEMORY_SWAP_LIMIT] = { "memory.memsw.limit_in_bytes", NULL, NULL },
        [MEMORY_USED] = { "memory.usage_in_bytes", NULL, NULL },
        [MEMORY_PEAK] = { "memory.max_usage_in_bytes", NULL, NULL },
        [MEMORY_LIMIT_HITS] = { "memory.failcnt", NULL, "memory.memsw.failcnt" },
        [MEMORY_OOM_KILLS] = { "memory.oom_control", "oom_kill", NULL },
    },
    [MEMORY_V2] = {
        [MEMORY_LIMIT] = { "memory.max", NULL, NULL },
        [MEMORY_SWAP_LIMIT] = { "memory.swap.max", NULL, NULL },
        [MEMORY_USED] = { "memory.current", NULL, NULL },
        [MEMORY_PEAK] = { "memory.peak", NULL, NULL },
        [MEMORY_LIMIT_HITS] = { "memory.events", "max", NULL },
        [MEMORY_OOM_KILLS] = { "memory.events", "oom_kill", NULL },
    },
};

/* ---- where ------------------------------------------------------------------------------------------------------------- */

int memory_group_parse(const char *mountinfo, const char *cgroup, struct memory_group *ret_group)
{
    struct memory_group group = { .version = MEMORY_V1 };

    if (hierarchy_parse(mountinfo, cgroup, "memory", group.path) < 0) {
        group.version = MEMORY_V2;
        if (hierarchy_parse(mountinfo, cgroup, NULL, group.path) < 0)
            return -ENOTSUP;
    }
    *ret_group = group;
    return 0;
}

int memory_group_of(pid_t pid, struct memory_group *ret_group)
{
    struct memory_group group = { .version = MEMORY_V1 };
    int result = hierarchy_of(pid, "memory", group.path);

    if (result == -ENOTSUP) {
        group.version = MEMORY_V2;
        result = hierarchy_of(pid, NULL, group.path);
    }
    if (result == 0)
        *ret_group = group;
    return result;
}

static void file_path(const struct memory_group *group, enum memory_value value, char path[GROUP_PATH_MAX + 48])
{
    snprintf(path, GROUP_PATH_MAX + 48, "%s/%s", group->path, files[group->version][value].file);
}

int memory_group_at(const char *path, struct memory_group *ret_group)
{
    struct memory_group group = { .version = MEMORY_NONE };
    char file[GROUP_PATH_MAX + 48];
    size_t length = strlen(path);

    if (access(path, F_OK) < 0)
        return -ENOENT;
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (snprintf(group.path, sizeof(group.path), "%.*s", (int)length, path) >= GROUP_PATH_MAX)
        return -ENAMETOOLONG;
    for (group.version = MEMORY_V1; group.version <= MEMORY_V2; group.version++) {
        file_path(&group, MEMORY_USED, file);
        if (access(file, F_OK) == 0) {
            *ret_group = group;
            return 0;
        }
    }
    return -ENOTSUP;
}

static bool hands_down(const char *path)
{
    char file[GROUP_PATH_MAX + 32];
    struct buf text;
    bool found = false;

    snprintf(file, sizeof(file), "%s/cgroup.subtree_control", path);
    buf_init(&text, 4096);
    if (buf_read_file(&text, file) == 0) {
        text.data[strcspn(text.data, "\n")] = '\0';
        for (char *at = text.data; *at && !found; at += strcspn(at, " "), at += *at == ' ')
            found = !strncmp(at, "memory", 6) && (!at[6] || at[6] == ' ');
    }
    buf_done(&text);
    return found;
}

int memory_parent(const struct memory_group *own, struct memory_group *ret_parent)
{
    struct memory_group parent = *own;

    while (parent.version == MEMORY_V2 && !hands_down(parent.path)) {
        char *slash = strrchr(parent.path, '/');

        if (!slash || slash == parent.path)
            return -ENOTSUP;
        *slash = '\0';
    }
    if (parent.version == MEMORY_NONE)
        return -ENOTSUP;
    *ret_parent = parent;
    return 0;
}

int memory_group_below(const struct memory_group *parent, const char *name, struct memory_group *ret_group)
{
    struct memory_group group = { .version = parent->version };

    if (snprintf(group.path, sizeof(group.path), "%s/%s", parent->path, name) >= GROUP_PATH_MAX)
        return -ENAMETOOLONG;
    *ret_group = group;
    return 0;
}

int memory_group_make(const struct memory_group *group)
{
    char file[GROUP_PATH_MAX + 48];

    if (mkdir(group->path, 0755) < 0 && errno != EEXIST)
        return -errno;
    file_path(group, MEMORY_LIMIT, file);
    return access(file, W_OK) < 0 ? -errno : 0;
}

int memory_group_remove(const char *record)
{
    uint64_t deadline_ns = clock_now_ns() + REMOVE_TIMEOUT_MS * NS_PER_MS;
    char path[GROUP_PATH_MAX], back[GROUP_PATH_MAX];

    if (sscanf(record, "%319s %319s", path, back) != 2 || !strrchr(path, '/') || strncmp(strrchr(path, '/'), "/perturb-", 9) != 0)
        return -EINVAL;
    if (access(path, F_OK) < 0)
        return 1;
    while (rmdir(path) < 0 && errno != ENOENT) {
        pid_t pids[64];
        size_t count = group_pids(path, pids, ARRAY_SIZE(pids));

        if (errno != EBUSY && errno != ENOTEMPTY)
            return -errno;
        if (clock_now_ns() >= deadline_ns)
            return -EBUSY;
        for (size_t i = 0; i < count; i++)
            group_enter(back, pids[i]);
        poll(NULL, 0, count ? 1 : 10);
    }
    return 0;
}

bool memory_is_protected(const struct memory_group *group, pid_t self)
{
    struct memory_group own;
    char file[GROUP_PATH_MAX + 48];
    size_t length = strlen(group->path);

    file_path(group, MEMORY_LIMIT, file);
    if (group->version == MEMORY_V2 && access(file, F_OK) < 0)
        return true; /* the root of version 2 has no limits */
    snprintf(file, sizeof(file), "%s/release_agent", group->path);
    if (group->version == MEMORY_V1 && access(file, F_OK) == 0)
        return true; /* only the root of version 1 has this file */
    return memory_group_of(self, &own) == 0 && !strncmp(own.path, group->path, length) && (own.path[length] == '/' || !own.path[length]);
}

/* ---- values ------------------------------------------------------------------------------------------------------------ */

static int parse_value(const char *text, const char *word, uint64_t *ret_number)
{
    size_t length = word ? strlen(word) : 0;
    char *end;

    while (word && *text && (strncmp(text, word, length) != 0 || text[length] != ' ')) {
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    if (!*text)
        return -EPROTO;
    text += word ? length + 1 : 0;
    if (!strncmp(text, "max", 3)) {
        *ret_number = MEMORY_UNLIMITED;
        return 0;
    }
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    if (end == text || errno)
        return -EPROTO;
    if (*ret_number >= UNLIMITED_FROM)
        *ret_number = MEMORY_UNLIMITED;
    return 0;
}

static int read_number(const char *path, const char *word, uint64_t *ret_number)
{
    struct buf text;
    int result;

    buf_init(&text, FILE_MAX);
    result = buf_read_file(&text, path);
    if (result == 0)
        result = parse_value(text.data, word, ret_number);
    buf_done(&text);
    return result;
}

int memory_read(const struct memory_group *group, enum memory_value value, uint64_t *ret_number)
{
    const struct memory_file *file = &files[group->version][value];
    char path[GROUP_PATH_MAX + 48];
    uint64_t number, more;
    int result;

    if (group->version == MEMORY_NONE)
        return -ENOTSUP;
    file_path(group, value, path);
    result = read_number(path, file->word, &number);
    if (result < 0)
        return result;
    if (file->also) {
        snprintf(path, sizeof(path), "%s/%s", group->path, file->also);
        if (read_number(path, NULL, &more) == 0)
            number += more;
    }
    *ret_number = number;
    return 0;
}

/* O_NONBLOCK: Linux 6.15 then leaves the reclaim to the group itself instead of to us. */
static int write_text(const char *path, const char *text)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);

    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int memory_write(const struct memory_group *group, enum memory_value value, uint64_t number)
{
    char path[GROUP_PATH_MAX + 48], text[24];

    if (group->version == MEMORY_NONE)
        return -ENOTSUP;
    file_path(group, value, path);
    if (number == MEMORY_UNLIMITED)
        snprintf(text, sizeof(text), "%s", group->version == MEMORY_V2 ? "max" : "-1");
    else
        snprintf(text, sizeof(text), "%" PRIu64, number);
    return write_text(path, text);
}

/* Version 1, when the use lies above the limit: the lowest limit that is taken. */
static int set_lowest(const struct memory_group *group, uint64_t limit)
{
    uint64_t used;
    int result = memory_write(group, MEMORY_LIMIT, limit);

    for (unsigned step = 0; result == -EBUSY && step < SLACK_STEPS; step++) {
        result = memory_read(group, MEMORY_USED, &used);
        if (result == 0)
            result = memory_write(group, MEMORY_LIMIT, used + (SLACK_BYTES << step));
    }
    return result;
}

int memory_set_limit(const struct memory_group *group, uint64_t limit, uint64_t swap, uint64_t *ret_in_force)
{
    uint64_t in_force;
    int result;

    if (group->version == MEMORY_V2) {
        result = memory_write(group, MEMORY_SWAP_LIMIT, swap);
        if (result == 0 || result == -ENOENT)
            result = memory_write(group, MEMORY_LIMIT, limit);
    } else {
        result = set_lowest(group, limit);
    }
    if (result == 0)
        result = memory_read(group, MEMORY_LIMIT, &in_force);
    if (result < 0)
        return result;
    if (group->version == MEMORY_V1) {
        result = memory_write(group, MEMORY_SWAP_LIMIT, in_force + swap);
        if (result < 0 && result != -ENOENT && result != -EBUSY)
            return result;
    }
    *ret_in_force = in_force;
    return 0;
}

/* ---- back -------------------------------------------------------------------------------------------------------------- */

int memory_record(const struct memory_group *group, enum memory_value value, char record[MEMORY_RECORD_MAX])
{
    char path[GROUP_PATH_MAX + 48];
    uint64_t number;
    int result = memory_read(group, value, &number);

    if (result < 0)
        return result;
    file_path(group, value, path);
    if (strpbrk(path, " \n"))
        return -EINVAL;
    snprintf(record, MEMORY_RECORD_MAX, "%s ", path);
    if (number == MEMORY_UNLIMITED)
        snprintf(record + strlen(record), MEMORY_RECORD_MAX - strlen(record), "max");
    else
        snprintf(record + strlen(record), MEMORY_RECORD_MAX - strlen(record), "%" PRIu64, number);
    return 0;
}

/* The group and the value that a path names; only limits are ever written. */
static int parse_path(char *path, struct memory_group *ret_group, enum memory_value *ret_value)
{
    char *slash = strrchr(path, '/');

    if (!slash || path[0] != '/')
        return -EINVAL;
    for (enum memory_version version = MEMORY_V1; version <= MEMORY_V2; version++)
        for (enum memory_value value = MEMORY_LIMIT; value <= MEMORY_SWAP_LIMIT; value++)
            if (!strcmp(files[version][value].file, slash + 1)) {
                *slash = '\0';
                *ret_group = (struct memory_group){ .version = version };
                *ret_value = value;
                return snprintf(ret_group->path, GROUP_PATH_MAX, "%s", path) >= GROUP_PATH_MAX ? -EINVAL : 0;
            }
    return -EINVAL;
}

int memory_restore(const char *record)
{
    char path[GROUP_PATH_MAX + 48], text[24];
    struct memory_group group;
    enum memory_value value;
    uint64_t number, found;
    int result;

    if (sscanf(record, "%367s %23s", path, text) != 2 || parse_value(text, NULL, &number) < 0 || parse_path(path, &group, &value) < 0)
        return -EINVAL;
    if (access(group.path, F_OK) < 0)
        return 1;
    result = memory_write(&group, value, number);
    if (result == 0)
        result = memory_read(&group, value, &found);
    if (result < 0)
        return result;
    return found == number ? 0 : -EBUSY;
}

int memory_of_machine(uint64_t *ret_total, uint64_t *ret_available)
{
    const char *total, *available;
    struct buf text;
    int result;

    buf_init(&text, FILE_MAX);
    result = buf_read_file(&text, "/proc/meminfo");
    total = strstr(text.data, "MemTotal:");
    available = strstr(text.data, "MemAvailable:");
    if (result == 0 && (!total || !available))
        result = -EPROTO;
    if (result == 0) {
        *ret_total = strtoull(total + 9, NULL, 10) * 1024;
        *ret_available = strtoull(available + 13, NULL, 10) * 1024;
    }
    buf_done(&text);
    return result;
}
