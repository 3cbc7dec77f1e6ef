/* serve.yaml. */
#include "controller/serve/core/settings.h"

#include "scenarios/base/buf.h"
#include "scenarios/playbook/section.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(type, member) .offset = offsetof(struct type, member)
#define KEYS(list) .keys = (list), .key_count = sizeof(list) / sizeof((list)[0])

static const struct key_desc allow_keys[] = {
    { .name = "playbooks", .type = KEY_TEXTS, AT(settings_allow, playbooks), .help = "patterns of names that may run" },
    { .name = "tags", .type = KEY_TEXTS, AT(settings_allow, tags), .help = "tags of which a playbook needs one" },
};

static const struct section_desc allow_section = { .name = "allow", .size = sizeof(struct settings_allow), KEYS(allow_keys),
                                                   .node_offset = SIZE_MAX, .name_offset = SIZE_MAX };

static const struct key_desc protected_keys[] = {
    { .name = "ports", .type = KEY_TEXTS, AT(settings_protected, ports), .help = "ports or HOST:PORT that nothing may be aimed at" },
    { .name = "units", .type = KEY_TEXTS, AT(settings_protected, units), .help = "units of systemd" },
    { .name = "paths", .type = KEY_TEXTS, AT(settings_protected, paths), .help = "directories and what is below them" },
    { .name = "pids", .type = KEY_TEXTS, AT(settings_protected, pids), .help = "processes" },
};

static const struct section_desc protected_section = { .name = "protected", .size = sizeof(struct settings_protected), KEYS(protected_keys),
                                                       .node_offset = SIZE_MAX, .name_offset = SIZE_MAX };

static const struct key_desc keys[] = {
    { .name = "max_runs", .type = KEY_VALUE, AT(settings, max_runs), .unit = UNIT_COUNT, .minimum = 1, .maximum = 32, .initial = 4,
      .help = "runs that may live at a time" },
    { .name = "max_faults", .type = KEY_VALUE, AT(settings, max_faults), .unit = UNIT_COUNT, .minimum = 1, .maximum = 1024, .initial = 16,
      .help = "faults that may act at a time, over all runs" },
    { .name = "allow", .type = KEY_SECTION, AT(settings, allow), .section = &allow_section, .help = "which playbooks may run" },
    { .name = "protected", .type = KEY_SECTION, AT(settings, protected), .section = &protected_section, .help = "what is never disturbed" },
    { .name = "metrics", .type = KEY_TEXTS, AT(settings, metrics), .help = "addresses of what measures: never disturbed" },
    { .name = "require_opt_in", .type = KEY_VALUE, AT(settings, require_opt_in), .unit = UNIT_BOOL, .minimum = 0, .maximum = 1,
      .help = "what exists without the run has to agree to be disturbed" },
    { .name = "opt_in_file", .type = KEY_TEXT, AT(settings, opt_in_file), .help = "where units, groups and addresses agree" },
    { .name = "schedules", .type = KEY_ANY, .help = "by name, as the API takes them" },
    { .name = "windows", .type = KEY_ANY, .help = "by name, as the API takes them" },
    { .name = "suites", .type = KEY_ANY, .help = "by name, as the API takes them" },
    { .name = "outlets", .type = KEY_ANY, .help = "who is told of runs" }, /* controller/outlet/config.c reads these two */
    { .name = "egress", .type = KEY_ANY, .help = "where requests may go" },
};

static const struct section_desc section = { .name = "serve.yaml", .size = sizeof(struct settings), KEYS(keys), .node_offset = SIZE_MAX,
                                             .name_offset = SIZE_MAX };

/* Nothing but blanks and comments says nothing. One that cannot be read is told by who reads it. */
static bool says_nothing(const char *path)
{
    struct buf text;
    bool nothing = true;

    buf_init(&text, DOCUMENT_BYTES_MAX);
    if (buf_read_file(&text, path) < 0)
        nothing = access(path, F_OK) < 0 && errno == ENOENT;
    for (const char *line = text.data; *line && nothing; line += strcspn(line, "\n"), line += *line == '\n') {
        char first = line[strspn(line, " \t\r")];

        nothing = !first || first == '\n' || first == '#';
    }
    buf_done(&text);
    return nothing;
}

static int read_nothing(struct settings *settings, struct errs *errs)
{
    return document_parse(&settings->document, "serve.yaml", "{}", 2, false, errs);
}

int settings_read(struct settings *settings, const char *path, struct errs *errs)
{
    struct variables variables = { .document = &settings->document };
    const struct section_reader reader = { &settings->document, &variables, errs };
    struct settings empty = { .max_runs = 0 };
    int result;

    *settings = empty;
    result = says_nothing(path) ? read_nothing(settings, errs) : document_read(&settings->document, path, errs);
    return result < 0 ? result : section_read(&reader, &section, settings->document.root, settings);
}

void settings_done(struct settings *settings)
{
    document_done(&settings->document);
    *settings = (struct settings){ .max_runs = 0 };
}
