/* Facts about a program, from outside. Control plane. */
#include "shims/host/inspect.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/err.h"
#include "shims/host/elf.h"
#include "shims/host/inspect_code.h"
#include "shims/include/calls.h"
#include "shims/include/control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { SCRIPT_DEPTH_MAX = 4 };

int inspect_find_program(const char *name, char *path, size_t size)
{
    const char *list = getenv("PATH");
    int result = -ENOENT;

    if (strchr(name, '/')) {
        if ((size_t)snprintf(path, size, "%s", name) >= size)
            return -ENOENT;
        return access(path, X_OK) < 0 ? -errno : 0;
    }
    for (list = list ? list : "/bin:/usr/bin"; *list; list += strcspn(list, ":"), list += *list == ':') {
        struct stat status;

        if ((size_t)snprintf(path, size, "%.*s/%s", (int)strcspn(list, ":"), list, name) >= size)
            continue;
        if (stat(path, &status) < 0) {
            if (err_is_shortage(-errno))
                return -errno;
            continue;
        }
        if (!S_ISREG(status.st_mode))
            continue;
        if (!access(path, X_OK))
            return 0;
        result = -EACCES;
    }
    return result;
}

/* The interpreter of "#!PATH [ARG]" into `path`; through env(1) the one that it will find. False when it is no script. */
static bool script_interpreter(const char *file, char *path, size_t size)
{
    AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char line[256];
    ssize_t length = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
    char *first, *second, *rest;

    if (length < 3 || line[0] != '#' || line[1] != '!')
        return false;
    line[length] = '\0';
    line[strcspn(line, "\n")] = '\0';
    first = strtok_r(line + 2, " \t", &rest);
    second = first ? strtok_r(NULL, " \t", &rest) : NULL;
    if (second && !strcmp(second, "-S"))
        second = strtok_r(NULL, " \t", &rest);
    if (!first)
        return false;
    if (second && strlen(first) >= 4 && !strcmp(first + strlen(first) - 4, "/env"))
        return !inspect_find_program(second, path, size);
    return (size_t)snprintf(path, size, "%s", first) < size;
}

/* ---- libraries -------------------------------------------------------------------------------------------------------- */

static void add_object(struct inspection *inspection, const char *path)
{
    if (inspection->object_count == INSPECT_OBJECTS_MAX)
        return;
    for (size_t i = 0; i < inspection->object_count; i++)
        if (!strcmp(inspection->objects[i], path))
            return;
    inspection->objects[inspection->object_count] = strdup(path);
    if (inspection->objects[inspection->object_count])
        inspection->object_count++;
    else
        inspection->shortage = -ENOMEM;
}

/* A line of `loader --list`: "\tNAME => /PATH (0x...)" or "\t/PATH (0x...)". */
static void add_listed(struct inspection *inspection, char *line)
{
    char *path = strstr(line, "=> ");
    char *end;

    path = path ? path + 3 : line + strspn(line, " \t");
    end = strstr(path, " (0x");
    if (path[0] != '/' || !end)
        return;
    *end = '\0';
    add_object(inspection, path);
}

/* Starts `loader --list PATH`, its words to `out`. 0 or an errno, as posix_spawn(3). */
static int spawn_lister(const char *loader, char *path, int out, pid_t *ret_pid)
{
    char *argv[] = { (char *)(uintptr_t)loader, (char *)(uintptr_t)"--list", path, NULL };
    char *environment[] = { NULL };
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);

    if (error)
        return error;
    error = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (!error)
        error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!error)
        error = posix_spawn(ret_pid, loader, &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Asks the program's own loader what it would load: it maps the files and runs nothing of them. The loader is given the file that a
 * name stands for, as the kernel would: $ORIGIN is that file's folder. 0 or -errno. */
static int list_libraries(struct inspection *inspection, const char *loader)
{
    char line[PATH_MAX + 64], *path;
    int ends[2], result;
    FILE *lines;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    path = realpath(inspection->path, NULL);
    lines = fdopen(ends[0], "r");
    result = path && lines ? -spawn_lister(loader, path, ends[1], &pid) : -errno;
    free(path);
    close(ends[1]);
    while (!result && fgets(line, sizeof(line), lines))
        add_listed(inspection, line);
    if (!result && ferror(lines))
        inspection->shortage = -EIO;
    while (!result && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (lines)
        fclose(lines);
    else
        close(ends[0]);
    return result;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool is_runtime(const char *path)
{
    static const char *const prefixes[] = { "libc.so", "libc-", "ld-linux", "ld-musl",
                                            "libpthread", "libperturb", "libdl.so", "libm.so" };

    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
        if (!strncmp(file_name(path), prefixes[i], strlen(prefixes[i])))
            return true;
    return false;
}

struct scan {
    struct inspection *inspection;
    const char *path;
    bool is_runtime;
};

static void scan_symbol(const char *name, bool defined, void *context)
{
    static const char *const stdio[] = { "puts", "printf", "fprintf", "vfprintf", "__printf_chk", "__fprintf_chk", "putc", "fputc", "getc",
                                         "fgetc", "fscanf", "__isoc99_fscanf" };
    struct scan *scan = context;
    struct inspection *inspection = scan->inspection;

    if (defined) {
        if (!inspection->allocator[0] && !strcmp(name, "malloc") && strncmp(file_name(scan->path), "libperturb", 10) != 0)
            snprintf(inspection->allocator, sizeof(inspection->allocator), "%.255s", file_name(scan->path));
        return;
    }
    if (scan->is_runtime)
        return;
    if (!strncmp(name, "io_uring_", 9))
        inspection->uses_io_uring = true;
    if (!strcmp(name, "syscall") && !strcmp(scan->path, inspection->path))
        inspection->uses_syscall = true;
    if (!strcmp(name, "dlopen"))
        inspection->loads_more = true;
    for (size_t i = 0; i < ARRAY_SIZE(stdio); i++)
        if (!strcmp(name, stdio[i]))
            inspection->uses_stdio = true;
    for (size_t i = 0; i < call_count && i < sizeof(inspection->imports); i++)
        if (!strcmp(name, call_descs[i].name)) {
            inspection->imports[i] = 1;
            inspection->points |= call_descs[i].points;
        }
}

static void scan_objects(struct inspection *inspection)
{
    for (size_t i = 0; i < inspection->object_count; i++) {
        struct scan scan = { inspection, inspection->objects[i], is_runtime(inspection->objects[i]) };
        struct elf_file elf;

        int result = elf_open(scan.path, &elf);

        if (result < 0) {
            inspection->shortage = err_is_shortage(result) ? result : inspection->shortage;
            continue;
        }
        inspect_codes(inspection, &elf);
        if (elf_symbols(&elf, scan_symbol, &scan) && !scan.is_runtime)
            inspection->imports_known = true;
        elf_close(&elf);
    }
}

/* ---- a file, a process ------------------------------------------------------------------------------------------------ */

static int read_program(struct inspection *inspection, char *ret_loader, size_t size)
{
    struct elf_file elf;
    struct stat status;
    int result = elf_open(inspection->path, &elf);

    if (result < 0)
        return result;
    inspection->linkage = !elf.is_native ? LINKAGE_FOREIGN : elf.loader[0] ? LINKAGE_DYNAMIC : LINKAGE_STATIC;
    inspection->is_go = elf.is_go;
    inspection->is_musl = strstr(elf.loader, "musl") != NULL;
    snprintf(ret_loader, size, "%s", elf.loader);
    elf_close(&elf);
    if (stat(inspection->path, &status) < 0)
        return -errno;
    inspection->is_setuid = ((status.st_mode & S_ISUID) && status.st_uid != geteuid()) ||
                            ((status.st_mode & S_ISGID) && (status.st_mode & S_IXGRP) && status.st_gid != getegid());
    return 0;
}

/* Half the facts would be wrong answers. */
static int hand_over(struct inspection *inspection, struct inspection **ret_inspection)
{
    int result = inspection->shortage;

    if (result < 0)
        inspection_free(inspection);
    else
        *ret_inspection = inspection;
    return result;
}

int inspect_file(const char *path, struct inspection **ret_inspection)
{
    struct inspection *inspection = calloc(1, sizeof(*inspection));
    char loader[128] = "", next[PATH_MAX];
    int result = -ENOENT;

    if (!inspection)
        return -ENOMEM;
    if (!access(path, F_OK) && (size_t)snprintf(inspection->path, sizeof(inspection->path), "%s", path) < sizeof(inspection->path))
        result = 0;
    for (int depth = 0; !result && depth < SCRIPT_DEPTH_MAX && script_interpreter(inspection->path, next, sizeof(next)); depth++) {
        if (!inspection->script[0])
            snprintf(inspection->script, sizeof(inspection->script), "%s", inspection->path);
        snprintf(inspection->path, sizeof(inspection->path), "%s", next);
    }
    if (!result)
        result = read_program(inspection, loader, sizeof(loader));
    if (result < 0) {
        inspection_free(inspection);
        return result;
    }
    add_object(inspection, inspection->path);
    result = inspection->linkage == LINKAGE_DYNAMIC ? list_libraries(inspection, loader) : 0;
    inspection->shortage = err_is_shortage(result) ? result : inspection->shortage;
    scan_objects(inspection);
    return hand_over(inspection, ret_inspection);
}

/* Mapped files in the order of first mapping. Only executable mappings are code. */
static void read_maps(struct inspection *inspection)
{
    char name[40], line[PATH_MAX + 128], permissions[8];
    FILE *maps;

    snprintf(name, sizeof(name), "/proc/%d/maps", (int)inspection->pid);
    maps = fopen(name, "re");
    while (maps && fgets(line, sizeof(line), maps)) {
        char *path = strchr(line, '/');

        line[strcspn(line, "\n")] = '\0';
        if (strstr(line, "anon_inode:[io_uring]"))
            inspection->uses_io_uring = true;
        if (!path || sscanf(line, "%*s %7s", permissions) != 1)
            continue;
        if (!strncmp(file_name(path), "libperturb", 10))
            inspection->has_shim = true;
        if (!strncmp(file_name(path), "libperturb-watch", 16))
            inspection->sees_releases = true;
        if (strstr(path, "/pages/"))
            inspection->has_page = true;
        if (permissions[2] == 'x')
            add_object(inspection, path);
    }
    if (!maps || ferror(maps))
        inspection->shortage = maps || err_is_shortage(-errno) ? -EIO : inspection->shortage;
    if (maps)
        fclose(maps);
}

int inspect_process(pid_t pid, struct inspection **ret_inspection)
{
    struct inspection *inspection = calloc(1, sizeof(*inspection));
    char link[40], loader[128];
    ssize_t length;
    int result;

    if (!inspection)
        return -ENOMEM;
    inspection->pid = pid;
    snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
    length = readlink(link, inspection->path, sizeof(inspection->path) - 1);
    result = length > 0 ? 0 : errno == ENOENT ? -ESRCH : -errno;
    if (!result)
        result = read_program(inspection, loader, sizeof(loader));
    if (result < 0) {
        inspection_free(inspection);
        return result;
    }
    inspection->is_setuid = false; /* it runs already: what is mapped tells */
    add_object(inspection, inspection->path);
    read_maps(inspection);
    scan_objects(inspection);
    return hand_over(inspection, ret_inspection);
}

void inspection_free(struct inspection *inspection)
{
    for (size_t i = 0; inspection && i < inspection->object_count; i++)
        free(inspection->objects[i]);
    if (inspection)
        inspect_codes_free(inspection);
    free(inspection);
}
