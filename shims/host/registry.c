/* The registry directory, the lever and panic. Control plane. */
#include "shims/host/registry.h"

#include "scenarios/base/cleanup.h"
#include "shims/host/page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const folders[] = { "pages", "runs", "proxies" };

static int directory_name(char *path, size_t size)
{
    const char *override = getenv("PERTURB_REGISTRY");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int length;

    if (override && override[0])
        length = snprintf(path, size, "%s", override);
    else if (geteuid() == 0)
        length = snprintf(path, size, "/run/perturb");
    else if (runtime && runtime[0] == '/')
        length = snprintf(path, size, "%s/perturb", runtime);
    else
        length = snprintf(path, size, "/tmp/perturb-%u", (unsigned)geteuid());
    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

/* Opens a directory that is ours alone, making it first. Returns a descriptor. */
static int open_own_directory(int at, const char *name)
{
    AUTO_CLOSE int fd = -1;
    struct stat status;

    if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOTDIR ? -ELOOP : -errno; /* Linux says ENOTDIR of a link here */
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_uid != geteuid() || (status.st_mode & 077))
        return -EPERM;
    return TAKE_FD(fd);
}

int registry_open(struct registry *ret_registry)
{
    struct registry registry;
    AUTO_CLOSE int fd = -1;
    int result = directory_name(registry.path, sizeof(registry.path));

    if (result < 0)
        return result;
    fd = open_own_directory(AT_FDCWD, registry.path);
    if (fd < 0)
        return fd;
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        int folder = open_own_directory(fd, folders[i]);

        if (folder < 0)
            return folder;
        close(folder);
    }
    registry.fd = TAKE_FD(fd);
    *ret_registry = registry;
    return 0;
}

char *registry_explain(int error, char *text, size_t size)
{
    char path[REGISTRY_PATH_MAX];

    if (directory_name(path, sizeof(path)) < 0)
        snprintf(text, size, "the registry directory's name is too long (PERTURB_REGISTRY)");
    else if (error == -EPERM || error == -ELOOP)
        snprintf(text, size, "the registry directory %s is refused: it has to be a directory of your own with mode 0700, no link", path);
    else
        snprintf(text, size, "the registry directory %s cannot be used: %s", path, strerror(-error));
    return text;
}

void registry_close(struct registry *registry)
{
    if (!registry || registry->fd < 0)
        return;
    close(registry->fd);
    registry->fd = -1;
}

int registry_path(const struct registry *registry, const char *part, char *path, size_t size)
{
    int length = snprintf(path, size, "%s/%s", registry->path, part);

    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

int lever_read(const struct registry *registry, bool *ret_halted)
{
    struct stat status;

    if (fstatat(registry->fd, "lever", &status, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT)
            return -errno;
        *ret_halted = false;
        return 0;
    }
    *ret_halted = true;
    return 0;
}

static int lever_write(const struct registry *registry)
{
    static const char text[] = "halted\n";
    AUTO_CLOSE int fd = -1;
    char name[32];
    int result = 0;

    snprintf(name, sizeof(name), ".lever.%d", (int)getpid());
    fd = openat(registry->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1 || fsync(fd) < 0 ||
        renameat(registry->fd, name, registry->fd, "lever") < 0)
        result = errno ? -errno : -EIO;
    if (result < 0)
        (void)unlinkat(registry->fd, name, 0);
    return result;
}

int lever_set(const struct registry *registry, bool halted)
{
    int result = 0;

    if (halted)
        result = lever_write(registry);
    else if (unlinkat(registry->fd, "lever", 0) < 0 && errno != ENOENT)
        result = -errno;
    if (!result && fsync(registry->fd) < 0)
        result = -errno;
    return result;
}

static int neutralise_one(struct page *page, void *context)
{
    size_t *pages = context;

    page_neutralise(page);
    (*pages)++;
    return 0;
}

int registry_panic(const struct registry *registry, size_t *ret_pages)
{
    size_t pages = 0;
    int lever = lever_set(registry, true);
    int each = page_each(registry, neutralise_one, &pages);

    *ret_pages = pages;
    return lever ? lever : each;
}
