/* YAML by libyaml's events: a stack of open containers, one node an event. No tags, no merge keys, one document. */
#include "scenarios/playbook/node.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

enum { ANCHORS_MAX = 64 };

struct open_container {
    struct node *node;
    const char *key; /* of the value to come; NULL when a key is due (maps) */
    int key_line, key_column;
};

struct yaml_builder {
    struct document *document;
    struct errs *errs;
    struct open_container stack[NODE_DEPTH_MAX];
    size_t depth;
    struct {
        const char *name;
        struct node *node;
    } anchors[ANCHORS_MAX];
    size_t anchor_count;
    bool has_document;
};

static int refuse(struct yaml_builder *builder, yaml_mark_t mark, const char *text, const char *detail)
{
    char place[ERR_WHERE_MAX];

    snprintf(place, sizeof(place), "%s:%zu:%zu", builder->document->file, mark.line + 1, mark.column + 1);
    return errs_add(builder->errs, ERR_INPUT, place, "%s%s", text, detail);
}

/* JSON's number grammar, so that "0x10", "1_000" and "12:30:00" stay text. */
static bool is_number(const char *text)
{
    const char *at = text + (*text == '-');
    size_t digits = strspn(at, "0123456789");

    if (!digits || (digits > 1 && *at == '0'))
        return false;
    at += digits;
    if (*at == '.') {
        digits = strspn(++at, "0123456789");
        if (!digits)
            return false;
        at += digits;
    }
    if (*at == 'e' || *at == 'E') {
        at += at[1] == '+' || at[1] == '-' ? 2 : 1;
        digits = strspn(at, "0123456789");
        if (!digits)
            return false;
        at += digits;
    }
    return !*at;
}

static enum node_kind scalar_kind(const char *text, bool plain)
{
    if (!plain)
        return NODE_TEXT;
    if (!*text || !strcmp(text, "null") || !strcmp(text, "~"))
        return NODE_NULL;
    if (!strcmp(text, "true") || !strcmp(text, "false"))
        return NODE_BOOL;
    return is_number(text) ? NODE_NUMBER : NODE_TEXT;
}

/* Puts a finished or opened node where it belongs. */
static int place_node(struct yaml_builder *builder, struct node *node, yaml_mark_t mark)
{
    struct open_container *top;
    int result;

    if (!node)
        return errs_add(builder->errs, ERR_INTERNAL, builder->document->file, "out of memory");
    if (!builder->depth) {
        builder->document->root = node;
        return 0;
    }
    top = &builder->stack[builder->depth - 1];
    if (top->node->kind == NODE_LIST)
        return node_add(builder->document, top->node, node, NULL, 0, 0, builder->errs);
    if (!top->key)
        return refuse(builder, mark, "a map key must be plain text", "");
    result = node_add(builder->document, top->node, node, top->key, top->key_line, top->key_column, builder->errs);
    top->key = NULL;
    return result == -E2BIG ? result : 0;
}

static int remember_anchor(struct yaml_builder *builder, const yaml_char_t *anchor, struct node *node, yaml_mark_t mark)
{
    if (!anchor)
        return 0;
    if (builder->anchor_count == ANCHORS_MAX)
        return refuse(builder, mark, "too many anchors", "");
    builder->anchors[builder->anchor_count].name = document_text(builder->document, (const char *)anchor, strlen((const char *)anchor));
    builder->anchors[builder->anchor_count++].node = node;
    return 0;
}

static int on_scalar(struct yaml_builder *builder, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    struct open_container *top = builder->depth ? &builder->stack[builder->depth - 1] : NULL;
    char *copy = document_text(builder->document, text, length);
    int line = (int)event->start_mark.line + 1, column = (int)event->start_mark.column + 1, result;
    struct node *node;

    if (memchr(text, '\0', length))
        return refuse(builder, event->start_mark, "a text cannot hold the character NUL", "");
    if (top && top->node->kind == NODE_MAP && !top->key) {
        top->key = copy;
        top->key_line = line;
        top->key_column = column;
        return copy ? 0 : -ENOMEM;
    }
    node = node_new(builder->document, scalar_kind(text, event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE), line, column);
    if (node)
        node->text = copy;
    result = place_node(builder, node, event->start_mark);
    return result < 0 ? result : remember_anchor(builder, event->data.scalar.anchor, node, event->start_mark);
}

/* A shallow copy that shares the children: the sibling links of a node belong to one parent. */
static int on_alias(struct yaml_builder *builder, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;

    for (size_t i = builder->anchor_count; i-- > 0;) {
        struct node *anchored = builder->anchors[i].node, *copy;

        if (strcmp(builder->anchors[i].name, name) != 0)
            continue;
        for (size_t open = 0; open < builder->depth; open++)
            if (builder->stack[open].node == anchored)
                return refuse(builder, event->start_mark, "an alias inside its own anchor: ", name);
        copy = node_new(builder->document, anchored->kind, anchored->line, anchored->column);
        if (copy) {
            copy->text = anchored->text;
            copy->first = anchored->first;
            copy->last = anchored->last;
            copy->weight = anchored->weight;
        }
        return place_node(builder, copy, event->start_mark);
    }
    return refuse(builder, event->start_mark, "unknown alias: ", name);
}

static int on_open(struct yaml_builder *builder, enum node_kind kind, const yaml_char_t *anchor, const yaml_event_t *event)
{
    struct node *node = node_new(builder->document, kind, (int)event->start_mark.line + 1, (int)event->start_mark.column + 1);

    if (builder->depth == NODE_DEPTH_MAX)
        return refuse(builder, event->start_mark, "nested too deeply", "");
    if (!node)
        return -ENOMEM;
    builder->stack[builder->depth++] = (struct open_container){ .node = node };
    return remember_anchor(builder, anchor, node, event->start_mark);
}

static int on_close(struct yaml_builder *builder, const yaml_event_t *event)
{
    struct node *node = builder->stack[--builder->depth].node;

    return place_node(builder, node, event->start_mark);
}

static const yaml_char_t *event_tag(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.tag;
    default:
        return NULL;
    }
}

static int on_event(struct yaml_builder *builder, const yaml_event_t *event)
{
    const yaml_char_t *tag = event_tag(event);

    if (tag)
        return refuse(builder, event->start_mark, "tags are not allowed: ", (const char *)tag);
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->has_document)
            return refuse(builder, event->start_mark, "a second document starts here; a playbook is one", "");
        builder->has_document = true;
        return 0;
    case YAML_ALIAS_EVENT:
        return on_alias(builder, event);
    case YAML_SCALAR_EVENT:
        return on_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(builder, NODE_LIST, event->data.sequence_start.anchor, event);
    case YAML_MAPPING_START_EVENT:
        return on_open(builder, NODE_MAP, event->data.mapping_start.anchor, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_close(builder, event);
    default:
        return 0;
    }
}

/* The reader's own errors (a control character) have an offset and no mark. */
static int refuse_syntax(struct yaml_builder *builder, const yaml_parser_t *parser)
{
    const char *problem = parser->problem ? parser->problem : "cannot be read";
    char place[ERR_WHERE_MAX];

    if (parser->error == YAML_MEMORY_ERROR)
        return errs_add(builder->errs, ERR_INTERNAL, builder->document->file, "out of memory");
    if (parser->error != YAML_READER_ERROR)
        return refuse(builder, parser->problem_mark, "not YAML: ", problem);
    document_where(builder->document, parser->problem_offset, place, sizeof(place));
    return errs_add(builder->errs, ERR_INPUT, place, "not YAML: %s", problem);
}

static int parse_events(struct yaml_builder *builder, yaml_parser_t *parser)
{
    for (bool done = false; !done;) {
        yaml_event_t event;
        int result;

        if (!yaml_parser_parse(parser, &event))
            return refuse_syntax(builder, parser);
        result = on_event(builder, &event);
        done = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        if (result < 0)
            return result;
    }
    return 0;
}

int yaml_parse(struct document *document, struct errs *errs)
{
    struct yaml_builder builder = { .document = document, .errs = errs };
    size_t errors_before = errs->count;
    yaml_parser_t parser;

    if (!yaml_parser_initialize(&parser))
        return errs_add(errs, ERR_INTERNAL, document->file, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)document->source, document->source_length);
    parse_events(&builder, &parser);
    yaml_parser_delete(&parser);
    if (errs->count == errors_before && !document->root)
        return errs_add(errs, ERR_INPUT, document->file, "the file is empty");
    return errs->count == errors_before ? 0 : -EINVAL;
}
