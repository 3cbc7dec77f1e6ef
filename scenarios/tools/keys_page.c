/* The keys of a playbook, section by section, as Markdown; and the walk over the sections that the manual page shares. */
#include "scenarios/playbook/lists.h"
#include "scenarios/playbook/value.h"
#include "scenarios/tools/vocab_gen.h"

#include <errno.h>
#include <string.h>

static size_t place_of(struct vocab_sections *sections, const struct section_desc *section)
{
    for (size_t i = 0; i < sections->count; i++)
        if (sections->list[i] == section)
            return i;
    sections->list[sections->count] = section;
    return sections->count++;
}

int vocab_sections(struct vocab_sections *ret_sections)
{
    *ret_sections = (struct vocab_sections){ .count = 1, .list = { &playbook_section } };
    for (size_t i = 0; i < ret_sections->count; i++)
        for (size_t k = 0; k < ret_sections->list[i]->key_count; k++) {
            const struct key_desc *key = &ret_sections->list[i]->keys[k];
            size_t place, used;

            if (!key->section)
                continue;
            if (ret_sections->count == VOCAB_SECTIONS_MAX) {
                fprintf(stderr, "more than %d sections\n", VOCAB_SECTIONS_MAX);
                return -E2BIG;
            }
            place = place_of(ret_sections, key->section);
            used = strlen(ret_sections->places[place]);
            snprintf(ret_sections->places[place] + used, VOCAB_PARENTS_MAX - used, "%s`%s` of %s", used ? ", " : "", key->name,
                     ret_sections->list[i]->name);
        }
    return 0;
}

void vocab_key_kind(const struct key_desc *key, char *text, size_t size)
{
    const char *section = key->section ? key->section->name : "";

    switch (key->type) {
    case KEY_TEXT: snprintf(text, size, "text"); break;
    case KEY_VALUE: snprintf(text, size, "%s", vocab_unit_name(key->unit)); break;
    case KEY_TEXTS: snprintf(text, size, "list of texts, or one"); break;
    case KEY_PAIRS: snprintf(text, size, "map of texts"); break;
    case KEY_SECTION: snprintf(text, size, "%s", section); break;
    case KEY_LIST: snprintf(text, size, "list of %s", section); break;
    case KEY_MAP: snprintf(text, size, "map of %s, by name", section); break;
    case KEY_ANY: snprintf(text, size, "map"); break;
    }
}

void vocab_key_range(const struct key_desc *key, char *text, size_t size)
{
    char low[64], high[64];

    *text = 0;
    if (key->type != KEY_VALUE || key->unit == UNIT_BOOL)
        return;
    if (key->unit == UNIT_ENUM)
        snprintf(text, size, "%s", key->words);
    else
        snprintf(text, size, "%s to %s", unit_print(key->unit, key->minimum, low, sizeof(low)), unit_print(key->unit, key->maximum, high, sizeof(high)));
}

void vocab_key_default(const struct key_desc *key, char *text, size_t size)
{
    *text = 0;
    if (key->required)
        snprintf(text, size, "required");
    else if (key->type == KEY_VALUE && key->initial != ABSENT)
        value_print(key->unit, key->words, key->initial, text, size);
}

static void print_section(FILE *out, const struct section_desc *section, const char *places)
{
    char kind[128], range[256], initial[128];

    fprintf(out, "## %s\n\n%s", section->name, section->help);
    if (*places)
        fprintf(out, " In: %s.", places);
    fprintf(out, "\n\n| key | kind | range | default | |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < section->key_count; i++) {
        vocab_key_kind(&section->keys[i], kind, sizeof(kind));
        vocab_key_range(&section->keys[i], range, sizeof(range));
        vocab_key_default(&section->keys[i], initial, sizeof(initial));
        if (section->keys[i].section)
            fprintf(out, "| `%s` | [%s](#%s) | %s | %s | %s |\n", section->keys[i].name, kind, section->keys[i].section->name, range, initial,
                    section->keys[i].help);
        else
            fprintf(out, "| `%s` | %s | %s | %s | %s |\n", section->keys[i].name, kind, range, initial, section->keys[i].help);
    }
    if (section->open)
        fprintf(out, "\nFurther keys are parameters and selectors of the fault: [faults](../../scenarios/reference/faults.md).\n");
    fputc('\n', out);
}

int print_keys(FILE *out)
{
    static struct vocab_sections sections;
    int rc = vocab_sections(&sections);

    if (rc < 0)
        return rc;
    fprintf(out, "# Keys of a playbook\n\nMade from the tables that read playbooks, by `make docs`; perturb-playbook(5) holds the same. What the keys\n"
                 "mean together: [playbooks](../playbooks.md). For editors: [JSON Schema](../../scenarios/reference/playbook.schema.json).\n\n"
                 "Kinds of value and their suffixes: [faults](../../scenarios/reference/faults.md#kinds-of-value). A word is one of those under "
                 "\"range\".\n\n");
    for (size_t i = 0; i < sections.count; i++)
        print_section(out, sections.list[i], sections.places[i]);
    return 0;
}
