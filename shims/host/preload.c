/* Starting a target under the shim. Control plane. */
#include "shims/host/preload.h"

#include "shims/include/control.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libperturb.so"

static int check_path(const char *path)
{
    if (access(path, R_OK) < 0)
        return -ENOENT;
    return strpbrk(path, ": \t\n") ? -EINVAL : 0;
}

int preload_find(char *path, size_t size)
{
    static const char *const places[] = { "", "../lib/perturb/" };
    const char *override = getenv("PERTURB_LIB");
    char self[PATH_MAX];
    ssize_t length;
    char *slash;

    if (override && override[0]) {
        if ((size_t)snprintf(path, size, "%s", override) >= size)
            return -ENAMETOOLONG;
        return check_path(path);
    }
    length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length <= 0)
        return -ENOENT;
    self[length] = '\0';
    slash = strrchr(self, '/');
    if (!slash)
        return -ENOENT;
    slash[1] = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int result;

        if ((size_t)snprintf(path, size, "%s%s" LIBRARY, self, places[i]) >= size)
            return -ENAMETOOLONG;
        result = check_path(path);
        if (result != -ENOENT)
            return result;
    }
    return -ENOENT;
}

int preload_watching(char *path, size_t size)
{
    static const char suffix[] = "-watch.so";
    size_t length = strlen(path);

    if (length < 3 || strcmp(path + length - 3, ".so") != 0)
        return -ENOENT;
    if (length - 3 + sizeof(suffix) > size)
        return -ENAMETOOLONG;
    memcpy(path + length - 3, suffix, sizeof(suffix));
    return check_path(path);
}

static int is_named(const char *entry, const char *name)
{
    size_t length = strlen(name);

    return !strncmp(entry, name, length) && entry[length] == '=';
}

char **preload_environment(char *const *environment, const char *library, const char *page_path)
{
    const char *old = "";
    size_t count = 0, used = 0, text_size;
    char **block;
    char *text;

    for (; environment[count]; count++)
        if (is_named(environment[count], "LD_PRELOAD"))
            old = environment[count] + sizeof("LD_PRELOAD=") - 1;
    text_size = sizeof("LD_PRELOAD=:") + strlen(library) + strlen(old) + sizeof(CONTROL_ENV "=") + strlen(page_path);
    block = malloc((count + 3) * sizeof(*block) + text_size);
    if (!block)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (!is_named(environment[i], "LD_PRELOAD") && !is_named(environment[i], CONTROL_ENV))
            block[used++] = environment[i];
    text = (char *)(block + count + 3);
    block[used++] = text;
    text += snprintf(text, text_size, "LD_PRELOAD=%s%s%s", library, old[0] ? ":" : "", old) + 1;
    block[used++] = text;
    snprintf(text, text_size, CONTROL_ENV "=%s", page_path);
    block[used] = NULL;
    return block;
}
