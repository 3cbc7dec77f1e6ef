/* The generic reader of playbook sections. Knows types, not names. */
#include "scenarios/playbook/section.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/playbook/value.h"

#include <errno.h>
#include <string.h>

static const char *place_of(const struct section_reader *reader, const struct node *node, char *place)
{
    return node_where(reader->document, node, place, ERR_WHERE_MAX);
}

static int refuse_kind(const struct section_reader *reader, const struct node *node, const char *key, const char *expected)
{
    char place[ERR_WHERE_MAX];

    return errs_add(reader->errs, ERR_INPUT, place_of(reader, node, place), "%s: found %s, expected %s", key,
                    node_kind_name(node->kind), expected);
}

const char *section_text(const struct section_reader *reader, const struct node *node, const char *key)
{
    if (!node->text || node->kind == NODE_NULL) {
        refuse_kind(reader, node, key, "text");
        return NULL;
    }
    return variables_expand(reader->variables, node, node->text, reader->errs);
}

static int read_value(const struct section_reader *reader, const struct key_desc *key, const struct node *node, int64_t *ret_value)
{
    char place[ERR_WHERE_MAX];
    const char *text;

    if (!node->text || node->kind == NODE_NULL)
        return refuse_kind(reader, node, key->name, unit_example(key->unit));
    text = variables_expand(reader->variables, node, node->text, reader->errs);
    if (!text)
        return -EINVAL;
    return value_parse(key->name, key->unit, key->words, key->minimum, key->maximum, text, place_of(reader, node, place),
                       reader->errs, ret_value);
}

static size_t count_children(const struct node *node)
{
    size_t count = 0;

    for (const struct node *child = node->first; child; child = child->next)
        count++;
    return count;
}

static int read_texts(const struct section_reader *reader, const struct key_desc *key, const struct node *node,
                      struct text_list *ret_list)
{
    bool is_list = node->kind == NODE_LIST;
    struct text_list list = { .items = document_alloc(reader->document, (count_children(node) + 2) * sizeof(char *)) };

    if (node->kind == NODE_MAP || node->kind == NODE_NULL)
        return refuse_kind(reader, node, key->name, "a list of texts");
    for (const struct node *item = is_list ? node->first : node; item; item = is_list ? item->next : NULL) {
        const char *text = section_text(reader, item, key->name);

        if (!text)
            return -EINVAL;
        list.items[list.count++] = text;
    }
    *ret_list = list;
    return 0;
}

static int read_pairs(const struct section_reader *reader, const struct key_desc *key, const struct node *node,
                      struct text_list *ret_list)
{
    struct text_list list = { .items = document_alloc(reader->document, (count_children(node) + 1) * sizeof(char *)) };

    if (node->kind != NODE_MAP)
        return refuse_kind(reader, node, key->name, "a map of texts");
    for (const struct node *item = node->first; item; item = item->next) {
        const char *value = section_text(reader, item, item->key);
        size_t length;
        char *joined;

        if (!value)
            return -EINVAL;
        length = strlen(item->key) + strlen(key->words) + strlen(value);
        joined = document_alloc(reader->document, length + 1);
        snprintf(joined, length + 1, "%s%s%s", item->key, key->words, value);
        list.items[list.count++] = joined;
    }
    *ret_list = list;
    return 0;
}

static int read_sections(const struct section_reader *reader, const struct key_desc *key, const struct node *node,
                         struct section_list *ret_list)
{
    const struct section_desc *section = key->section;
    bool is_map = key->type == KEY_MAP;
    struct section_list list = { .items = document_alloc(reader->document, (count_children(node) + 1) * section->size) };
    int result = 0;

    if (node->kind != (is_map ? NODE_MAP : NODE_LIST))
        return refuse_kind(reader, node, key->name, is_map ? "a map by name" : "a list");
    for (const struct node *item = node->first; item; item = item->next) {
        char *target = (char *)list.items + list.count++ * section->size;

        if (is_map && section->name_offset != SIZE_MAX)
            *(const char **)(void *)(target + section->name_offset) = item->key;
        result |= section_read(reader, section, item, target);
    }
    *ret_list = list;
    return result ? -EINVAL : 0;
}

static int read_key(const struct section_reader *reader, const struct key_desc *key, const struct node *node, char *target)
{
    void *slot = target + key->offset;

    switch (key->type) {
    case KEY_TEXT:
        *(const char **)slot = section_text(reader, node, key->name);
        return *(const char **)slot ? 0 : -EINVAL;
    case KEY_VALUE:
        return read_value(reader, key, node, slot);
    case KEY_TEXTS:
        return read_texts(reader, key, node, slot);
    case KEY_PAIRS:
        return read_pairs(reader, key, node, slot);
    case KEY_SECTION:
        return section_read(reader, key->section, node, slot);
    case KEY_LIST:
    case KEY_MAP:
        return read_sections(reader, key, node, slot);
    case KEY_ANY:
        return 0;
    }
    return -EINVAL;
}

static void set_initials(const struct section_desc *section, char *target)
{
    for (size_t i = 0; i < section->key_count; i++) {
        const struct key_desc *key = &section->keys[i];

        if (key->type == KEY_VALUE)
            *(int64_t *)(void *)(target + key->offset) = key->initial;
        else if (key->type == KEY_SECTION)
            set_initials(key->section, target + key->offset);
    }
}

static int refuse_unknown(const struct section_reader *reader, const struct section_desc *section, const struct node *node)
{
    char place[ERR_WHERE_MAX];
    const char *names[32];
    int nearest;

    for (size_t i = 0; i < section->key_count; i++)
        names[i] = section->keys[i].name;
    nearest = err_nearest(node->key, names, section->key_count);
    return errs_add(reader->errs, ERR_INPUT, node_key_where(reader->document, node, place, sizeof(place)),
                    "%s has no key '%s'%s%s%s", section->name, node->key, nearest >= 0 ? "; did you mean " : "",
                    nearest >= 0 ? names[nearest] : "", nearest >= 0 ? "?" : "");
}

static const struct key_desc *find_key(const struct section_desc *section, const char *name)
{
    for (size_t i = 0; i < section->key_count; i++)
        if (!strcmp(section->keys[i].name, name))
            return &section->keys[i];
    return NULL;
}

int section_read(const struct section_reader *reader, const struct section_desc *section, const struct node *node, void *target)
{
    char place[ERR_WHERE_MAX];
    int result = 0;

    set_initials(section, target);
    if (section->node_offset != SIZE_MAX)
        *(const struct node **)(void *)((char *)target + section->node_offset) = node;
    if (node->kind != NODE_MAP)
        return refuse_kind(reader, node, section->name, "a map");
    for (const struct node *child = node->first; child; child = child->next) {
        const struct key_desc *key = find_key(section, child->key);

        if (key)
            result |= read_key(reader, key, child, target);
        else if (!section->open)
            result |= refuse_unknown(reader, section, child);
    }
    for (size_t i = 0; i < section->key_count; i++)
        if (section->keys[i].required && !node_member(node, section->keys[i].name))
            result |= errs_add(reader->errs, ERR_INPUT, place_of(reader, node, place), "%s needs '%s': %s", section->name,
                               section->keys[i].name, section->keys[i].help);
    return result ? -EINVAL : 0;
}
