/* JSON: cJSON validates and decodes; a second walk over the same text, in step with cJSON's tree, adds the positions.
 * The text is known to be valid by then, so the walk only has to skip. */
#include "scenarios/playbook/node.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>

struct json_walk {
    struct document *document;
    struct errs *errs;
    const char *at;
    int line;
    const char *counted; /* the place up to which `column` is known */
    int column;
};

static void skip_space(struct json_walk *walk)
{
    for (; *walk->at && strchr(" \t\r\n", *walk->at); walk->at++)
        if (*walk->at == '\n') {
            walk->line++;
            walk->counted = walk->at + 1;
            walk->column = 1;
        }
}

/* From 1, in characters. */
static int column(struct json_walk *walk)
{
    for (; walk->counted < walk->at; walk->counted++)
        walk->column += (*walk->counted & 0xc0) != 0x80;
    return walk->column;
}

static void refuse_here(struct json_walk *walk, const char *text)
{
    char place[ERR_WHERE_MAX];

    snprintf(place, sizeof(place), "%s:%d:%d", walk->document->file, walk->line, column(walk));
    errs_add(walk->errs, ERR_INPUT, place, "%s", text);
}

/* Past one of the structural characters and the space around it. */
static void skip_mark(struct json_walk *walk)
{
    skip_space(walk);
    walk->at++;
    skip_space(walk);
}

static void skip_string(struct json_walk *walk)
{
    for (walk->at++; *walk->at && *walk->at != '"'; walk->at++) {
        if (!strncmp(walk->at, "\\u0000", 6))
            refuse_here(walk, "a text cannot hold the character NUL");
        if (*walk->at == '\\' && walk->at[1])
            walk->at++;
    }
    walk->at += *walk->at == '"';
}

static enum node_kind kind_of(const cJSON *item)
{
    if (cJSON_IsObject(item))
        return NODE_MAP;
    if (cJSON_IsArray(item))
        return NODE_LIST;
    if (cJSON_IsString(item))
        return NODE_TEXT;
    if (cJSON_IsNumber(item))
        return NODE_NUMBER;
    return cJSON_IsBool(item) ? NODE_BOOL : NODE_NULL;
}

static struct node *walk_value(struct json_walk *walk, const cJSON *item, int depth);

static int walk_children(struct json_walk *walk, struct node *parent, const cJSON *item, int depth)
{
    bool is_map = parent->kind == NODE_MAP;

    skip_mark(walk);
    for (const cJSON *child = item->child; child; child = child->next) {
        int key_line = is_map ? walk->line : 0, key_column = is_map ? column(walk) : 0;
        const char *key = NULL;
        struct node *node;

        if (is_map) {
            key = document_text(walk->document, child->string, strlen(child->string));
            skip_string(walk);
            skip_mark(walk);
        }
        node = walk_value(walk, child, depth + 1);
        if (!node)
            return -EINVAL;
        if (node_add(walk->document, parent, node, key, key_line, key_column, walk->errs) == -E2BIG)
            return -E2BIG;
        skip_space(walk);
        if (child->next)
            skip_mark(walk);
    }
    skip_mark(walk);
    return 0;
}

static struct node *walk_value(struct json_walk *walk, const cJSON *item, int depth)
{
    struct node *node;
    const char *start;

    skip_space(walk);
    node = node_new(walk->document, kind_of(item), walk->line, column(walk));
    if (!node) {
        errs_add(walk->errs, ERR_INTERNAL, walk->document->file, "out of memory");
        return NULL;
    }
    if (depth > NODE_DEPTH_MAX) {
        refuse_here(walk, "nested too deeply");
        return NULL;
    }
    if (item->child || node->kind == NODE_MAP || node->kind == NODE_LIST)
        return walk_children(walk, node, item, depth) < 0 ? NULL : node;
    start = walk->at;
    if (node->kind == NODE_TEXT) {
        skip_string(walk);
        node->text = document_text(walk->document, item->valuestring, strlen(item->valuestring));
    } else {
        walk->at += strcspn(walk->at, " \t\r\n,]}");
        node->text = document_text(walk->document, start, (size_t)(walk->at - start));
    }
    return node;
}

/* cJSON points one past a character that ought to have opened a key: "{a: 1}" and a comma before '}'. */
static const char *true_end(const char *start, const char *end)
{
    const char *before = end - 1;

    if (end <= start || strchr("\" \t\r\n", *before))
        return end;
    while (before > start && strchr(" \t\r\n", before[-1]))
        before--;
    return before > start && strchr("{,", before[-1]) ? end - 1 : end;
}

static int refuse_syntax(struct document *document, const char *end, struct errs *errs)
{
    char place[ERR_WHERE_MAX];

    end = true_end(document->source, end);
    document_where(document, (size_t)(end - document->source), place, sizeof(place));
    if (!*end)
        return errs_add(errs, ERR_INPUT, place, "not JSON: the file ends too early");
    return errs_add(errs, ERR_INPUT, place, "not JSON: found '%.12s'", end);
}

int json_parse(struct document *document, struct errs *errs)
{
    const char *text = document->source + (strncmp(document->source, "\xef\xbb\xbf", 3) ? 0 : 3); /* past a byte order mark */
    struct json_walk walk = { document, errs, text, 1, text, 1 };
    size_t errors_before = errs->count;
    const char *end = text;
    cJSON *tree;

    errno = 0;
    tree = cJSON_ParseWithLengthOpts(text, strlen(text) + 1, &end, 1);
    if (!tree && errno == ENOMEM)
        return errs_add(errs, ERR_INTERNAL, document->file, "out of memory");
    if (!tree)
        return refuse_syntax(document, end ? end : document->source, errs);
    document->root = walk_value(&walk, tree, 0);
    cJSON_Delete(tree);
    return document->root && errs->count == errors_before ? 0 : -EINVAL;
}
