/* Fault points in the program's own code (shims/include/perturb.h).
 *
 * 1. An object's gate is found by its note, in its memory, so that neither symbols nor section headers are needed; an object that
 *    comes later, by dlopen(3), tells of itself as it is constructed, and after a late attach at the next rescan (patch.c rule 4).
 * 2. A gate points at this process's armed word from then on, and back at its own after a detach. It is one store of a word; what
 *    stands behind it is there before.
 * 3. Points are entered in the page by name, file and line; a table that is full is counted in `lost` once a point, which acts all
 *    the same.
 * 4. A point that no errno can come out of is no match for `fail`. Sleeping at a point is not interrupted: it is no call. */
#include "shims/preload/shim.h"

#define PERTURB_POINTS_OFF /* of the header nothing but the layout: the library has no points of its own */
#include "scenarios/base/rng.h"
#include "shims/include/perturb.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

_Static_assert(PERTURB_GATE_BIT == CONTROL_CODE, "programs were built with this bit");

__attribute__((visibility("default"))) void perturb_points_come(struct perturb_gate *gate);

enum { CODE_PROBES = 64, POINT_SIZE_MAX = 8192 };

static uint32_t tied; /* 1: a page is mapped and gates are to point at it */

/* The record's file; NULL when it is none of ours. */
static const char *file_of(const struct perturb_point *point, size_t room)
{
    size_t head = offsetof(struct perturb_point, text), text, name;

    if (room < head + 2 || point->size > room || point->size > POINT_SIZE_MAX || point->size < head + 2 || point->size % 8)
        return NULL;
    text = point->size - head;
    name = strnlen(point->text, text) + 1;
    return name < text && strnlen(point->text + name, text - name) < text - name ? point->text + name : NULL;
}

static uint64_t key_of(const struct perturb_point *point, const char *file)
{
    return rng_mix(rng_mix(rng_hash(point->text), rng_hash(file)), point->line) | 1;
}

static void copy_end(char *target, size_t size, const char *text)
{
    size_t length = strlen(text);

    text += length < size ? 0 : length - (size - 1);
    memcpy(target, text, strlen(text) + 1);
}

/* Its place in the page's table, from 1; 0 when that is full. */
static uint32_t enter(const struct perturb_point *point, const char *file)
{
    uint64_t key = key_of(point, file);

    for (uint32_t probe = 0; probe < CODE_PROBES; probe++) {
        uint32_t index = (uint32_t)((key >> 32) + probe) % CONTROL_CODE_MAX;
        struct control_code *code = &shim_counters->codes[index];
        uint64_t old = 0;

        if (__atomic_compare_exchange_n(&code->key, &old, key, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            code->gives_error = point->gives_error;
            memcpy(code->name, point->text, strnlen(point->text, sizeof(code->name) - 1));
            copy_end(code->file, sizeof(code->file), file);
            __atomic_store_n(&code->line, point->line, __ATOMIC_RELEASE);
            return index + 1;
        }
        if (old == key)
            return index + 1;
    }
    __atomic_fetch_add(&shim_counters->lost, 1, __ATOMIC_RELAXED);
    return 0;
}

/* Apart, for its room on the stack. */
static __attribute__((noinline)) int come_ruled(const struct perturb_point *point, const void *caller)
{
    struct occasion occasion = {
        .points = (uint32_t)POINT_BIT(code),
        .fd = -1,
        .label = point->text,
        .caller = caller,
        .keeps_result = !point->gives_error,
    };
    struct ruling ruling;

    shim_rule(&occasion, &ruling);
    return point->gives_error ? ruling.error : 0;
}

static int come(struct perturb_point *point)
{
    const void *caller = __builtin_return_address(0);
    const struct glance glance = { .points = (uint32_t)POINT_BIT(code), .fd = -1, .label = point->text, .caller = caller };
    uint32_t place = __atomic_load_n(&point->place, __ATOMIC_RELAXED);
    int saved = errno, error;

    if (shim_self.depth || !shim_counters)
        return 0;
    if (place && place <= CONTROL_CODE_MAX)
        __atomic_fetch_add(&shim_counters->codes[place - 1].hits, 1, __ATOMIC_RELAXED);
    error = shim_concerns(&glance) ? come_ruled(point, caller) : 0;
    errno = saved;
    return error;
}

static void tie(struct perturb_gate *gate)
{
    const char *end = (const char *)gate->end;
    struct perturb_point *point = gate->first;

    if (gate->version != 1)
        return;
    while (point && (const char *)point < end) {
        const char *file = file_of(point, (size_t)(end - (const char *)point));

        if (!file)
            break;
        __atomic_store_n(&point->place, enter(point, file), __ATOMIC_RELAXED);
        point = (struct perturb_point *)((char *)point + point->size);
    }
    gate->come = come;
    __atomic_store_n(&gate->armed, &shim_page.rules.armed, __ATOMIC_RELEASE);
}

static void untie(struct perturb_gate *gate)
{
    if (gate->version == 1 && gate->come == come)
        __atomic_store_n(&gate->armed, &gate->idle, __ATOMIC_RELEASE);
}

void perturb_points_come(struct perturb_gate *gate)
{
    if (__atomic_load_n(&tied, __ATOMIC_ACQUIRE))
        tie(gate);
}

/* ---- all objects -------------------------------------------------------------------------------------------------------- */

struct note {
    uint32_t name_size, size, type;
    char name[8];
    char distance[8]; /* int64_t, from here to the gate; a note need not lie on a multiple of 8 */
};

static void each_note(const char *place, size_t size, void (*each)(struct perturb_gate *gate))
{
    size_t whole;

    for (; size >= 12; place += whole, size -= whole) {
        const struct note *note = (const void *)place;
        int64_t distance;

        whole = 12 + (((size_t)note->name_size + 3) & ~(size_t)3) + (((size_t)note->size + 3) & ~(size_t)3);
        if (whole > size)
            return;
        if (note->name_size != 8 || note->size != 8 || note->type != 1 || memcmp(note->name, "perturb", 8) != 0)
            continue;
        memcpy(&distance, note->distance, sizeof(distance));
        each((struct perturb_gate *)((uintptr_t)note->distance + (uintptr_t)distance));
    }
}

static int each_object(struct dl_phdr_info *info, size_t size, void *context)
{
    void (**each)(struct perturb_gate *gate) = context;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_NOTE)
            each_note((const char *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, info->dlpi_phdr[i].p_memsz, *each);
    return 0;
}

void shim_code_tie(void)
{
    void (*each)(struct perturb_gate *gate) = tie;

    if (!shim_counters)
        return;
    __atomic_store_n(&tied, 1, __ATOMIC_RELEASE);
    (void)dl_iterate_phdr(each_object, &each);
}

void shim_code_untie(void)
{
    void (*each)(struct perturb_gate *gate) = untie;

    __atomic_store_n(&tied, 0, __ATOMIC_RELEASE);
    (void)dl_iterate_phdr(each_object, &each);
}
