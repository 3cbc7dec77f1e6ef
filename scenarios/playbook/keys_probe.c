/* The keys of a probe. */
#include "scenarios/playbook/keys.h"

static const struct key_desc proc_keys[] = {
    { "target", KEY_TEXT, AT(proc_probe, target), .required = true, .help = "Whose processes: a target that is spawned, or has a pid, unit or cgroup." },
    { "field", VALUE(UNIT_ENUM, 0, 4, 0), AT(proc_probe, field), .words = PROC_FIELD_WORDS,
      .help = "Threads, open descriptors, resident bytes, CPUs' worth of time used, or processes; summed over the target and its children." },
};
static const struct section_desc proc_section = { "proc", sizeof(struct proc_probe), KEYS(proc_keys), NO_NODE, NO_NAME,
                                                  .help = "What the kernel tells of a target." };

static const struct key_desc command_keys[] = {
    { "run", KEY_TEXTS, AT(command_probe, run), .required = true, .help = "Program and arguments. It failed unless it ends with status 0 in time." },
    { "path", KEY_TEXT, AT(command_probe, path), .help = "Where in its output, which then is JSON, the number lies: a.b[0].c. Default: the first number it prints." },
};
static const struct section_desc command_section = { "command", sizeof(struct command_probe), KEYS(command_keys), NO_NODE, NO_NAME,
                                                     .help = "What a program prints." };

static const struct key_desc json_keys[] = {
    { "url", KEY_TEXT, AT(json_probe, url), .required = true, .help = "An endpoint that answers with JSON: expvar, actuator, anyone's." },
    { "path", KEY_TEXT, AT(json_probe, path), .required = true, .help = "Where the number lies: memstats.HeapAlloc, pools[0].active." },
};
static const struct section_desc json_section = { "json", sizeof(struct json_probe), KEYS(json_keys), NO_NODE, NO_NAME,
                                                  .help = "A number in a JSON document." };

static const struct key_desc probe_keys[] = {
    { "proc", KEY_SECTION, AT(probe, proc), .section = &proc_section, .help = "What the kernel tells of a target." },
    { "command", KEY_SECTION, AT(probe, command), .section = &command_section, .help = "What a program prints." },
    { "json", KEY_SECTION, AT(probe, json), .section = &json_section, .help = "A number in a JSON document." },
    { "every", VALUE(UNIT_DURATION, 10 * MILLISECOND, 3600 * SECOND, SECOND), AT(probe, every), .help = "Time from one sample's planned start to the next." },
    { "timeout", VALUE(UNIT_DURATION, MILLISECOND, 600 * SECOND, SECOND), AT(probe, timeout), .help = "A sample that takes longer has failed." },
    { "unit", VALUE(UNIT_ENUM, 0, 6, 0), AT(probe, unit_word), .words = PROBE_UNIT_WORDS, .help = "Of its value, and so of its bounds." },
    { "better", VALUE(UNIT_ENUM, 0, 1, 0), AT(probe, better), .words = "lower higher", .help = "Which side is good." },
    { "backlog", VALUE(UNIT_BOOL, 0, 1, 0), AT(probe, backlog), .help = "It counts work that waits: the report tells how long it took to drain once the service was back." },
};
const struct section_desc probe_section = { "probe", sizeof(struct probe), KEYS(probe_keys), offsetof(struct probe, node),
                                            offsetof(struct probe, name), .help = "A number that is read again and again: exactly one of its kinds is given." };
