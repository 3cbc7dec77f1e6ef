/* Command-line flags of the sample programs. */
#include "playbooks/sample/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "scenarios/base/units.h"

static int print_help(const struct option_spec *specs, const char *program)
{
    static const char *const placeholders[] = {
        [OPTION_SWITCH] = "", [OPTION_COUNT] = "N", [OPTION_DURATION] = "DURATION", [OPTION_TEXT] = "TEXT", [OPTION_CALL] = ""
    };

    printf("usage: %s [FLAG]...\n", program);
    for (; specs->name; specs++)
        printf("  %-18s %-9s %s\n", specs->name, placeholders[specs->kind], specs->help);
    return 1;
}

static int refuse(const char *program, const char *flag, const char *value, const char *expected)
{
    fprintf(stderr, "%s: %s: %s%s%s (see --help)\n", program, flag, value ? value : "", value ? ": expected " : "", expected);
    return -EINVAL;
}

static int apply(const struct option_spec *spec, const char *program, const char *value)
{
    int64_t number = 0;

    switch (spec->kind) {
    case OPTION_SWITCH:
        *(bool *)spec->target = spec->value != 0;
        return 0;
    case OPTION_CALL:
        spec->call(spec->target);
        return 0;
    case OPTION_TEXT:
        *(const char **)spec->target = value;
        return 0;
    case OPTION_DURATION:
        if (unit_parse(UNIT_DURATION, value, &number) != 0 || number < 0)
            return refuse(program, spec->name, value, unit_example(UNIT_DURATION));
        *(uint64_t *)spec->target = (uint64_t)number;
        return 0;
    case OPTION_COUNT:
        break;
    }
    if (strcmp(value, "-1") == 0)
        number = -1;
    else if (unit_parse(UNIT_COUNT, value, &number) != 0)
        return refuse(program, spec->name, value, "a number");
    if (number < spec->value || number > spec->most)
        return refuse(program, spec->name, value, "a number within its range");
    *(int64_t *)spec->target = number;
    return 0;
}

int options_parse(const struct option_spec *specs, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const struct option_spec *spec = specs;
        size_t length = strcspn(argv[i], "=");
        if (strcmp(argv[i], "--help") == 0)
            return print_help(specs, argv[0]);
        while (spec->name && (strlen(spec->name) != length || strncmp(spec->name, argv[i], length) != 0))
            spec++;
        if (!spec->name)
            return refuse(argv[0], argv[i], NULL, "no such flag");
        const char *value = argv[i][length] == '=' ? argv[i] + length + 1 : NULL;
        bool takes_value = spec->kind != OPTION_SWITCH && spec->kind != OPTION_CALL;
        if (takes_value && !value && i + 1 < argc)
            value = argv[++i];
        if (takes_value != (value != NULL))
            return refuse(argv[0], spec->name, NULL, takes_value ? "needs a value" : "takes no value");
        int rc = apply(spec, argv[0], value);
        if (rc < 0)
            return rc;
    }
    return 0;
}
