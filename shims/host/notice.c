/* Notices in the registry. */
#include "shims/host/notice.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char folder[] = "proxies";
static const char *const state_words[NOTICE_STATES] = { "idle", "armed", "halted" };

/* ---- putting up ------------------------------------------------------------------------------------------------------- */

static int write_draft(int fd, enum notice_state state, const char *text)
{
    char head[64];
    int length = snprintf(head, sizeof(head), "state %s\n", state_words[state]);
    int result = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : file_write_all(fd, head, (size_t)length);

    return result < 0 ? result : file_write_all(fd, text, strlen(text));
}

int notice_put(const struct registry *registry, struct notice *notice, enum notice_state state, const char *text)
{
    char name[64], draft[64];
    AUTO_CLOSE int fd = -1;
    int result;

    snprintf(name, sizeof(name), "%s/%d", folder, (int)getpid());
    snprintf(draft, sizeof(draft), "%s/.%d", folder, (int)getpid());
    fd = openat(registry->fd, draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    result = write_draft(fd, state, text);
    if (result >= 0 && renameat(registry->fd, draft, registry->fd, name) < 0)
        result = -errno;
    if (result < 0) {
        (void)unlinkat(registry->fd, draft, 0);
        return result;
    }
    if (notice->fd >= 0)
        close(notice->fd);
    notice->fd = TAKE_FD(fd);
    return 0;
}

void notice_remove(const struct registry *registry, struct notice *notice)
{
    char name[64];

    if (notice->fd < 0)
        return;
    snprintf(name, sizeof(name), "%s/%d", folder, (int)getpid());
    (void)unlinkat(registry->fd, name, 0);
    close(notice->fd);
    notice->fd = -1;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

enum { OPENS_MAX = 8 };

/* Opens the notice of a living process. One that was replaced meanwhile has lost its lock and its name: the name is opened again.
 * The descriptor, -ESRCH when its process is gone (the file is removed), -errno. */
static int open_living(int folder_fd, const char *name)
{
    for (int i = 0; i < OPENS_MAX; i++) {
        AUTO_CLOSE int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        struct stat status;

        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
            return TAKE_FD(fd);
        if (fstat(fd, &status) < 0)
            return -errno;
        if (!status.st_nlink)
            continue;
        (void)unlinkat(folder_fd, name, 0);
        return -ESRCH;
    }
    return -EBUSY;
}

static int parse_state(const char *text, enum notice_state *ret_state, const char **ret_lines)
{
    for (int i = 0; i < NOTICE_STATES; i++) {
        char head[64];
        size_t length = (size_t)snprintf(head, sizeof(head), "state %s\n", state_words[i]);

        if (strncmp(text, head, length) != 0)
            continue;
        *ret_state = (enum notice_state)i;
        *ret_lines = text + length;
        return 0;
    }
    return -EPROTO;
}

static void visit_one(int folder_fd, const char *name, notice_visit *each, void *context)
{
    AUTO_CLOSE int fd = open_living(folder_fd, name);
    enum notice_state state;
    const char *lines;
    struct buf text;

    if (fd < 0)
        return;
    buf_init(&text, NOTICE_BYTES_MAX);
    if (!buf_read_fd(&text, fd) && !parse_state(text.data, &state, &lines))
        each((pid_t)strtol(name, NULL, 10), state, lines, context);
    buf_done(&text);
}

int notice_each(const struct registry *registry, notice_visit *each, void *context)
{
    int fd = openat(registry->fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!directory) {
        int error = errno;

        if (fd >= 0)
            close(fd);
        return -error;
    }
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.') /* a draft is none yet */
            visit_one(fd, entry->d_name, each, context);
    closedir(directory);
    return 0;
}
