/* The state directory and run directories. */
#include "controller/store/store.h"

#include "controller/base/json.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RESULT_BYTES_MAX = 256 << 20, SCHEMA = 1, ID_CHARS_MAX = 100 };

static int fail_errno(struct errs *errs, const char *where, const char *what, int error)
{
    errs_add(errs, ERR_WORLD, where, "%s: %s", what, strerror(error));
    return -error;
}

/* Makes `path` and what is missing above it, each 0700. */
static int make_directories(const char *path, struct errs *errs)
{
    AUTO_FREE char *partial = strdup(path);

    if (!partial)
        return fail_errno(errs, path, "cannot make the directory", ENOMEM);
    for (char *at = partial + 1;; at++) {
        char kept = *at;

        if (kept != '/' && kept != '\0')
            continue;
        *at = '\0';
        if (mkdir(partial, 0700) < 0 && errno != EEXIST)
            return fail_errno(errs, partial, "cannot make the directory", errno);
        if (kept == '\0')
            return 0;
        *at = kept;
    }
}

int store_state_directory(char **ret_directory, struct errs *errs)
{
    const char *own = getenv("PERTURB_STATE"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    AUTO_FREE char *path = NULL;
    int result;

    if (own && own[0] == '/')
        result = asprintf(&path, "%s", own);
    else if (state && state[0] == '/')
        result = asprintf(&path, "%s/perturb", state);
    else if (home && home[0] == '/')
        result = asprintf(&path, "%s/.local/state/perturb", home);
    else
        return errs_add(errs, ERR_WORLD, NULL, "no place to keep runs: neither XDG_STATE_HOME nor HOME is an absolute path");
    if (result < 0) {
        path = NULL;
        return fail_errno(errs, "", "cannot name the state directory", ENOMEM);
    }
    result = make_directories(path, errs);
    if (result == 0)
        *ret_directory = TAKE_PTR(path);
    return result;
}

static bool id_is_sound(const char *id)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t length = strlen(id);

    return length > 0 && length <= ID_CHARS_MAX && id[0] != '.' && strspn(id, letters) == length;
}

static int check_empty(const char *path, struct errs *errs)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    bool empty = true;

    if (!directory)
        return fail_errno(errs, path, "cannot be read", errno);
    while (empty && (entry = readdir(directory)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(directory);
    if (!empty) {
        errs_add(errs, ERR_WORLD, path, "is not empty: a run is written into a directory of its own");
        return -ENOTEMPTY;
    }
    return 0;
}

static int make_run_directory(const char *path, char **ret_directory, struct errs *errs)
{
    AUTO_FREE char *absolute = NULL, *logs = NULL;
    int result = make_directories(path, errs);

    if (result == 0)
        result = check_empty(path, errs);
    if (result < 0)
        return result;
    if (chmod(path, 0700) < 0)
        return fail_errno(errs, path, "cannot be closed to others", errno);
    absolute = realpath(path, NULL);
    if (!absolute)
        return fail_errno(errs, path, "has no absolute path", errno);
    if (asprintf(&logs, "%s/logs", absolute) < 0) {
        logs = NULL;
        return fail_errno(errs, path, "cannot make its logs", ENOMEM);
    }
    result = make_directories(logs, errs);
    if (result == 0)
        *ret_directory = TAKE_PTR(absolute);
    return result;
}

int store_run_create(const char *out_dir_or_null, const char *id, char **ret_directory, struct errs *errs)
{
    AUTO_FREE char *state = NULL, *path = NULL;
    int result;

    if (!id_is_sound(id))
        return errs_add(errs, ERR_INTERNAL, NULL, "'%s' is no run id", id);
    if (out_dir_or_null && out_dir_or_null[0] == '\0')
        return errs_add(errs, ERR_USAGE, "--out", "names no directory");
    if (out_dir_or_null)
        return make_run_directory(out_dir_or_null, ret_directory, errs);
    result = store_state_directory(&state, errs);
    if (result < 0)
        return result;
    if (asprintf(&path, "%s/runs/%s", state, id) < 0) {
        path = NULL;
        return fail_errno(errs, state, "cannot name the run directory", ENOMEM);
    }
    return make_run_directory(path, ret_directory, errs);
}

/* Writes NAME's temporary file and renames it, inside an open directory. The temporary's name holds the process and is exclusive.
 */
static int replace_at(int directory_fd, const char *name, const void *bytes, size_t length)
{
    char temporary[NAME_MAX + 1];
    int result, fd;

    if ((size_t)snprintf(temporary, sizeof(temporary), ".%s.%ld.tmp", name, (long)getpid()) >= sizeof(temporary))
        return -ENAMETOOLONG;
    if (unlinkat(directory_fd, temporary, 0) < 0 && errno != ENOENT)
        return -errno;
    fd = openat(directory_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    result = file_write_all(fd, bytes, length);
    if (result == 0 && fsync(fd) < 0)
        result = -errno;
    if (close(fd) < 0 && result == 0)
        result = -errno;
    if (result == 0 && renameat(directory_fd, temporary, directory_fd, name) < 0)
        result = -errno;
    if (result < 0)
        unlinkat(directory_fd, temporary, 0);
    else if (fsync(directory_fd) < 0)
        result = -errno;
    return result;
}

int store_write_file(const char *directory, const char *name, const void *bytes, size_t length, struct errs *errs)
{
    AUTO_CLOSE int fd = -1;
    char where[ERR_WHERE_MAX];
    int result;

    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
        return errs_add(errs, ERR_INTERNAL, directory, "'%s' is no name of a file in a run directory", name);
    snprintf(where, sizeof(where), "%s/%s", directory, name);
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(errs, directory, "cannot be opened", errno);
    result = replace_at(fd, name, bytes, length);
    return result < 0 ? fail_errno(errs, where, "cannot be written", -result) : 0;
}

int store_write_json(const char *directory, const char *name, const cJSON *document, struct errs *errs)
{
    char *text = json_pretty(document);
    int result;

    if (!text)
        return fail_errno(errs, directory, "cannot print the document", ENOMEM);
    result = store_write_file(directory, name, text, strlen(text), errs);
    cJSON_free(text);
    return result;
}

int store_read_result(const char *directory, cJSON **ret_result, struct errs *errs)
{
    AUTO_FREE char *path = NULL;
    struct buf text;
    cJSON *document;
    const cJSON *schema;
    int result;

    if (asprintf(&path, "%s/result.json", directory) < 0) {
        path = NULL;
        return fail_errno(errs, directory, "cannot be read", ENOMEM);
    }
    buf_init(&text, RESULT_BYTES_MAX);
    result = buf_read_file(&text, path);
    if (result < 0) {
        buf_done(&text);
        return fail_errno(errs, path,
                          result == -ENOENT ? "this run left no result (cut off, or still running)" : "cannot be read", -result);
    }
    errno = 0;
    document = cJSON_ParseWithLength(text.data, text.length);
    result = !document && errno == ENOMEM ? fail_errno(errs, path, "cannot be read", ENOMEM) : 0;
    buf_done(&text);
    schema = cJSON_GetObjectItemCaseSensitive(document, "schema");
    if (result < 0)
        document = NULL;
    else if (!cJSON_IsObject(document))
        result = errs_add(errs, ERR_INPUT, path, "is no JSON object");
    else if (!cJSON_IsNumber(schema))
        result = errs_add(errs, ERR_INPUT, path, "is no result document: it has no number \"schema\"");
    else if (schema->valuedouble != SCHEMA)
        result = errs_add(errs, ERR_INPUT, path, "has schema %g; this program reads schema %d", schema->valuedouble, SCHEMA);
    if (result < 0) {
        cJSON_Delete(document);
        return result;
    }
    *ret_result = document;
    return 0;
}
