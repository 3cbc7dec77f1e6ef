/* The located tree and its arena. */
#include "scenarios/playbook/node.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(max_align_t) char bytes[];
};

enum { ARENA_BLOCK_SIZE = 64 << 10 };

void *document_alloc(struct document *document, size_t size)
{
    struct arena_block *block = document->arena;
    size_t aligned = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    void *memory;

    if (!block || block->size - block->used < aligned) {
        size_t room = aligned > ARENA_BLOCK_SIZE ? aligned : ARENA_BLOCK_SIZE;

        block = calloc(1, sizeof(*block) + room);
        if (!block)
            return NULL;
        block->size = room;
        block->next = document->arena;
        document->arena = block;
    }
    memory = block->bytes + block->used;
    block->used += aligned;
    return memory;
}

char *document_text(struct document *document, const char *text, size_t length)
{
    char *copy = document_alloc(document, length + 1);

    if (copy)
        memcpy(copy, text, length);
    return copy;
}

void document_done(struct document *document)
{
    struct arena_block *block = document->arena;

    while (block) {
        struct arena_block *next = block->next;

        free(block);
        block = next;
    }
    memset(document, 0, sizeof(*document));
}

static int refuse_byte(const struct document *document, size_t offset, const char *what, struct errs *errs)
{
    char place[ERR_WHERE_MAX];

    return errs_add(errs, ERR_INPUT, document_where(document, offset, place, sizeof(place)), "%s: it is no text", what);
}

int document_parse(struct document *document, const char *name, const char *text, size_t length, bool is_json, struct errs *errs)
{
    const char *nul;
    size_t valid;

    memset(document, 0, sizeof(*document));
    document->file = document_text(document, name, strlen(name));
    document->source = document_text(document, text, length);
    document->source_length = length;
    if (!document->file || !document->source)
        return errs_add(errs, ERR_INTERNAL, name, "out of memory");
    nul = memchr(text, '\0', length);
    valid = utf8_valid_length(text, length);
    if (nul && (size_t)(nul - text) < valid)
        return refuse_byte(document, (size_t)(nul - text), "the file holds a NUL byte", errs);
    if (valid < length)
        return refuse_byte(document, valid, "the file holds a byte that is not UTF-8", errs);
    return is_json ? json_parse(document, errs) : yaml_parse(document, errs);
}

int document_read(struct document *document, const char *file, struct errs *errs)
{
    const char *dot = strrchr(file, '.');
    struct buf text;
    int result;

    memset(document, 0, sizeof(*document));
    buf_init(&text, DOCUMENT_BYTES_MAX);
    result = buf_read_file(&text, file);
    if (result == -E2BIG)
        errs_add(errs, ERR_INPUT, file, "larger than %d MiB: not a playbook", DOCUMENT_BYTES_MAX >> 20);
    else if (result < 0)
        errs_add(errs, result == -ENOMEM ? ERR_INTERNAL : err_is_shortage(result) ? ERR_WORLD : ERR_INPUT, file, "cannot be read: %s",
                 strerror(-result));
    else
        result = document_parse(document, file, text.data, text.length, dot && !strcasecmp(dot, ".json"), errs);
    buf_done(&text);
    return result < 0 ? -EINVAL : 0;
}

const struct node *node_member(const struct node *map, const char *key)
{
    if (!map || map->kind != NODE_MAP)
        return NULL;
    for (const struct node *child = map->first; child; child = child->next)
        if (!strcmp(child->key, key))
            return child;
    return NULL;
}

const char *document_where(const struct document *document, size_t offset, char *place, size_t size)
{
    int line = 1, column = 1;

    for (size_t at = 0; at < offset; at++) {
        column = document->source[at] == '\n' ? 1 : column + ((document->source[at] & 0xc0) != 0x80);
        line += document->source[at] == '\n';
    }
    snprintf(place, size, "%s:%d:%d", document->file, line, column);
    return place;
}

const char *node_where(const struct document *document, const struct node *node, char *place, size_t size)
{
    snprintf(place, size, "%s:%d:%d", document->file, node->line, node->column);
    return place;
}

const char *node_key_where(const struct document *document, const struct node *node, char *place, size_t size)
{
    if (!node->key)
        return node_where(document, node, place, size);
    snprintf(place, size, "%s:%d:%d", document->file, node->key_line, node->key_column);
    return place;
}

const char *node_kind_name(enum node_kind kind)
{
    static const char *const names[] = { "nothing", "true or false", "a number", "text", "a list", "a map" };

    return names[kind];
}

struct node *node_new(struct document *document, enum node_kind kind, int line, int column)
{
    struct node *node = document_alloc(document, sizeof(*node));

    if (node)
        *node = (struct node){ .kind = kind, .line = line, .column = column, .weight = 1 };
    return node;
}

int node_add(struct document *document, struct node *parent, struct node *child, const char *key, int key_line, int key_column,
             struct errs *errs)
{
    struct node **slot = &parent->first;
    char place[ERR_WHERE_MAX];

    if (!key && parent->last)
        slot = &parent->last->next;
    for (; *slot; slot = &(*slot)->next)
        if (key && !strcmp((*slot)->key, key)) {
            snprintf(place, sizeof(place), "%s:%d:%d", document->file, key_line, key_column);
            return errs_add(errs, ERR_INPUT, place, "key '%s' is given twice; first at line %d", key, (*slot)->key_line);
        }
    child->key = key;
    child->key_line = key_line;
    child->key_column = key_column;
    *slot = child;
    parent->last = child;
    parent->weight += child->weight;
    if (parent->weight > NODES_MAX) {
        errs_add(errs, ERR_INPUT, node_where(document, child, place, sizeof(place)), "the document grows beyond %d values here",
                 NODES_MAX);
        return -E2BIG;
    }
    return 0;
}
