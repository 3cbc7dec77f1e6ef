/* From a located tree to a checked playbook. */
#include "scenarios/playbook/check.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"
#include "scenarios/playbook/section.h"
#include "scenarios/playbook/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int check_refuse(const struct checker *checker, const struct node *node, const char *format, const char *a, const char *b)
{
    char place[ERR_WHERE_MAX], text[ERR_TEXT_MAX];

    /* The formats are this file's own; two texts are all they take. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof(text), format, a, b);
#pragma GCC diagnostic pop
    return errs_add(checker->errs, ERR_INPUT, node_where(&checker->playbook->document, node, place, sizeof(place)), "%s", text);
}

const struct node *check_member(const struct node *map, const char *key)
{
    const struct node *member = node_member(map, key);

    return member ? member : map;
}

/* Finds an item of a named map by name. */
const void *check_find(const struct section_list *list, size_t size, size_t name_offset, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *item = (const char *)list->items + i * size;

        if (!strcmp(*(const char *const *)(const void *)(item + name_offset), name))
            return item;
    }
    return NULL;
}

const struct target *playbook_target(const struct playbook *playbook, const char *name)
{
    return check_find(&playbook->targets, sizeof(struct target), offsetof(struct target, name), name);
}

const struct proxy *playbook_proxy(const struct playbook *playbook, const char *name)
{
    return check_find(&playbook->proxies, sizeof(struct proxy), offsetof(struct proxy, name), name);
}

/* "no proxy 'x'; there are: a b", with the nearest named first. */
int check_refuse_name(const struct checker *checker, const struct node *node, const char *what, const char *name,
                       const struct section_list *list, size_t size, size_t name_offset)
{
    char place[ERR_WHERE_MAX];
    const char *names[64] = { NULL };
    size_t count = 0;
    int nearest;

    for (size_t i = 0; i < list->count && count < ARRAY_SIZE(names); i++)
        names[count++] = *(const char *const *)(const void *)((const char *)list->items + i * size + name_offset);
    nearest = err_nearest(name, names, count);
    if (nearest < 0 && count)
        nearest = 0;
    return errs_add(checker->errs, ERR_INPUT, node_where(&checker->playbook->document, node, place, sizeof(place)),
                    "no %s is named '%s'%s%s%s", what, name, count ? "; there is '" : "; the playbook has none",
                    count ? names[nearest] : "", count ? "'" : "");
}

static void check_seed(const struct checker *checker)
{
    struct playbook *playbook = checker->playbook;
    char *end;

    if (!playbook->seed_text)
        return;
    errno = 0;
    playbook->seed = strtoull(playbook->seed_text, &end, 0);
    playbook->seed_given = true;
    if (*end || end == playbook->seed_text || errno || playbook->seed_text[0] == '-')
        check_refuse(checker, check_member(playbook->document.root, "seed"), "seed: '%s' is no whole number below 2^64%s", playbook->seed_text, "");
}

static void hash_text(struct playbook *playbook)
{
    uint64_t hash = rng_hash(playbook->document.source);

    for (size_t i = 0; i < playbook->variables.override_count; i++)
        hash = rng_mix(hash, rng_mix(rng_hash(playbook->variables.overrides[i].name), rng_hash(playbook->variables.overrides[i].value)));
    snprintf(playbook->hash, sizeof(playbook->hash), "%016llx", (unsigned long long)hash);
}

static int check_playbook(struct playbook *playbook, const struct playbook_options *options, struct errs *errs)
{
    const struct section_reader reader = { &playbook->document, &playbook->variables, errs };
    const struct checker checker = { playbook, errs };
    char place[ERR_WHERE_MAX];
    const struct node *version = node_member(playbook->document.root, "perturb");

    playbook->variables = (struct variables){ .document = &playbook->document, .overrides = options->overrides,
                                              .override_count = options->override_count, .free_port = options->free_port,
                                              .context = options->context };
    if (version && version->text && strcmp(version->text, "1") != 0)
        return errs_add(errs, ERR_INPUT, node_where(&playbook->document, version, place, sizeof(place)),
                        "perturb: found version %s; this program reads version 1", version->text);
    variables_check_overrides(&playbook->variables, errs);
    section_read(&reader, &playbook_section, playbook->document.root, playbook);
    check_seed(&checker);
    check_targets(&checker);
    check_proxies(&checker);
    check_loads(&checker);
    check_controls(&checker);
    check_probes(&checker);
    check_hypothesis(&checker);
    check_evidence(&checker);
    check_guards(&checker);
    choose_signals(&checker);
    check_method(&checker);
    check_ramp(&checker);
    check_metastability(&checker);
    check_probe_faults(&checker);
    hash_text(playbook);
    return 0;
}

static int finish(struct playbook *playbook, const struct playbook_options *options, size_t errors_before, struct errs *errs)
{
    if (playbook->document.root->kind != NODE_MAP)
        return errs_add(errs, ERR_INPUT, playbook->document.file, "found %s, expected a map of the playbook's keys",
                        node_kind_name(playbook->document.root->kind));
    check_playbook(playbook, options, errs);
    return errs->count == errors_before ? 0 : -EINVAL;
}

int playbook_read(struct playbook *playbook, const char *file, const struct playbook_options *options, struct errs *errs)
{
    size_t errors_before = errs->count;

    memset(playbook, 0, sizeof(*playbook));
    if (document_read(&playbook->document, file, errs) < 0)
        return -EINVAL;
    return finish(playbook, options, errors_before, errs);
}

int playbook_parse(struct playbook *playbook, const char *name, const char *text, size_t length, bool is_json,
                   const struct playbook_options *options, struct errs *errs)
{
    size_t errors_before = errs->count;

    memset(playbook, 0, sizeof(*playbook));
    if (document_parse(&playbook->document, name, text, length, is_json, errs) < 0)
        return -EINVAL;
    return finish(playbook, options, errors_before, errs);
}

void playbook_done(struct playbook *playbook)
{
    document_done(&playbook->document);
}
