/* `--dry-run` of host faults: exactly what would be done to whom, and what is missing. Nothing is changed. */
#include "controller/run/guardian_priv.h"
#include "controller/run/ready.h"
#include "controller/run/run_priv.h"

#include "scenarios/base/cleanup.h"
#include "shims/host/nft.h"

#include <errno.h>
#include <string.h>
#include <sys/param.h>
#include <sys/statvfs.h>

enum { WHY_MAX = 1024, RULES_MAX = 64 << 10 };

#define LEAD "             "

static const char *size_text(uint64_t bytes, char text[32])
{
    if (bytes == MEMORY_UNLIMITED)
        snprintf(text, 32, "no limit");
    else
        unit_print(UNIT_SIZE, (int64_t)MIN(bytes, (uint64_t)INT64_MAX), text, 32);
    return text;
}

/* A target as the guardian would know it. A spawned one has no process yet; its groups are imagined below our own. */
static int imagine_target(const struct target *wanted, struct guarded_target *ret_target)
{
    struct guarded_target target = { .adopted = !wanted->command.count };
    char run_group[GROUP_PATH_MAX];
    struct memory_group own, parent;
    pid_t pid = getpid();

    snprintf(target.name, sizeof(target.name), "%.47s", wanted->name);
    if (target.adopted && ready_find_running(wanted, &pid) < 0)
        return -ESRCH;
    snprintf(target.place, sizeof(target.place), "%.319s", target.adopted && wanted->cgroup ? wanted->cgroup : "");
    if (!target.adopted && group_locate(NULL, "perturb-RUN", run_group) == 0)
        group_locate(run_group, wanted->name, target.group);
    if (!target.adopted && memory_group_of(0, &own) == 0 && memory_parent(&own, &parent) == 0) {
        char name[80];

        snprintf(name, sizeof(name), "perturb-RUN-%.47s", wanted->name);
        target.memory_error = access(parent.path, W_OK) < 0 ? -errno : memory_group_below(&parent, name, &target.memory);
    }
    *ret_target = target;
    return process_identify(pid, &ret_target->id);
}

static int preview_limit(const struct plan_rule *rule, const struct guarded_target *target, struct buf *why)
{
    const struct params_HOST_memory_limit *params = &rule->params.HOST_memory_limit;
    struct memory_group group = target->memory;
    char limit[32], share[32], now[32], used_text[32];
    uint64_t old = MEMORY_UNLIMITED, used = 0;
    bool moves = false;
    int result = target->adopted || group.version == MEMORY_NONE ? host_memory_place(target, "RUN", &group, &moves, why) : 0;

    if (result < 0)
        return result;
    if (params->limit)
        size_text((uint64_t)params->limit, limit);
    else
        snprintf(limit, sizeof(limit), "%s of its use", unit_print(UNIT_SHARE, params->share, share, sizeof(share)));
    if (target->adopted && !moves && memory_read(&group, MEMORY_LIMIT, &old) == 0 && memory_read(&group, MEMORY_USED, &used) == 0)
        printf(LEAD "%s: its limit, now %s (in use: %s), becomes %s, and %s again at the end\n", group.path, size_text(old, now),
               size_text(used, used_text), limit, now);
    else
        printf(LEAD "%s: made, %s, limited to %s, removed at the end\n", group.path,
               moves ? "the target's processes moved into it (and back at the end)" : "the target started in it", limit);
    return 0;
}

static int preview_pressure(const struct plan_rule *rule, const struct guarded_target *target)
{
    const struct params_HOST_memory_pressure *params = &rule->params.HOST_memory_pressure;
    char wanted[32], floor[32];

    if (params->share)
        unit_print(UNIT_SHARE, params->share, wanted, sizeof(wanted));
    else
        size_text((uint64_t)params->size, wanted);
    printf(LEAD "a helper takes memory %s%s until %s%s; %s stay available on the machine\n", target ? "in the group of " : "on the machine",
           target ? target->name : "", wanted, params->share ? " is in use" : " is held", size_text((uint64_t)params->floor, floor));
    return 0;
}

static int preview_burn(const struct plan_rule *rule, const struct guarded_target *target)
{
    const struct params_HOST_cpu_burn *params = &rule->params.HOST_cpu_burn;
    unsigned cores = helper_cores(target && target->adopted ? target->id.pid : 0);
    char load[32], where[64];

    if (params->pin)
        snprintf(where, sizeof(where), "core %lld and up", (long long)params->core);
    else
        snprintf(where, sizeof(where), "any of %u cores", cores);
    printf(LEAD "helpers: %lld, each burns %s of a core, on %s\n", params->workers ? (long long)params->workers : params->pin ? 1 : (long long)cores,
           unit_print(UNIT_SHARE, params->load, load, sizeof(load)), where);
    return 0;
}

static int preview_fill(const struct run_request *request, const struct plan_rule *rule, struct buf *why)
{
    const struct params_HOST_disk_fill *params = &rule->params.HOST_disk_fill;
    const char *path = rule->selector.path, *out = request->out_directory ? request->out_directory : "/";
    uint64_t available, taken;
    struct statvfs facts;
    char taken_text[32], left[32], available_text[32];
    int result = host_disk_place(path, params->system, out, why);

    if (result < 0)
        return result;
    if (statvfs(path, &facts) < 0)
        return -errno;
    available = (uint64_t)(params->leave ? facts.f_bavail : facts.f_bfree) * facts.f_frsize;
    taken = available > (uint64_t)params->leave ? available - (uint64_t)params->leave : 0;
    if (params->size)
        taken = MIN(taken, (uint64_t)params->size);
    printf(LEAD "a helper takes %s of the %s free on the file system of %s, in a file without a name; %s stay free\n", size_text(taken, taken_text),
           size_text(available, available_text), path, size_text(available - taken, left));
    return 0;
}

/* A spawned target's namespace is known when it runs: ours is shown. */
static int preview_cut(const struct plan_rule *rule, const struct guarded_target *target, const struct guarded_target *other, uint64_t lease_ns, struct buf *why)
{
    struct buf rules;
    char *rest = NULL;
    struct cut cut;
    int result = nft_is_possible(why);

    if (result == 0)
        result = host_cut_place(rule, target, other, &cut, why);
    if (result < 0)
        return result;
    snprintf(cut.table, sizeof(cut.table), "perturb_part_RUN_1");
    buf_init(&rules, RULES_MAX);
    result = cut_print(&cut, lease_ns, &rules, why);
    for (char *line = strtok_r(rules.data, "\n", &rest); line && result == 0; line = strtok_r(NULL, "\n", &rest))
        printf(LEAD "| %s\n", line);
    buf_done(&rules);
    return result;
}

static int preview(const struct run_request *request, const struct playbook *playbook, const struct plan_rule *rule, const struct guarded_target *target,
                   const struct guarded_target *other, struct buf *why)
{
    switch (rule->fault) {
    case FAULT_HOST_memory_limit:
        return preview_limit(rule, target, why);
    case FAULT_HOST_memory_pressure:
        return preview_pressure(rule, target);
    case FAULT_HOST_cpu_burn:
        return preview_burn(rule, target);
    case FAULT_HOST_disk_fill:
        return preview_fill(request, rule, why);
    case FAULT_HOST_partition:
        return preview_cut(rule, target, other, (uint64_t)playbook->lease, why);
    default:
        return 0;
    }
}

void run_preview_host(const struct run_request *request, const struct playbook *playbook, const struct step *step, struct errs *errs)
{
    const struct plan_rule *rule = &step->spec.rule;
    const struct target *named = playbook_target(playbook, rule->scope), *far = playbook_target(playbook, rule->to);
    struct guarded_target target, other;
    char where[ERR_WHERE_MAX];
    struct buf why;
    int result = 0;

    buf_init(&why, WHY_MAX);
    if ((named && imagine_target(named, &target) < 0) || (far && imagine_target(far, &other) < 0)) {
        result = -ESRCH;
        buf_printf(&why, "target '%s' selects no process", named && imagine_target(named, &target) < 0 ? rule->scope : rule->to);
    }
    if (result == 0)
        result = preview(request, playbook, rule, named ? &target : NULL, far ? &other : NULL, &why);
    if (result < 0)
        errs_add(errs, ERR_WORLD, node_where(&playbook->document, step->node, where, sizeof(where)), "host.%s: %s", fault_descs[rule->fault].name,
                 why.length ? why.data : strerror(-result));
    buf_done(&why);
}
