/* A playbook file as a tree in which everything knows where it stands: FILE:LINE:COLUMN of every value and key.
 *
 * 1. Two small front ends build the same tree: yaml.c from libyaml's events, json.c from cJSON plus positions.
 *    Both count lines and columns from 1, columns in characters, and take nothing but UTF-8 without NUL.
 * 2. Types are JSON's. In YAML a plain scalar is null, a boolean or a number only where JSON would have it; else it is text.
 * 3. Duplicate keys are errors. An alias shares its anchor's node, and all expansions together stay below NODES_MAX.
 * 4. All of it lives in one arena; nothing is freed singly. */
#ifndef PERTURB_PLAYBOOK_NODE_H
#define PERTURB_PLAYBOOK_NODE_H

#include "scenarios/base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { NODES_MAX = 20000, NODE_DEPTH_MAX = 64, DOCUMENT_BYTES_MAX = 4 << 20 };

enum node_kind { NODE_NULL, NODE_BOOL, NODE_NUMBER, NODE_TEXT, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    int line, column; /* from 1 */
    const char *text; /* scalars: as written (quotes taken off); NULL for list and map */
    const char *key;  /* when it is a member of a map; else NULL */
    int key_line, key_column;
    struct node *first, *last, *next; /* children in file order; next sibling */
    size_t weight;             /* nodes below and including, aliases expanded */
};

struct arena_block;

struct document {
    const char *file; /* as the user named it; owned by the arena */
    const char *source; /* the whole text, NUL-terminated */
    size_t source_length;
    struct node *root;
    struct arena_block *arena;
};

/* Reads FILE (".json" by JSON, else by YAML). 0; -EINVAL with errors added, each located; document_done after either. */
int document_read(struct document *document, const char *file, struct errs *errs);

/* The same from memory; `is_json` says which front end. `text` is copied. */
int document_parse(struct document *document, const char *name, const char *text, size_t length, bool is_json, struct errs *errs);

void document_done(struct document *document); /* accepts a zeroed one */

/* Zeroed memory that lives as long as the document. NULL only when memory is out. */
void *document_alloc(struct document *document, size_t size);
char *document_text(struct document *document, const char *text, size_t length);

/* A member by key, NULL when absent or when `map` is no map. */
const struct node *node_member(const struct node *map, const char *key);

/* "FILE:LINE:COLUMN" of a byte of the source; columns count characters. Returns `place`. */
const char *document_where(const struct document *document, size_t offset, char *place, size_t size);

/* "FILE:LINE:COLUMN" of a value, or of its key. Returns `place`. */
const char *node_where(const struct document *document, const struct node *node, char *place, size_t size);
const char *node_key_where(const struct document *document, const struct node *node, char *place, size_t size);

const char *node_kind_name(enum node_kind kind); /* "a list", "a map", "text", ... */

/* For the front ends: adds `child` at the end of `parent`; `key` NULL in a list. 0; -EINVAL with an error added for a duplicate
 * key, after which reading goes on; -E2BIG with an error added for too many nodes, after which it ends. */
struct node *node_new(struct document *document, enum node_kind kind, int line, int column);
int node_add(struct document *document, struct node *parent, struct node *child, const char *key, int key_line, int key_column,
             struct errs *errs);

int yaml_parse(struct document *document, struct errs *errs);
int json_parse(struct document *document, struct errs *errs);

#endif
