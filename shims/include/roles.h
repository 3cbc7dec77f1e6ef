/* What a system call asks for, from its number and registers: each row of calls.def becomes a function that reads its roles from its
 * parameters. A system call hands its parameters over as a function call does, all of them integers or pointers and at most six,
 * so the function of a row whose parameters are the kernel's is simply called with the registers.
 *
 * For one file of each backend, which has defined vector_size(), message_size(), message_address(), message_length() and product()
 * for the memory that it can read. */
#ifndef PERTURB_SHIMS_ROLES_H
#define PERTURB_SHIMS_ROLES_H

#include "shims/include/call_headers.h"
#include "shims/include/calls.h"
#include "shims/judge/judge.h"

#define ROLES_INSIDE(...) __VA_ARGS__

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define CALL(type, name, parameters, arguments, failure, style, mask, roles, prepare, number)                                \
    enum { NUMBER_##name = (int)(number), POINTS_##name = (int)(uint32_t)(mask) };                                           \
    static __attribute__((unused)) void roles_##name(struct occasion *filled, ROLES_INSIDE parameters)                       \
    {                                                                                                                        \
        *filled = (struct occasion){ ROLES_INSIDE roles };                                                                   \
        filled->points = (uint32_t)(mask);                                                                                   \
    }
#include "shims/include/calls.def"
#pragma GCC diagnostic pop

typedef void roles_function(void);

struct native {
    long number;
    uint32_t points; /* and CONTROL_REDIRECT */
    roles_function *roles;
};

enum {
#define NATIVE(name) NATIVE_##name,
#include "shims/include/natives.def"
    NATIVE_COUNT,
    NATIVE_NUMBERS = 1024,
};

static const struct native native_rows[NATIVE_COUNT] = {
#define NATIVE(name) { NUMBER_##name, (uint32_t)POINTS_##name, (roles_function *)roles_##name },
#define NATIVE_AS(name, number) { number, (uint32_t)POINTS_##name, (roles_function *)roles_##name },
#include "shims/include/natives.def"
};

/* The row of a number, NULL when none makes that call. Whoever comes first fills the index; all would write the same. */
static const struct native *native_find(long number)
{
    static uint8_t places[NATIVE_NUMBERS]; /* plus 1 */
    static bool filled;

    _Static_assert(NATIVE_COUNT < UINT8_MAX, "the index of natives is of bytes");
    if (!__atomic_load_n(&filled, __ATOMIC_ACQUIRE)) {
        for (size_t i = 0; i < NATIVE_COUNT; i++)
            if (native_rows[i].number >= 0 && native_rows[i].number < NATIVE_NUMBERS)
                __atomic_store_n(&places[native_rows[i].number], (uint8_t)(i + 1), __ATOMIC_RELAXED);
        __atomic_store_n(&filled, true, __ATOMIC_RELEASE);
    }
    if (number < 0 || number >= NATIVE_NUMBERS || !places[number])
        return NULL;
    return &native_rows[places[number] - 1];
}

/* Fills the occasion from the six registers. */
static void native_fill(const struct native *native, const uint64_t registers[6], struct occasion *ret_occasion)
{
    void (*roles)(struct occasion *, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

    roles = (void (*)(struct occasion *, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t))native->roles;
    roles(ret_occasion, registers[0], registers[1], registers[2], registers[3], registers[4], registers[5]);
}

#endif
