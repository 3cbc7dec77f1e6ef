/* Which fault is which kind of trouble. */
#include "controller/report/classes.h"

#include "scenarios/base/cleanup.h"

#include <string.h>

const char *const fault_class_names[FAULT_CLASSES + 1] = {
    "slow network", "broken connections", "wrong data", "failing calls", "crash or pause", "memory", "compute and locks",
    "disk",         "time and names",     "other",
};

enum { SLOW, BROKEN, WRONG, CALLS, CRASH, MEMORY, COMPUTE, DISK, NAMES };

/* A word is a whole fault's name or, with '.', its layer too; the first row that fits decides. */
static const struct {
    size_t class;
    const char *words;
} rows[] = {
    { CALLS, " call.fail call.latency call.short_io call.fake_success " },
    { DISK, " call.corrupt disk_error disk_full torn_write lost_writes disk_fill " },
    { SLOW, " latency bandwidth slicer slow_open slow_close " },
    { BROKEN, " limit_data limit_time half_close timeout blackhole reset_peer refuse loss drop_connection partition " },
    { WRONG, " corrupt duplicate reorder " },
    { CRASH, " crash kill pause restart " },
    { MEMORY, " alloc_fail memory_limit memory_pressure " },
    { COMPUTE, " lock_stall lock_hold thread_stall cpu_burn " },
    { NAMES, " clock dns_fail dns_answer " },
};

static int has_word(const char *words, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = words; length && (at = strstr(at, name)) != NULL; at++)
        if (at[-1] == ' ' && at[length] == ' ')
            return 1;
    return 0;
}

size_t fault_class_of(const char *layer_and_name)
{
    const char *dot = strchr(layer_and_name, '.');

    if (strchr(layer_and_name, ' '))
        return FAULT_CLASS_OTHER;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (has_word(rows[i].words, layer_and_name) || (dot && has_word(rows[i].words, dot + 1)))
            return rows[i].class;
    return FAULT_CLASS_OTHER;
}
