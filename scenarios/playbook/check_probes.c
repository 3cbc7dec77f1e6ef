/* Probes: exactly one kind each, its references, its unit. */
#include "scenarios/playbook/check.h"

#include "scenarios/base/cleanup.h"

#include <string.h>

/* In the order of PROBE_UNIT_WORDS. */
static const enum unit units[] = { UNIT_RATIO, UNIT_COUNT, UNIT_SIZE, UNIT_DURATION, UNIT_SHARE, UNIT_FREQUENCY, UNIT_RATE };

/* What a field of the kernel is measured in, whatever the key says. */
static const enum unit proc_units[] = { UNIT_COUNT, UNIT_COUNT, UNIT_SIZE, UNIT_RATIO, UNIT_COUNT };

static void check_proc(const struct checker *checker, struct probe *probe)
{
    const struct section_list *targets = &checker->playbook->targets;
    const struct target *target;

    probe->unit = proc_units[probe->proc.field];
    if (!probe->proc.target)
        return;
    target = check_find(targets, sizeof(struct target), offsetof(struct target, name), probe->proc.target);
    if (!target)
        check_refuse_name(checker, check_member(probe->node, "proc"), "target", probe->proc.target, targets, sizeof(struct target),
                          offsetof(struct target, name));
    else if (target->address)
        check_refuse(checker, check_member(probe->node, "proc"), "target '%s' is only an address: its processes are unknown%s", target->name, "");
}

static void check_command(const struct checker *checker, struct probe *probe)
{
    if (!probe->command.run.count)
        check_refuse(checker, check_member(probe->node, "command"), "probe '%s': the command is empty%s", probe->name, "");
}

static void check_json(const struct checker *checker, struct probe *probe)
{
    if (probe->json.url && strncmp(probe->json.url, "http://", 7) != 0 && strncmp(probe->json.url, "https://", 8) != 0)
        check_refuse(checker, check_member(probe->node, "json"), "url: '%s' is no http:// or https:// address%s", probe->json.url, "");
}

/* The kinds; adding one is a row here, its keys in keys_probe.c, its reading in controller/probe. */
static const struct {
    const char *key;
    void (*check)(const struct checker *checker, struct probe *probe);
} kinds[PROBE_KINDS] = {
    [PROBE_PROC] = { "proc", check_proc },
    [PROBE_COMMAND] = { "command", check_command },
    [PROBE_JSON] = { "json", check_json },
};

static void check_probe(const struct checker *checker, struct probe *probe)
{
    size_t given = 0;

    probe->unit = units[probe->unit_word];
    for (size_t i = 0; i < PROBE_KINDS; i++)
        if (node_member(probe->node, kinds[i].key)) {
            probe->kind = (enum probe_kind)i;
            given++;
        }
    if (given != 1)
        check_refuse(checker, probe->node, "probe '%s' needs exactly one of %s", probe->name, "proc, command, json");
    else
        kinds[probe->kind].check(checker, probe);
    if (check_find(&checker->playbook->loads, sizeof(struct workload), offsetof(struct workload, name), probe->name))
        check_refuse(checker, probe->node, "a load is named '%s' too: their signals could not be told apart%s", probe->name, "");
}

void check_probes(const struct checker *checker)
{
    struct probe *probes = checker->playbook->probes.items;

    for (size_t i = 0; i < checker->playbook->probes.count; i++)
        check_probe(checker, &probes[i]);
}
