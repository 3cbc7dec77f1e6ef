/* Go's flags. */
#include "controller/toxiproxy/flags.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int set_bool(bool *target, const char *value)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" }, *const no[] = { "0",     "f",     "F",
                                                                                                "false", "FALSE", "False" };

    if (!value) {
        *target = true;
        return 0;
    }
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        if (!strcmp(value, yes[i]) || !strcmp(value, no[i])) {
            *target = !strcmp(value, yes[i]);
            return 0;
        }
    return -EINVAL;
}

static const struct flag *find(const struct flag *flags, size_t count, const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(flags[i].name) == length && !strncmp(flags[i].name, name, length))
            return &flags[i];
    return NULL;
}

int flags_parse(int argc, char **argv, const struct flag *flags, size_t count, char *why, size_t size)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i] + strspn(argv[i], "-"), *value = strchr(name, '=');
        size_t dashes = (size_t)(name - argv[i]), length = value ? (size_t)(value - name) : strlen(name);
        const struct flag *flag = find(flags, count, name, length);

        value = value ? value + 1 : NULL;
        if (dashes < 1 || dashes > 2 || !length)
            return snprintf(why, size, "'%s' is no flag", argv[i]), -EINVAL;
        if (!flag)
            return snprintf(why, size, "flag provided but not defined: -%.*s", (int)length, name), -EINVAL;
        if (flag->kind == FLAG_BOOL) {
            if (set_bool(flag->target, value) < 0)
                return snprintf(why, size, "invalid boolean value \"%s\" for -%s", value, flag->name), -EINVAL;
            continue;
        }
        if (!value && i + 1 < argc)
            value = argv[++i];
        if (!value)
            return snprintf(why, size, "flag needs an argument: -%s", flag->name), -EINVAL;
        *(const char **)flag->target = value;
    }
    return 0;
}
