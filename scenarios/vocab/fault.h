/* What can go wrong, expanded from faults.def, points.def and selectors.def: enums, parameter structs, constant descriptors.
 * Nobody expands the tables but fault.[ch]; every other consumer (parser, range checks, help, reference, JSON Schema, metric
 * labels, exhaustive tests) loops over the descriptor arrays at run time.
 *
 * A fault's identity is `layer.name`; where the layer is known the short name is enough. Shim-safe: constants only. */
#ifndef PERTURB_VOCAB_FAULT_H
#define PERTURB_VOCAB_FAULT_H

#include "scenarios/base/bits.h"
#include "scenarios/base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum layer { LAYER_STREAM, LAYER_DATAGRAM, LAYER_CALL, LAYER_HOST, LAYER_COUNT };

enum fault_id {
#define FAULT(layer, name, ...) FAULT_##layer##_##name,
#include "scenarios/vocab/faults.def"
    FAULT_COUNT
};

/* Parameters: one struct a fault, each member int64 in the base of its unit, over one array of slots. Slot 0 is reserved,
 * which keeps no struct empty. */
enum { FAULT_PARAMS_MAX = 16, FAULT_CHOICES_MAX = 16 };

#define FAULT(layer, name, ...) struct params_##layer##_##name { int64_t reserved;
#define PARAM(layer, fault, name, ...) int64_t name;
#define CHOICE(layer, fault, name, ...) int64_t name;
#define SHARE(layer, fault, name, ...) int64_t name;
#define REST(layer, fault, name, ...) int64_t name;
#define FAULT_END(layer, name) };
#include "scenarios/vocab/faults.def"

union fault_params {
    int64_t slot[FAULT_PARAMS_MAX];
#define FAULT(layer, name, ...) struct params_##layer##_##name layer##_##name;
#include "scenarios/vocab/faults.def"
};

_Static_assert(sizeof(union fault_params) == FAULT_PARAMS_MAX * sizeof(int64_t), "a fault has too many parameters");

enum backend { BACKEND_WIRE = 1, BACKEND_PRELOAD = 2, BACKEND_SUPERVISE = 4, BACKEND_GUARDIAN = 8 };
enum undo_class { UNDO_EXPIRES, UNDO_JOURNAL };
enum looks_at { LOOKS_AT_NOTHING, LOOKS_AT_COUNT, LOOKS_AT_BYTES };

/* Points of the call layer; a rule holds a mask of them. */
enum point {
#define POINT(name, ...) POINT_##name,
#include "scenarios/vocab/points.def"
    POINT_COUNT
};

enum point_group {
    GROUP_FILE = 1,
    GROUP_SOCKET = 2,
    GROUP_TRANSFER = 4,
    GROUP_MEMORY = 8,
    GROUP_LOCKING = 16,
    GROUP_TIME = 32,
    GROUP_NAMES = 64,
    GROUP_NAMED = 128,
    GROUP_CODE = 256,
};

#define POINT_BIT(name) BIT(POINT_##name)
#define POINTS_FILE (POINT_BIT(open) | POINT_BIT(read) | POINT_BIT(write) | POINT_BIT(fsync) | POINT_BIT(close))
#define POINTS_SOCKET (POINT_BIT(connect) | POINT_BIT(accept) | POINT_BIT(send) | POINT_BIT(recv))
#define POINTS_TRANSFER (POINT_BIT(read) | POINT_BIT(write) | POINT_BIT(send) | POINT_BIT(recv))

#define POINTS_NAMED (POINT_BIT(code) | POINT_BIT(stat) | POINT_BIT(truncate) | POINT_BIT(dir) | POINT_BIT(unlink) | POINT_BIT(rename) | \
                      POINT_BIT(map) | POINT_BIT(socket) | POINT_BIT(poll) | POINT_BIT(thread) | POINT_BIT(process) |           \
                      POINT_BIT(descriptor) | POINT_BIT(random))

#define POINTS_ALL ((BIT(POINT_COUNT) - 1) & ~(POINT_BIT(unlock) | POINT_BIT(cond_wait) | POINT_BIT(clock) | POINT_BIT(wait) | POINT_BIT(resolve))) /* where a thread may be held */

/* What a step of a host fault may name. */
enum acts_on {
    ACTS_ON_SPAWNED = 1, /* a target that the run spawned */
    ACTS_ON_RUNNING = 2, /* one that already runs: pid, unit or cgroup */
    ACTS_ON_MACHINE = 4, /* no target at all */
    ACTS_ON_OTHER = 8,   /* and another end: `to` */
};

/* Directions of a stream: bits, so that "both" is their union. */
enum direction { DIRECTION_TO_UPSTREAM = 1, DIRECTION_TO_CLIENT = 2, DIRECTION_BOTH = 3 };

enum selector_id {
#define SELECTOR(name, ...) SELECTOR_##name,
#include "scenarios/vocab/selectors.def"
    SELECTOR_COUNT
};

enum operator_bits { OP_EQ = 1, OP_NE = 2, OP_GE = 4, OP_LE = 8 };

struct point_desc {
    const char *name;
    uint32_t groups; /* point_group bits */
    const char *help;
};

struct selector_desc {
    const char *name;
    enum unit unit;
    uint32_t operators; /* operator_bits */
    int64_t minimum, maximum;
    const char *help;
};

struct param_desc {
    const char *name;
    enum unit unit;
    size_t slot; /* index into fault_params.slot */
    int64_t minimum, maximum;
    int64_t initial;
    bool required;     /* no default: it must be given */
    size_t rest_of;    /* the default is what the parameter in this slot leaves of 100 %; 0 for a default of its own */
    const char *words; /* UNIT_ENUM: space-separated, in index order; else NULL */
    const char *help;
};

/* Another tool's name for a parameter: an integer, times `factor`, in the parameter's base unit. */
struct alias_desc {
    size_t slot;
    const char *name;
    int64_t factor;
    const char *help;
};

struct fault_desc {
    enum fault_id id;
    enum layer layer;
    const char *name;
    uint32_t backends;  /* backend bits */
    uint64_t selectors; /* BIT(selector_id) */
    enum undo_class undo;
    enum looks_at looks_at;
    const char *main; /* the parameter (or selector) a bare value sets; NULL when none */
    const char *acted;
    const char *help;
    const struct param_desc *params;
    size_t param_count;
    const struct alias_desc *aliases;
    size_t alias_count;
};

extern const char *const layer_names[LAYER_COUNT];
extern const struct point_desc point_descs[POINT_COUNT];
extern const struct selector_desc selector_descs[SELECTOR_COUNT];
extern const struct fault_desc fault_descs[FAULT_COUNT]; /* indexed by fault_id */
extern const uint64_t fault_points[FAULT_COUNT];         /* BIT(point) where a call fault may be put; 0 in other layers */

extern const uint32_t fault_places[FAULT_COUNT];         /* acts_on bits of a host fault; 0 is spawned targets alone */

/* Finds a fault by "name" or "layer.name" among the layers of `layers` (BIT(layer) mask). NULL when there is none, or when
 * the short name stands in several of those layers (*ret_ambiguous, may be NULL). */
const struct fault_desc *fault_find(const char *name, uint64_t layers, bool *ret_ambiguous);

/* The selector of a name or short name, -1 when there is none. */
int selector_find(const char *name);

/* Parameter of a fault by name; NULL when there is none. */
const struct param_desc *fault_param(const struct fault_desc *fault, const char *name);

/* The index of `word` in a space-separated list, -1 when absent; and the word at an index, copied into `text` (returns text). */
int words_index(const char *words, const char *word);
char *words_at(const char *words, int64_t index, char *text, size_t size);

/* The parameter kept in a slot; NULL when there is none. */
const struct param_desc *fault_param_at(const struct fault_desc *fault, size_t slot);

/* Where a call fault acts that names no point: at all of its points that need no naming; where it can be put at all points
 * there are, at all of them. */
uint64_t fault_points_unnamed(enum fault_id fault);

/* The default beside the other parameters `slot` of the rule. */
int64_t param_initial(const struct param_desc *param, const int64_t *slot);

/* The largest value of a parameter: its maximum, or the index of its last word. */
int64_t param_maximum(const struct param_desc *param);

#endif
