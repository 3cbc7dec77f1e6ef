/* Faults that helpers carry out: the helpers themselves, cpu_burn and disk_fill. */
#include "controller/run/guardian_priv.h"
#include "controller/run/undo.h"

#include "scenarios/base/clock.h"
#include "shims/host/hierarchy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define WATCH_NS NS_PER_MS
#define TICK_NS (50 * NS_PER_MS)

/* ---- helpers of an action ------------------------------------------------------------------------------------------------------- */

const char *host_helpers_group(struct guardian *guardian)
{
    static char path[GROUP_PATH_MAX];

    return guardian->group[0] && group_create(guardian->group, "perturb-helpers", path) == 0 ? path : NULL;
}

static int start_one(struct guardian *guardian, struct host_action *action, const struct helper_spec *spec)
{
    struct helper *helper = &action->helpers[action->helper_count];
    char identity[PROCESS_TEXT_MAX];
    const char *step;
    int result = helper_start(spec, helper, &step);

    if (result < 0)
        return result;
    action->helper_count++;
    return host_journal(guardian, action, UNDO_HELPER, process_print(&helper->id, identity, sizeof(identity)));
}

/* All of them wait, are journalled, and go together. */
int host_helpers_start(struct guardian *guardian, struct host_action *action, const struct helper_spec *spec, size_t count)
{
    struct helper_spec each = *spec;
    int result = 0;

    action->helpers = calloc(count, sizeof(*action->helpers));
    if (!action->helpers)
        return -ENOMEM;
    for (size_t i = 0; i < count && result == 0; i++) {
        each.core = spec->core < 0 ? -1 : spec->core + (int)i;
        result = start_one(guardian, action, &each);
    }
    for (size_t i = 0; i < count && result == 0; i++)
        helper_go(&action->helpers[i], guardian->lease_end_ns);
    action->tick_ns = clock_now_ns() + WATCH_NS;
    return result;
}

static uint64_t first_effect_ns(const struct host_action *action)
{
    uint64_t first_ns = UINT64_MAX;

    for (size_t i = 0; i < action->helper_count; i++) {
        uint64_t ns = atomic_load(&action->helpers[i].state->first_ns);

        if (ns)
            first_ns = MIN(first_ns, ns);
    }
    return first_ns == UINT64_MAX ? 0 : first_ns;
}

/* Looked at closely until it acted, seldom afterwards. One that ended before its time is told, once. */
void host_helpers_tick(struct guardian *guardian, struct host_action *action, struct guarded_target *target, uint64_t now_ns)
{
    uint64_t first_ns = first_effect_ns(action);

    (void)target;
    if (first_ns && !action->counts.fired)
        host_acted(guardian, action, first_ns);
    action->tick_ns = now_ns + (action->counts.fired ? TICK_NS : WATCH_NS);
    for (size_t i = 0; i < action->helper_count; i++)
        if (!process_is_alive(&action->helpers[i].id)) {
            int error = atomic_load(&action->helpers[i].state->error);

            if (error < 0)
                host_tell(guardian, action, "errno", (uint64_t)-error);
            host_expired(guardian, action);
            action->tick_ns = 0;
            return;
        }
}

int host_helpers_renew(struct host_action *action, uint64_t ttl_ns)
{
    for (size_t i = 0; i < action->helper_count; i++)
        helper_renew(&action->helpers[i], clock_now_ns() + ttl_ns);
    return 0;
}

/* ---- cpu_burn ------------------------------------------------------------------------------------------------------------------- */

static int burn_check(struct guardian *guardian, const struct plan_rule *rule, struct guarded_target *target, struct buf *why)
{
    const struct params_HOST_cpu_burn *params = &rule->params.HOST_cpu_burn;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t last = params->core + MAX(params->workers, 1) - 1;

    (void)guardian;
    (void)target;
    if (params->pin && last >= cores) {
        buf_printf(why, "core %lld is not there: this machine has %ld", (long long)last, cores);
        return -ENODEV;
    }
    return 0;
}

/* The group whose share of CPU time the workers take: version 1's cpu hierarchy, or version 2's group where it has the controller. */
static const char *cpu_group(const struct guarded_target *target, char path[GROUP_PATH_MAX])
{
    char file[GROUP_PATH_MAX + 32];

    if (hierarchy_of(target->id.pid, "cpu", path) == 0)
        return path;
    if (hierarchy_of(target->id.pid, NULL, path) < 0)
        return NULL;
    snprintf(file, sizeof(file), "%s/cpu.weight", path);
    return access(file, F_OK) == 0 ? path : NULL;
}

static int burn_begin(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    const struct params_HOST_cpu_burn *params = &action->rule.params.HOST_cpu_burn;
    struct helper_spec spec = { .job = HELPER_BURN, .load_ppm = (uint32_t)params->load, .core = params->pin ? (int)params->core : -1,
                                .cores_of = target ? target->id.pid : 0 };
    size_t workers = (size_t)params->workers, groups = 0;
    char group[GROUP_PATH_MAX];

    if (!workers)
        workers = params->pin ? 1 : MIN(helper_cores(spec.cores_of), 64U);
    if (host_helpers_group(guardian))
        spec.groups[groups++] = host_helpers_group(guardian);
    if (target)
        spec.groups[groups] = cpu_group(target, group);
    return host_helpers_start(guardian, action, &spec, MIN(workers, (size_t)ACTION_ENTRIES_MAX));
}

static void burn_measure(struct guardian *guardian, struct host_action *action)
{
    uint64_t burned_ns = 0;

    for (size_t i = 0; i < action->helper_count; i++)
        burned_ns += atomic_load(&action->helpers[i].state->amount);
    if (action->helper_count) {
        host_tell(guardian, action, "workers", action->helper_count);
        host_tell(guardian, action, "cpu_ms", burned_ns / NS_PER_MS);
    }
}

const struct host_fault host_cpu_burn = { .check = burn_check, .begin = burn_begin, .tick = host_helpers_tick, .renew = host_helpers_renew,
                                          .measure = burn_measure };

/* ---- disk_fill ------------------------------------------------------------------------------------------------------------------ */

static int fill_check(struct guardian *guardian, const struct plan_rule *rule, struct guarded_target *target, struct buf *why)
{
    (void)target;
    if (rule->selector.path[0] != '/') {
        buf_puts(why, "host.disk_fill needs path: an absolute directory");
        return -EINVAL;
    }
    return host_disk_place(rule->selector.path, rule->params.HOST_disk_fill.system, guardian->spec->directory, why);
}

static int fill_begin(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    const struct params_HOST_disk_fill *params = &action->rule.params.HOST_disk_fill;
    char name[HELPER_NAME_MAX], path[RULE_PATH_MAX + HELPER_NAME_MAX + 1];
    struct helper_spec spec = { .job = HELPER_FILL, .core = -1, .bytes = params->size ? (uint64_t)params->size : UINT64_MAX,
                                .floor = (uint64_t)params->leave, .directory = action->rule.selector.path, .name = name };
    int result;

    (void)target;
    snprintf(name, sizeof(name), ".perturb-fill-%.36s-%.20s", guardian->spec->run_id, action->rule.name);
    snprintf(path, sizeof(path), "%s/%s", spec.directory, name);
    spec.groups[0] = host_helpers_group(guardian);
    result = host_journal(guardian, action, UNDO_FILE, path);
    return result < 0 ? result : host_helpers_start(guardian, action, &spec, 1);
}

static void fill_measure(struct guardian *guardian, struct host_action *action)
{
    if (action->helper_count)
        host_tell(guardian, action, "filled_bytes", atomic_load(&action->helpers[0].state->peak));
}

const struct host_fault host_disk_fill = { .check = fill_check, .begin = fill_begin, .tick = host_helpers_tick, .renew = host_helpers_renew,
                                           .measure = fill_measure };
