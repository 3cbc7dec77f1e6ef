/* perturb(1) and the reference of commands, from the commands' own help. */
#include "controller/cmd/hidden.h"

#include "controller/cmd/usage.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/tools/roff.h"

#include <stdio.h>
#include <string.h>

enum { PART_MAX = 64 * 1024 };

static const char *const statuses[][2] = {
    { "0", "passed: it came back within every bound" },
    { "1", "failed: a bound is broken, or it did not come back" },
    { "2", "not decided: no data, noise, load or baseline unfit; never taken for a pass" },
    { "3", "aborted: released, undone, observed, reported" },
    { "4", "undo not proven: look at once; `perturb recover`" },
    { "64", "usage" },
    { "65", "bad input file" },
    { "69", "the world: a port, a program, a permission" },
    { "70", "a fault of perturb itself" },
};

static const char *const variables[][2] = {
    { "PERTURB_REGISTRY", "directory through which the processes of a user find each other; default /run/perturb for root, "
                          "$XDG_RUNTIME_DIR/perturb, else /tmp/perturb-UID" },
    { "XDG_STATE_HOME", "where runs and their history are kept, below `perturb`; default $HOME/.local/state" },
    { "PERTURB_LIB", "path of libperturb.so, when it is neither beside the program nor in ../lib/perturb" },
    { "NO_COLOR", "no colours on a terminal" },
};

/* A definition is over several lines of the help: its text is collected, then written. */
struct entry {
    struct buf head, text;
};

static void put_entry(FILE *out, struct entry *entry)
{
    if (entry->head.length)
        roff_entry(out, entry->head.data, entry->text.data);
    buf_done(&entry->head);
    buf_done(&entry->text);
    buf_init(&entry->head, PART_MAX);
    buf_init(&entry->text, PART_MAX);
}

static void append(struct buf *buf, const char *text, int length)
{
    buf_puts(buf, buf->length ? " " : "");
    buf_append(buf, text, (size_t)length);
}

static void put_paragraph(FILE *out, struct buf *paragraph)
{
    if (paragraph->length)
        roff_paragraph(out, paragraph->data);
    buf_done(paragraph);
    buf_init(paragraph, PART_MAX);
}

static void put_command(FILE *out, const struct command *command)
{
    struct usage_reader reader = { .at = command->help };
    struct usage_line line;
    struct entry entry = { 0 };
    struct buf paragraph = { 0 };
    bool example = false;

    put_entry(out, &entry);
    put_paragraph(out, &paragraph);
    roff_subsection(out, command->name);
    append(&paragraph, "Usage: perturb", 14);
    append(&paragraph, command->name, (int)strlen(command->name));
    append(&paragraph, command->synopsis, (int)strlen(command->synopsis));
    roff_text(out, paragraph.data);
    buf_done(&paragraph);
    buf_init(&paragraph, PART_MAX);
    buf_printf(&paragraph, "%c%s.", command->summary[0] & ~0x20, command->summary + 1);
    put_paragraph(out, &paragraph);
    while (usage_next(&reader, &line)) {
        if (line.kind != USAGE_MORE)
            put_entry(out, &entry);
        if (line.kind != USAGE_TEXT)
            put_paragraph(out, &paragraph);
        if (example && line.kind != USAGE_EXAMPLE)
            roff_example_end(out);
        if (line.kind == USAGE_EXAMPLE && !example)
            roff_example_begin(out);
        example = line.kind == USAGE_EXAMPLE;
        if (line.kind == USAGE_DEFINITION)
            append(&entry.head, line.head, line.head_length);
        if ((line.kind == USAGE_DEFINITION && line.text_length) || line.kind == USAGE_MORE)
            append(&entry.text, line.text, line.text_length);
        if (line.kind == USAGE_TEXT)
            append(&paragraph, line.text, line.text_length);
        if (example)
            roff_line(out, line.text, line.text_length);
    }
    put_entry(out, &entry);
    put_paragraph(out, &paragraph);
    if (example)
        roff_example_end(out);
    buf_done(&entry.head);
    buf_done(&entry.text);
    buf_done(&paragraph);
}

static void put_pairs(FILE *out, const char *title, const char *const (*pairs)[2], size_t count)
{
    roff_section(out, title);
    for (size_t i = 0; i < count; i++)
        roff_entry(out, pairs[i][0], pairs[i][1]);
}

static void put_manual(FILE *out, const struct command *const *commands, size_t count)
{
    roff_begin(out, "perturb", 1, "disturb a running system on purpose, measure how long it takes to come back");
    roff_section(out, "SYNOPSIS");
    roff_text(out, "`perturb` COMMAND [ARGUMENT...]");
    roff_paragraph(out, "`perturb` COMMAND `--help`");
    roff_section(out, "DESCRIPTION");
    roff_text(out, "perturb harms running programs on purpose: inside the process by a preload shim or a seccomp supervisor, on the wire by "
                   "proxies, from the host. It measures how long a service takes to come back, with the interval of that number, and undoes "
                   "everything that it did, also when it is killed itself.");
    roff_paragraph(out, "The safe state is no fault. Every fault ends by itself when its lease is not renewed; what cannot end by itself is in a "
                        "journal before it is done. `perturb halt` ends every run, `perturb panic` does it by force, `perturb recover` undoes what is "
                        "left and proves it.");
    roff_section(out, "COMMANDS");
    for (size_t i = 0; i < count; i++)
        put_command(out, commands[i]);
    put_pairs(out, "EXIT STATUS", statuses, ARRAY_SIZE(statuses));
    put_pairs(out, "ENVIRONMENT", variables, ARRAY_SIZE(variables));
    roff_see_also(out, "perturb-proxy(1), perturb-playbook(5), perturb-faults(7)");
}

/* The proxy is a program of its own, too. */
static void put_proxy_manual(FILE *out, const struct command *const *commands, size_t count)
{
    roff_begin(out, "perturb-proxy", 1, "serve proxies and toxics by the API of Toxiproxy");
    roff_section(out, "DESCRIPTION");
    roff_text(out, "`perturb-proxy` is `perturb proxy` as a program that needs nothing else. It takes the same flags:");
    for (size_t i = 0; i < count; i++)
        if (!strcmp(commands[i]->name, "proxy"))
            put_command(out, commands[i]);
    roff_see_also(out, "perturb(1)");
}

static void put_markdown(FILE *out, const struct command *const *commands, size_t count)
{
    fprintf(out, "# Commands\n\nMade from the commands' own help by `make docs`; `perturb COMMAND --help` and perturb(1) say the same.\n\n"
                 "| command | |\n|---|---|\n");
    for (size_t i = 0; i < count; i++)
        fprintf(out, "| [`%s`](#%s) | %s |\n", commands[i]->name, commands[i]->name, commands[i]->summary);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "\n## %s\n\n%c%s.\n\n```\nperturb %s%s%s\n\n%s```\n", commands[i]->name, commands[i]->summary[0] & ~0x20,
                commands[i]->summary + 1, commands[i]->name, *commands[i]->synopsis ? " " : "", commands[i]->synopsis, commands[i]->help);
    fprintf(out, "\n## Exit statuses\n\n| status | meaning |\n|---|---|\n");
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
        fprintf(out, "| %s | %s |\n", statuses[i][0], statuses[i][1]);
    fprintf(out, "\nSeveral runs: the worst, in the order 4, 3, 70, 69, 65, 2, 1, 0. `exec` passes its program's status on.\n"
                 "\n## Environment\n\n| variable | |\n|---|---|\n");
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
        fprintf(out, "| `%s` | %s |\n", variables[i][0], variables[i][1]);
}

int hidden_manual(const struct command *const *commands, size_t count, int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "perturb.1"))
        put_manual(stdout, commands, count);
    else if (argc == 2 && !strcmp(argv[1], "perturb-proxy.1"))
        put_proxy_manual(stdout, commands, count);
    else if (argc == 2 && !strcmp(argv[1], "commands"))
        put_markdown(stdout, commands, count);
    else {
        fprintf(stderr, "usage: perturb manual perturb.1|perturb-proxy.1|commands\n");
        return ERR_USAGE;
    }
    return fflush(stdout) ? ERR_WORLD : 0;
}
